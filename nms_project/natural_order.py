"""Natural order of names: sw2 before sw10."""

from django.db.models import F, Func

# Pads each number with zeros to ten digits; longer ones stay as they are.
PADDED = (
    r"regexp_replace(regexp_replace(lower(%(expressions)s), '(\d+)', '000000000\1', 'g'), "
    r"'0*(\d{10,})', '\1', 'g')"
)


def natural_key(field: str) -> Func:
    """Return an expression to order a text column by, without regard to case."""
    return Func(F(field), template=PADDED)
