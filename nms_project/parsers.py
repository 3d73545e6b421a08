"""The JSON parser of the API. Apart from nms_project/api.py, which DRF's views must be loaded for."""

import json
from typing import Any

from rest_framework.exceptions import ParseError, ValidationError
from rest_framework.parsers import JSONParser

HALF_A_PAIR = "Has half of a surrogate pair, which is no character."


class BoundedJSONParser(JSONParser):
    """JSON nested deeper than Python's stack, or with texts that no answer could hold, is bad input, not a
    bug of ours.
    """

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Any = None) -> Any:
        # A byte order mark before it is not part of the JSON text (RFC 8259, section 8.1).
        context = {**(parser_context or {}), "encoding": "utf-8-sig"}
        try:
            data = super().parse(stream, media_type, context)
            if not _has_only_characters(data):
                raise ValidationError({_first_wrong(data): [HALF_A_PAIR]})
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
        return data


def _has_only_characters(data: Any) -> bool:
    try:
        json.dumps(data, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _first_wrong(data: Any) -> str:
    """The field that is to blame, in a form that can be shown."""
    fields = data.items() if isinstance(data, dict) else ()
    wrong = (name for name, value in fields if not _has_only_characters({name: value}))
    return next(wrong, "body").encode("ascii", "backslashreplace").decode()
