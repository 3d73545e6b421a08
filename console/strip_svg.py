"""The last day of a device as a small picture."""

from django.utils.html import format_html
from django.utils.safestring import SafeString

from console.templatetags.console import percent
from polling.strips import HOURS, Strip

BAR, STEP, HEIGHT = 3, 4, 16
OUTSTANDING = 4  # pixels by which what is bad rises above the rest, so that it shows without its colour


def strip_svg(strip: Strip) -> SafeString:
    """Draw a bar for each hour, from the oldest: the time that the device was up, and above it the time that
    it was down. An hour in which it was not monitored has no bar.
    """
    up, down = [], []
    for index, share in enumerate(strip.hours):
        if share is None:
            continue
        left = index * STEP
        # Anything missed is at least two pixels.
        missed = 0 if share == 100 else max(2, round((100 - share) / 100 * (HEIGHT - OUTSTANDING)))
        top = OUTSTANDING + missed
        if top < HEIGHT:
            up.append(f"M{left} {HEIGHT}V{top}h{BAR}V{HEIGHT}z")
        if missed:
            down.append(f"M{left} {top}V0h{BAR}V{top}z")
    width = HOURS * STEP - (STEP - BAR)
    label = f"{percent(strip.percent)} up" if strip.percent is not None else "not monitored"
    return format_html(
        '<svg class="nms-strip" role="img" aria-label="24 hours: {}" width="{}" height="{}" '
        'viewBox="0 0 {} {}"><title>{}</title>'
        '<path class="nms-up" d="{}"/><path class="nms-down" d="{}"/></svg>',
        *(label, width, HEIGHT, width, HEIGHT, label, "".join(up), "".join(down)),
    )
