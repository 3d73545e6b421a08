"""Log lines: one format for web, beat and workers, with the Celery task's id and name on each."""

import logging.config
from typing import Any

import structlog

# Libraries that say too much at INFO; some print whole requests at DEBUG.
CHATTY = (
    "celery.app.trace",
    "celery.beat",
    "celery.worker.strategy",
    "kombu",
    "urllib3",
    "spnego",
    "requests_ntlm",
    "winrm",
)


class WithoutTraceback(logging.Filter):
    """Drop the traceback of what a client did wrong: it costs kilobytes a request, without a login."""

    def filter(self, record: logging.LogRecord) -> bool:
        is_client_error = getattr(record, "status_code", 500) < 500
        if record.name.startswith("django.security") or (record.name == "django.request" and is_client_error):
            record.exc_info = None
            record.exc_text = None
        return True


def configure(options: dict[str, Any]) -> None:
    """Django's LOGGING_CONFIG hook; `options` holds `level`."""
    level = str(options["level"])
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    formatter = {
        "()": structlog.stdlib.ProcessorFormatter,
        "foreign_pre_chain": shared,
        "processors": [
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "level", "logger", "event"]),
        ],
    }
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {"line": formatter},
            "filters": {"without_traceback": {"()": WithoutTraceback}},
            "handlers": {
                "stderr": {
                    "class": "logging.StreamHandler",
                    "formatter": "line",
                    "filters": ["without_traceback"],
                }
            },
            "root": {"handlers": ["stderr"], "level": level},
            "loggers": {name: {"level": "WARNING"} for name in CHATTY},
        }
    )
