"""Settings of the project, read from the environment; docs/settings.md has a row for each."""

import secrets
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import django_stubs_ext
from cryptography.fernet import Fernet
from django.core.exceptions import ImproperlyConfigured
from psycopg import ProgrammingError
from psycopg.conninfo import make_conninfo

from nms_project import env, redis_address, state
from nms_project.look import UNFOLD as UNFOLD  # django-unfold's
from nms_project.queues import Queue
from nms_project.schedule import beat_schedule

django_stubs_ext.monkeypatch()

env.collect()  # reported at the end
_nothing: dict[str, Any] = {}

BASE_DIR = Path(__file__).resolve().parent.parent
IS_CHECKOUT = (BASE_DIR / "manage.py").exists()  # else installed as a package, beside others
NMS_STATE_DIR = (BASE_DIR if IS_CHECKOUT else Path.cwd()) / env.text("NMS_STATE_DIR", ".run")

# --- PostgreSQL and Redis: given ones, else the embedded ones that `manage.py run` starts ---

_embedded = env.or_note(lambda: state.endpoints_read(NMS_STATE_DIR), _nothing)
DATABASE_URL = env.text("DATABASE_URL")
REDIS_URL = env.text("REDIS_URL")
NMS_EMBEDDED_POSTGRES = not DATABASE_URL
NMS_EMBEDDED_REDIS = not REDIS_URL
DATABASE_URL = DATABASE_URL or _embedded.get("database_url", "postgresql:///nms?host=/nonexistent")
REDIS_URL = REDIS_URL or _embedded.get("redis_url", "unix:///nonexistent/redis.sock")


def _database(url: str) -> dict[str, Any]:
    """The errors do not repeat the URL, which has a password."""
    try:
        parts = urlsplit(url)
        is_usable = parts.scheme in {"postgres", "postgresql"} and parts.port != 0
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
        make_conninfo("", **options)
    except (ValueError, ProgrammingError):
        is_usable = False
    if not is_usable:
        raise ImproperlyConfigured(
            "DATABASE_URL must look like postgresql://user:password@host:5432/name?sslmode=require; it must "
            "be PostgreSQL. Write / as %2F, # as %23, ? as %3F, @ as %40 and [ as %5B in a user name or "
            "password."
        )
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")) or "nms",
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", parts.hostname or ""),
        "PORT": parts.port or "",
        "CONN_MAX_AGE": 600,
        "CONN_HEALTH_CHECKS": True,
        # A server that vanished without a word must not hold a worker for the kernel's two hours.
        "OPTIONS": {
            "connect_timeout": 5,
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 30_000,
            # After a switchover the address may lead to the server that takes no writes any more: it is away.
            "target_session_attrs": "read-write",
            **options,
        },
    }


DATABASES = {"default": env.or_note(lambda: _database(DATABASE_URL), _nothing)}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Keys: machines share them, so they are never made up once a server is given ---


def _kept(name: str, file_name: str, generate: Callable[[], str]) -> str:
    """Return the content of a key's file, generated on the first start. Raise ImproperlyConfigured."""
    if env.is_refused(name):
        return ""
    if not NMS_EMBEDDED_POSTGRES:
        raise ImproperlyConfigured(
            f"{name} is not set. With DATABASE_URL given, every machine needs the same {name}; "
            f"docs/settings.md shows how to make one."
        )
    return state.secret(NMS_STATE_DIR, file_name, generate)


SECRET_KEY = env.secret_key("NMS_SECRET_KEY") or env.or_note(
    lambda: _kept("NMS_SECRET_KEY", "secret-key", lambda: secrets.token_urlsafe(64)), ""
)
NMS_ENCRYPTION_KEYS = env.fernet_keys("NMS_ENCRYPTION_KEYS") or env.or_note(
    lambda: env.fernet_keys_of(
        _kept("NMS_ENCRYPTION_KEYS", "encryption-keys", lambda: Fernet.generate_key().decode("ascii")),
        f"{NMS_STATE_DIR / 'encryption-keys'}",
    ),
    [],
)

NMS_ALLOW_UNREADABLE_SECRETS = env.boolean("NMS_ALLOW_UNREADABLE_SECRETS", False)

# --- Web ---

