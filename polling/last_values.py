"""Whether each active device answers, and the newest value of its every numeric path, in Prometheus's format.

https://prometheus.io/docs/instrumenting/exposition_formats/. So that nothing looks fresher than it is, each
value carries the time at which it was sampled, and a device that was not polled for two intervals is neither
up nor down.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

import orjson
from django.db import connection

from metrics.paths import document_leaves, path_text
from metrics.queries import NEWEST_SAMPLE
from polling.verdict_rollups import IS_UP

DEVICES_AT_A_TIME = 500
HEAD = """\
# HELP nms_device_up Whether the device answered its newest poll.
# TYPE nms_device_up gauge
"""
VALUE_HEAD = """\
# HELP nms_device_value The newest value of a numeric path of the device's document.
# TYPE nms_device_value gauge
"""
UP = f"""
SELECT device.id, device.hostname, host(device.ip_address), device.plugin_id, told.is_up
FROM (
    SELECT * FROM devices_device WHERE status = 'active' AND id > %(after)s ORDER BY id LIMIT %(limit)s
) AS device
JOIN devices_pollstate AS state ON state.device_id = device.id
LEFT JOIN LATERAL (
    SELECT {IS_UP} AS is_up FROM polling_verdict
    WHERE device_id = device.id AND due_at = state.last_polled_at
      AND due_at >= %(now)s - 2 * make_interval(secs => device.polling_interval_seconds)
    OFFSET 0
) AS told ON true
ORDER BY device.id
"""
VALUES = f"""
SELECT device.id, device.hostname, host(device.ip_address), device.plugin_id,
       (extract(epoch FROM sample.sampled_at) * 1000)::bigint, sample.data
FROM (
    SELECT * FROM devices_device WHERE status = 'active' AND id > %(after)s ORDER BY id LIMIT %(limit)s
) AS device
JOIN devices_pollstate AS state ON state.device_id = device.id
{NEWEST_SAMPLE}
ORDER BY device.id
"""
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def last_values(paths: Sequence[Sequence[str]], now: datetime) -> Iterator[bytes]:
    """In pieces of some hundred devices. With `paths`, only what lies at or below one of them."""
    yield HEAD.encode()
    for rows in _pages(UP, now):
        known = [row for row in rows if row[4] is not None]
        yield "".join(f"nms_device_up{{{_labels(*row[:4])}}} {int(row[4])}\n" for row in known).encode()
    yield VALUE_HEAD.encode()
    wanted = [path_text(path) for path in paths]
    for rows in _pages(VALUES, now):
        yield "".join(_value_lines(rows, wanted)).encode()


def _pages(statement: str, now: datetime) -> Iterator[list[tuple[Any, ...]]]:
    last = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(statement, {"after": last, "limit": DEVICES_AT_A_TIME, "now": now})
            rows = cursor.fetchall()
        if not rows:
            return
        yield rows
        last = rows[-1][0]


def _value_lines(rows: Sequence[tuple[Any, ...]], wanted: Sequence[str]) -> Iterator[str]:
    for device_id, hostname, address, plugin, sampled_ms, data in rows:
        if data is None:
            continue
        labels = _labels(device_id, hostname, address, plugin)
        for path, value in document_leaves(orjson.loads(data)):
            if not wanted or any(path == each or path.startswith(f"{each}.") for each in wanted):
                name = path.translate(ESCAPES)
                yield f'nms_device_value{{{labels},path="{name}"}} {value!r} {sampled_ms}\n'


def _labels(device_id: object, hostname: object, address: object, plugin: object) -> str:
    name = str(hostname).translate(ESCAPES)
    return f'device_id="{device_id}",hostname="{name}",ip_address="{address}",plugin="{plugin}"'
