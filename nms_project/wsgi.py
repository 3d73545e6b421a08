"""The WSGI entry point for gunicorn."""

import codecs
import os
import re
from collections.abc import Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "nms_project.settings")
_django = get_wsgi_application()

CHARSET = re.compile(r";\s*charset=\"?([^\s;\"]*)\"?", re.IGNORECASE)


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Django, behind a look at the charset: it trusts any name there, before a middleware could help."""
    match = CHARSET.search(environ.get("CONTENT_TYPE", ""))
    if match and not _is_text_encoding(match[1]):
        environ["CONTENT_TYPE"] = CHARSET.sub("", environ["CONTENT_TYPE"])
    return _django(environ, start_response)


def _is_text_encoding(name: str) -> bool:
    try:
        "".encode(name)
    except (LookupError, ValueError):
        return False
    return codecs.lookup(name).name not in ("idna", "punycode")