NMS_BIND = env.address("BIND", "127.0.0.1")
NMS_PORT = env.integer("PORT", 8000, low=1, high=65_535)
NMS_DEMO_WINRM_PORT = env.integer("NMS_DEMO_WINRM_PORT", 5985, low=1, high=65_535)
NMS_WEB_PROCESSES = env.integer("NMS_WEB_PROCESSES", 4, low=1, high=64)
NMS_REQUEST_TIMEOUT_SECONDS = env.integer("NMS_REQUEST_TIMEOUT_SECONDS", 30, low=1, high=600)
NMS_WEB_THREADS = env.integer("NMS_WEB_THREADS", 8, low=1, high=256)
DEBUG = env.boolean("NMS_DEBUG", False)
ALLOWED_HOSTS = env.hosts("NMS_ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.origins("NMS_CSRF_TRUSTED_ORIGINS")
ROOT_URLCONF = "nms_project.urls"
WSGI_APPLICATION = "nms_project.wsgi.application"
NMS_MAX_BODY_BYTES = 1024 * 1024
NMS_MAX_IMPORT_BYTES = 8 * 1024 * 1024  # of the table of an import
# DRF reads all JSON by way of Django's limit; BodyLimitMiddleware has the one of each path.
DATA_UPLOAD_MAX_MEMORY_SIZE = NMS_MAX_IMPORT_BYTES
X_FRAME_OPTIONS = "DENY"
# Nothing inline runs: what got into a page by a host name stays text.
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'self'"],
        "script-src": ["'self'"],
        "style-src": ["'self'", "'unsafe-inline'"],  # the styles of DRF's and OpenAPI's pages
        "img-src": ["'self'", "data:"],
        "worker-src": ["'self'", "blob:"],  # Redoc searches in one
        "object-src": ["'none'"],
        "base-uri": ["'none'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
    }
}
# Behind a proxy that ends TLS and says so in X-Forwarded-Proto.
NMS_HTTPS = env.boolean("NMS_HTTPS", False)
SECURE_SSL_REDIRECT = SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = NMS_HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if NMS_HTTPS else None
SECURE_HSTS_SECONDS = 365 * 86_400 if NMS_HTTPS else 0
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# Whether other names of the domain speak HTTPS, and browsers shall have it built in, is not ours to say.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

