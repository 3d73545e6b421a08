"""The newest value of every numeric path of every active device, in Prometheus's exposition format.

https://prometheus.io/docs/instrumenting/exposition_formats/. Each value carries the time at which it was
sampled, so that nothing looks fresher than it is.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import orjson
from django.db import connection

from metrics.paths import document_leaves, path_text
from metrics.queries import NEWEST_SAMPLE

DEVICES_AT_A_TIME = 500
HEAD = """\
# HELP nms_device_up Whether the newest poll got an answer.
# TYPE nms_device_up gauge
"""
VALUE_HEAD = """\
# HELP nms_device_value The newest value of a numeric path of the device's document.
# TYPE nms_device_value gauge
"""
UP = """
SELECT device.id, device.hostname, host(device.ip_address), device.plugin_id, state.last_verdict = 'ok'
FROM devices_device AS device JOIN devices_pollstate AS state ON state.device_id = device.id
WHERE device.status = 'active' AND state.last_verdict <> '' AND device.id > %s ORDER BY device.id LIMIT %s
"""
VALUES = f"""
SELECT device.id, device.hostname, host(device.ip_address), device.plugin_id,
       (extract(epoch FROM sample.sampled_at) * 1000)::bigint, sample.data
FROM (
    SELECT * FROM devices_device WHERE status = 'active' AND id > %s ORDER BY id LIMIT %s
) AS device
JOIN devices_pollstate AS state ON state.device_id = device.id
{NEWEST_SAMPLE}
ORDER BY device.id
"""  # noqa: S608 (constants of this project)
ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n"})


def last_values(paths: Sequence[Sequence[str]]) -> Iterator[bytes]:
    """In pieces of some hundred devices. With `paths`, only what lies at or below one of them."""
    yield HEAD.encode()
    for rows in _pages(UP):
        lines = [f"nms_device_up{{{_labels(*row[:4])}}} {int(row[4])}\n" for row in rows]
        yield "".join(lines).encode()
    yield VALUE_HEAD.encode()
    wanted = [path_text(path) for path in paths]
    for rows in _pages(VALUES):
        yield "".join(_value_lines(rows, wanted)).encode()


def _pages(statement: str) -> Iterator[list[tuple[Any, ...]]]:
    last = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(statement, [last, DEVICES_AT_A_TIME])
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
