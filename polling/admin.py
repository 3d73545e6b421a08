"""The admin of polling: parked messages, and the latest verdicts and the newest sample on each device's
page.
"""

import json
from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from devices.admin import DeviceAdmin
from devices.models import Device
from devices.services import database_now
from metrics.models import Sample
from nms_project.admin import ModelAdmin
from polling.explain import device_explain
from polling.models import ParkedMessage, Verdict

SHOWN_VERDICTS = 20

admin.site.unregister(Device)


@admin.register(Device)
class PolledDeviceAdmin(DeviceAdmin):
    """The device's page with what polling knows of it. The ledger and the samples have no pages of their own:
    they are partitioned, and hundreds of millions of rows are no list to page through.
    """

    readonly_fields = (*DeviceAdmin.readonly_fields, "explanation", "latest_verdicts", "newest_sample")

    @admin.display(description="why")
    def explanation(self, device: Device) -> SafeString:
        reasons = device_explain(device, database_now()).reasons
        return format_html_join("", "<p>{}</p>", ((reason,) for reason in reasons))

    @admin.display(description="latest verdicts")
    def latest_verdicts(self, device: Device) -> SafeString | str:
        rows = Verdict.objects.filter(device_id=device.pk).order_by("-due_at")[:SHOWN_VERDICTS]
        if not rows:
            return "none yet"
        cells = (
            (
                f"{row.due_at:%Y-%m-%d %H:%M:%S}",
                row.get_kind_display(),
                _number(row.rtt_ms),
                _number(row.duration_ms),
                row.error,
            )
            for row in rows
        )
        return format_html(
            "<table><thead><tr><th>due (UTC)</th><th>verdict</th><th>RTT ms</th><th>took ms</th>"
            "<th>error</th></tr></thead><tbody>{}</tbody></table>",
            format_html_join("", "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>", cells),
        )

    @admin.display(description="newest sample")
    def newest_sample(self, device: Device) -> SafeString | str:
        sample = Sample.objects.filter(device_id=device.pk).order_by("-due_at").first()
        if sample is None:
            return "none yet"
        return format_html(
            "<p>{}</p><pre>{}</pre>",
            f"{sample.sampled_at:%Y-%m-%d %H:%M:%S} UTC",
            json.dumps(sample.data, indent=1, ensure_ascii=False),
        )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


@admin.register(ParkedMessage)
class ParkedMessageAdmin(ModelAdmin[ParkedMessage]):
    """Messages that killed their worker three times. They can be looked at and deleted."""

    list_display = ("task_id", "parked_at")
    readonly_fields = ("task_id", "body", "parked_at")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