INSTALLED_APPS = [
    "unfold.apps.BasicAppConfig",  # before the admin whose templates it replaces
    "console.apps.ConsoleAdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "rest_framework_simplejwt.token_blacklist",
    "axes",
    "csp",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "nms_project",
    "devices",
    "metrics",
    "health",
    "polling",
    "discovery",
    "console",
    "accounts",  # last: its roles are made of all permissions
]
MIDDLEWARE = [
    "nms_project.middleware.HealthMiddleware",
    "nms_project.middleware.BodyLimitMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "csp.middleware.CSPMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "nms_project.middleware.TimeZoneMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "nms_project.middleware.OutageMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "accounts.middleware.AuditMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "nms_project" / "templates"],  # before those of the packages
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "static/"
STATIC_ROOT = env.new_folder("NMS_STATIC_ROOT")
WHITENOISE_USE_FINDERS = STATIC_ROOT is None  # without collectstatic they come from the packages
WHITENOISE_AUTOREFRESH = DEBUG
APPEND_SLASH = True
LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
FORMAT_MODULE_PATH = ["nms_project.formats"]
USE_TZ = True
PASSWORD_HASHERS = ["django.contrib.auth.hashers.Argon2PasswordHasher"]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "rest_framework:login"
LOGIN_REDIRECT_URL = "admin:index"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
NMS_LOGIN_FAILURES = env.integer("NMS_LOGIN_FAILURES", 5, low=1, high=1_000)
NMS_TRUSTED_PROXIES = env.networks("NMS_TRUSTED_PROXIES")
NMS_REQUESTS_PER_MINUTE = {
    "read": env.integer("NMS_READS_PER_MINUTE", 3_000, low=1, high=1_000_000),
    "write": env.integer("NMS_WRITES_PER_MINUTE", 1_200, low=1, high=1_000_000),
    "query": env.integer("NMS_QUERIES_PER_MINUTE", 1_200, low=1, high=1_000_000),
}
AXES_HANDLER = "accounts.lockout.LockoutHandler"
AXES_CLIENT_IP_CALLABLE = "accounts.client.client_address"
AXES_LOCKOUT_CALLABLE = "accounts.lockout.locked_response"
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_ENABLE_ADMIN = False  # its tables stay empty: the counts are in Redis
AXES_VERBOSE = False

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "accounts.authentication.ApiTokenAuthentication",
        "accounts.authentication.SessionJWTAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_THROTTLE_CLASSES": ["accounts.throttles.UserThrottle"],
    "DEFAULT_PERMISSION_CLASSES": ["accounts.permissions.RolePermission"],
    "DEFAULT_PARSER_CLASSES": [
        "nms_project.parsers.BoundedJSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_FILTER_BACKENDS": [
        "nms_project.filters.FilterBackend",
        "nms_project.filters.TermsFilter",
        "nms_project.filters.WholeOrderingFilter",
    ],
    "DEFAULT_PAGINATION_CLASS": "nms_project.api.PageNumbers",
    "PAGE_SIZE": 50,
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "nms_project.api.exception_handler",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
SPECTACULAR_SETTINGS = {
    "TITLE": "NMS",
    "DESCRIPTION": "Agentless network monitoring: credential and discovery profiles, devices, metrics.",
    "VERSION": "1",
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "SERVE_INCLUDE_SCHEMA": False,
    "DEFAULT_GENERATOR_CLASS": "nms_project.openapi.OnceGenerator",
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SCHEMA_PATH_PREFIX_TRIM": False,
    "COMPONENT_SPLIT_REQUEST": True,
    # Forms are for the browsable pages; programs send JSON.
    "PARSER_WHITELIST": ["nms_project.parsers.BoundedJSONParser", "nms_project.transfer.api.CSVParser"],
    "POSTPROCESSING_HOOKS": [
        "drf_spectacular.hooks.postprocess_schema_enums",
        "nms_project.openapi.errors_describe",
        "nms_project.openapi.puts_keep",
        "nms_project.openapi.ids_are_numbers",
        "nms_project.openapi.examples_add",
    ],
    "ENUM_NAME_OVERRIDES": {
        "DeviceStatusEnum": "devices.models.DeviceStatus",
        "SettableStatusEnum": "devices.api.serializers.SETTABLE",
        "RunStatusEnum": "discovery.models.RunStatus",
    },
}
SIMPLE_JWT = {
    "ACCESS_TOKEN_LIFETIME": timedelta(minutes=env.integer("NMS_JWT_ACCESS_MINUTES", 30, low=1, high=1_440)),
    "REFRESH_TOKEN_LIFETIME": timedelta(days=env.integer("NMS_JWT_REFRESH_DAYS", 7, low=1, high=365)),
    "ROTATE_REFRESH_TOKENS": True,
    "BLACKLIST_AFTER_ROTATION": True,
    "UPDATE_LAST_LOGIN": True,
    "TOKEN_OBTAIN_SERIALIZER": "accounts.api.serializers.LoginSerializer",
    "TOKEN_VERIFY_SERIALIZER": "accounts.api.serializers.VerifySerializer",
    "TOKEN_REFRESH_SERIALIZER": "accounts.api.serializers.RefreshSerializer",
}

# --- Celery ---

NMS_VISIBILITY_TIMEOUT_SECONDS = env.integer("NMS_VISIBILITY_TIMEOUT_SECONDS", 300, low=5, high=86_400)
NMS_TICK_SECONDS = env.number("NMS_TICK_SECONDS", 1.0, low=0.1, high=60)
NMS_PING_THREADS = env.integer("NMS_PING_THREADS", 32, low=1, high=256)
NMS_POLL_THREADS = env.integer("NMS_POLL_THREADS", 16, low=1, high=256)
NMS_STORE_THREADS = env.integer("NMS_STORE_THREADS", 2, low=1, high=64)
NMS_DISCOVERY_THREADS = env.integer("NMS_DISCOVERY_THREADS", 4, low=1, high=64)


CELERY_BROKER_URL, _transport_options = env.or_note(lambda: redis_address.broker(REDIS_URL), ("", _nothing))
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CHANNEL_ERROR_RETRY = True  # or a worker ends when Redis, its disk full, refuses a command
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": NMS_VISIBILITY_TIMEOUT_SECONDS,
    # A Redis that went away must show within seconds, or a publisher hangs in it.
    "socket_timeout": 10,
    "socket_connect_timeout": 5,
    **_transport_options,
}
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_DEFAULT_QUEUE = Queue.CONTROL.value
# polling.poll is sent to its shard's queue by polling/scheduler.py.
CELERY_TASK_ROUTES = {
    "polling.ping": {"queue": Queue.PING.value},
    "polling.store": {"queue": Queue.STORE.value},
    "discovery.sweep": {"queue": Queue.DISCOVERY.value},
}
CELERY_TASK_PUBLISH_RETRY_POLICY = {
    "max_retries": 3,
    "interval_start": 0,
    "interval_step": 0.5,
    "interval_max": 1,
}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = False
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_TIMEZONE = "UTC"
CELERY_BEAT_MAX_LOOP_INTERVAL = 5  # a jump of the clock is noticed so soon
CELERY_BEAT_SCHEDULE = beat_schedule(tick_seconds=NMS_TICK_SECONDS)

# --- Polling ---

NMS_POLL_SHARDS = env.integer("NMS_POLL_SHARDS", 2, low=1, high=1_024)
NMS_BATCH_SIZE = env.integer("NMS_BATCH_SIZE", 250, low=1, high=1_000)
NMS_CLAIM_LIMIT = env.integer("NMS_CLAIM_LIMIT", 5_000, low=1, high=100_000)
NMS_MAX_BACKLOG = env.integer("NMS_MAX_BACKLOG", 1_000, low=1, high=1_000_000)
NMS_PLUGIN_TIMEOUT_SECONDS = env.integer("NMS_PLUGIN_TIMEOUT_SECONDS", 20, low=1, high=60)
NMS_PLUGIN_IN_FLIGHT = env.integer("NMS_PLUGIN_IN_FLIGHT", 200, low=1, high=10_000)
NMS_PLUGIN_SILENCE_SECONDS = env.integer("NMS_PLUGIN_SILENCE_SECONDS", 30, low=1, high=600)
NMS_LOGIN_ATTEMPTS = env.integer("NMS_LOGIN_ATTEMPTS", 3, low=1, high=100)
NMS_LOGIN_WINDOW_SECONDS = env.integer("NMS_LOGIN_WINDOW_SECONDS", 900, low=1, high=86_400)
NMS_PLUGINS_DIR = env.folder("NMS_PLUGINS_DIR", BASE_DIR / "plugins")

NMS_FPING = env.text("NMS_FPING", "fping")
NMS_FPING_COUNT = env.integer("NMS_FPING_COUNT", 0, low=0, high=20)
NMS_FPING_TIMEOUT_MS = env.integer("NMS_FPING_TIMEOUT_MS", 500, low=50, high=2_000)
NMS_FPING_RETRIES = env.integer("NMS_FPING_RETRIES", 2, low=0, high=5)
NMS_FPING_INTERVAL_MS = env.integer("NMS_FPING_INTERVAL_MS", 1, low=1, high=100)

# --- History: days that each kind of row is kept; metrics/retention.py drops whole partitions ---

NMS_RETENTION_SAMPLES_DAYS = env.integer("NMS_RETENTION_SAMPLES_DAYS", 30, low=2, high=36_500)
NMS_RETENTION_VERDICTS_DAYS = env.integer("NMS_RETENTION_VERDICTS_DAYS", 30, low=2, high=36_500)
NMS_RETENTION_5M_DAYS = env.integer("NMS_RETENTION_5M_DAYS", 60, low=2, high=36_500)
NMS_RETENTION_1H_DAYS = env.integer("NMS_RETENTION_1H_DAYS", 730, low=32, high=36_500)
NMS_RETENTION_1D_DAYS = env.integer("NMS_RETENTION_1D_DAYS", 3_650, low=366, high=36_500)
NMS_RETENTION_RUNS_DAYS = env.integer("NMS_RETENTION_RUNS_DAYS", 365, low=2, high=36_500)

# --- Health and discovery ---

NMS_FAILURE_WINDOW_SECONDS = env.integer("NMS_FAILURE_WINDOW_SECONDS", 180, low=1, high=86_400)
NMS_FAILURE_THRESHOLD = env.integer("NMS_FAILURE_THRESHOLD", 3, low=1, high=100)
NMS_SUCCESS_RESETS_FAILURES = env.boolean("NMS_SUCCESS_RESETS_FAILURES", False)
NMS_MAX_TARGETS = env.integer("NMS_MAX_TARGETS", 65_536, low=1, high=16_777_216)

# --- Monitoring of NMS itself ---

NMS_PROMETHEUS_TOKEN = env.bearer_token("NMS_PROMETHEUS_TOKEN")

# --- Logging ---

NMS_LOG_LEVEL = env.choice("NMS_LOG_LEVEL", "INFO", ["DEBUG", "INFO", "WARNING", "ERROR"])
LOGGING_CONFIG = "nms_project.logs.configure"
LOGGING = {"level": NMS_LOG_LEVEL}

env.report()
