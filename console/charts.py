"""The charts of a device's page: which there are, and their values as columns for the browser.

Values of one step are its least, its mean and its greatest; a step without a value is null, a gap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from devices.models import Device
from metrics.levels import Plan, plan_series, step_automatic
from metrics.paths import device_paths, path_parse
from metrics.sample_rollups import SAMPLES
from metrics.series import Band, device_bands
from nms_project.errors import OF_ALL_FIELDS, InvalidInput
from polling.ping_series import PingPoint, ping_series
from polling.verdict_rollups import VERDICTS

MAX_CHARTS = 30  # before somebody asks for all
BITS = 8
PERCENT, BITS_A_SECOND, MILLISECONDS, PLAIN = "%", "bit/s", "ms", ""

Column = list[float | None]


@dataclass(frozen=True, slots=True)
class Line:
    """`low` and `high` are empty where no step has more than one value."""

    label: str
    mean: Column
    low: Column
    high: Column


@dataclass(frozen=True, slots=True)
class Chart:
    """`grid` names the times of its values."""

    name: str
    title: str
    unit: str
    grid: str
    lines: list[Line]


@dataclass(frozen=True, slots=True)
class Grid:
    """Seconds since the epoch: `count` steps from `start` on."""

    start: int
    step: int
    count: int
    level: str


@dataclass(frozen=True, slots=True)
class Charts:
    start: float
    end: float
    grids: dict[str, Grid]
    charts: list[Chart]
    left_out: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """A chart to come. `whole` is the path that a value is a share of; `is_free` turns the share around."""

    name: str
    title: str
    unit: str
    paths: Sequence[tuple[str, str]]  # (label, path)
    factor: float = 1.0
    whole: str = ""
    is_free: bool = False
    weight: float = field(default=0.0, compare=False)  # the newest values: the busiest come first


def charts_of(device: Device, *, start: datetime, end: datetime, now: datetime, show_all: bool) -> Charts:
    """All charts over [start, end); of more than MAX_CHARTS the first, unless `show_all`."""
    step = step_automatic(end - start, device.polling_interval)
    samples = plan_series(start=start, end=end, step=step, now=now, ladder=SAMPLES)
    pings = plan_series(start=start, end=end, step=step, now=now, ladder=VERDICTS)
    wanted = charts_wanted({known.path: known.value for known in device_paths(device.pk, now)})
    shown = wanted if show_all else wanted[:MAX_CHARTS]
    charts = _ping_charts(ping_series(device_id=device.pk, pieces=pings.pieces, step=pings.step), pings)
    charts += _sample_charts(device.pk, shown, samples)
    return Charts(
        start=start.timestamp(),
        end=end.timestamp(),
        grids={"samples": _grid(samples), "pings": _grid(pings)},
        charts=charts,
        left_out=len(wanted) - len(shown),
    )


def charts_wanted(known: Mapping[str, float | None]) -> list[Wanted]:
    """What the numeric paths of a device come to: those of the common document first, then whatever else its
    plugin sends.
    """
    used: set[str] = set()
    found: list[Wanted] = []

    def add(wanted: Wanted) -> None:
        paths = [path for _, path in wanted.paths]
        if all(path in known for path in paths):
            found.append(wanted)
            used.update((*paths, wanted.whole))

    add(Wanted("cpu", "Processor", PERCENT, [("load", "cpu.total")]))
    add(Wanted("memory", "Memory", PERCENT, [("used", "memory.used")], whole="memory.total"))
    drives = _members(known, ["disk", "drives"], "free")
    for name, path in drives:
        whole = f"{path.removesuffix('.free')}.total"
        title = f"Disk {name}"
        add(Wanted(f"disk-{name}", title, PERCENT, [("used", path)], whole=whole, is_free=True))
    interfaces = []
    for name, path in _members(known, ["network", "interfaces"], "rx"):
        sent = f"{path.removesuffix('.rx')}.tx"
        weight = (known.get(path) or 0.0) + (known.get(sent) or 0.0)
        lines = [("in", path), ("out", sent)]
        interfaces.append(
            Wanted(f"net-{name}", f"Interface {name}", BITS_A_SECOND, lines, factor=BITS, weight=weight)
        )
    for wanted in sorted(interfaces, key=lambda wanted: -wanted.weight):
        add(wanted)
    for path in sorted(known):
        section = path.partition(".")[0]
        if path not in used and section not in {"cpu", "memory", "disk", "network", "system", "icmp"}:
            add(Wanted(path, path, PLAIN, [("value", path)]))
    return found


def _members(known: Mapping[str, float | None], parent: list[str], leaf: str) -> list[tuple[str, str]]:
    """(name, path) of each `parent.<name>.leaf`."""
    found = []
    for path in sorted(known):
        segments = path_parse(path)
        if len(segments) == len(parent) + 2 and segments[: len(parent)] == parent and segments[-1] == leaf:
            found.append((segments[-2], path))
    return found


def _grid(plan: Plan) -> Grid:
    count = max(0, -(-(plan.end - plan.start) // plan.step))
    return Grid(int(plan.start.timestamp()), int(plan.step.total_seconds()), count, plan.level)


def _sample_charts(device_id: int, wanted: Sequence[Wanted], plan: Plan) -> list[Chart]:
    paths = list(dict.fromkeys(path for each in wanted for path in _needed(each)))
    bands = dict(
        zip(
            paths,
            device_bands(device_id=device_id, paths=[path_parse(path) for path in paths], plan=plan),
            strict=True,
        )
    )
    return [
        Chart(
            each.name,
            each.title,
            each.unit,
            "samples",
            [_line(label, _scaled(each, bands, path), plan) for label, path in each.paths],
        )
        for each in wanted
    ]


def _needed(wanted: Wanted) -> list[str]:
    return [path for _, path in wanted.paths] + ([wanted.whole] if wanted.whole else [])


def _scaled(wanted: Wanted, bands: dict[str, list[Band]], path: str) -> list[Band]:
    if not wanted.whole:
        factor = wanted.factor
        return [
            Band(band.timestamp, band.low * factor, band.mean * factor, band.high * factor)
            for band in bands[path]
        ]
    wholes = {band.timestamp: band.mean for band in bands[wanted.whole] if band.mean}
    return [
        _share(band, wholes[band.timestamp], is_free=wanted.is_free)
        for band in bands[path]
        if band.timestamp in wholes
    ]


def _share(band: Band, whole: float, *, is_free: bool) -> Band:
    low, mean, high = (100 * value / whole for value in (band.low, band.mean, band.high))
    if is_free:
        low, mean, high = 100 - high, 100 - mean, 100 - low
    return Band(band.timestamp, low, mean, high)


def _line(label: str, bands: Sequence[Band], plan: Plan) -> Line:
    count = _grid(plan).count
    mean: Column = [None] * count
    low: Column = [None] * count
    high: Column = [None] * count
    has_band = any(band.low != band.high for band in bands)
    for band in bands:
        place = (band.timestamp - plan.start) // plan.step
        if 0 <= place < count:
            mean[place] = _short(band.mean)
            low[place], high[place] = _short(band.low), _short(band.high)
    return Line(label, mean, low if has_band else [], high if has_band else [])


def _short(value: float) -> float:
    """No more digits than anybody can see: they are most of the answer's size."""
    return float(f"{value:.5g}")


def _ping_charts(points: Sequence[PingPoint], plan: Plan) -> list[Chart]:
    if not points:
        return []
    trips = [
        Band(point.timestamp, point.rtt_min, point.rtt_avg, point.rtt_max)
        for point in points
        if point.rtt_min is not None and point.rtt_avg is not None and point.rtt_max is not None
    ]
    losses = [
        Band(point.timestamp, point.loss_percent, point.loss_percent, point.loss_percent)
        for point in points
        if point.loss_percent is not None
    ]
    return [
        Chart("rtt", "Round trip", MILLISECONDS, "pings", [_line("round trip", trips, plan)]),
        Chart("loss", "Packet loss", PERCENT, "pings", [_line("loss", losses, plan)]),
    ]


def range_checked(start: float, end: float, now: datetime) -> tuple[datetime, datetime]:
    """Of seconds since the epoch, as a browser sends them. Raises InvalidInput for what is no range, and what
    datetime raises for what is no time.
    """
    low, high = (datetime.fromtimestamp(seconds, tz=now.tzinfo) for seconds in (start, end))
    low = max(low, now - timedelta(days=3_660))
    high = min(high, now)
    if high - low < timedelta(minutes=1):
        raise InvalidInput({OF_ALL_FIELDS: ["The range must be a minute at least, and begin in the past."]})
    return low, high
