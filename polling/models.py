"""The verdict ledger, and messages that could not be stored."""

from typing import ClassVar

from django.db import models

from metrics.partitions import Partitioning, Width


class VerdictKind(models.TextChoices):
    OK = "ok", "ok"
    PING_FAILED = "ping_failed", "ping failed"
    POLL_FAILED = "poll_failed", "poll failed"
    AUTH_FAILED = "auth_failed", "login failed"
    TIMEOUT = "timeout", "timeout"
    PLUGIN_ERROR = "plugin_error", "plugin error"  # ours, never the device's
    OVERRUN = "overrun", "overrun"  # the slot came while the one before was still being worked on
    LOST = "lost", "lost"  # the lease ran out without an answer


# What the scheduler notes by itself gives way to a real answer for the same slot.
PROVISIONAL = (VerdictKind.OVERRUN, VerdictKind.LOST)


class Verdict(models.Model):
    """The outcome of one slot: exactly one row for each (device, due_at). Partitioned by day of due_at.

    No foreign key to the device: partitions are dropped whole, and a deleted device's rows are dropped at
    store.
    """

    partitioning: ClassVar[Partitioning] = Partitioning(
        "due_at", Width.DAY, "NMS_RETENTION_VERDICTS_DAYS", "verdicts.1h"
    )

    pk = models.CompositePrimaryKey("device_id", "due_at")
    device_id = models.BigIntegerField()
    due_at = models.DateTimeField()
    kind = models.CharField(max_length=16, choices=VerdictKind.choices)
    started_at = models.DateTimeField(null=True)
    duration_ms = models.FloatField(null=True)
    rtt_ms = models.FloatField(null=True)
    loss_percent = models.FloatField(null=True)
    attempted = models.BooleanField()  # whether the device itself was asked
    error_code = models.CharField(max_length=16, blank=True)
    error = models.TextField(blank=True)

    class Meta:
        managed = False  # partitioned: its table is made by SQL in the migration
        db_table = "polling_verdict"


class VerdictRollup(models.Model):
    """The verdicts of one device over one interval: how many of each kind, and when it went down and came up.

    `skipped` are slots that a stall left without a verdict; `down` counts the verdicts that say the device
    does not answer, which a quota's or an untried login's does not. `first_at` is the first verdict that says
    whether the device answers. `changes` is null while it did throughout, else [microseconds since the epoch,
    kind, error] of each verdict that said otherwise than the one before, the first included.
    """

    pk = models.CompositePrimaryKey("device_id", "start_at")
    device_id = models.BigIntegerField()
    start_at = models.DateTimeField()
    first_at = models.DateTimeField(null=True)
    rtt_min = models.FloatField(null=True)
    rtt_max = models.FloatField(null=True)
    rtt_total = models.FloatField()
    loss_total = models.FloatField()
    rtt_count = models.IntegerField()
    loss_count = models.IntegerField()
    ok = models.IntegerField()
    ping_failed = models.IntegerField()
    poll_failed = models.IntegerField()
    auth_failed = models.IntegerField()
    timeout = models.IntegerField()
    plugin_error = models.IntegerField()
    overrun = models.IntegerField()
    lost = models.IntegerField()
    skipped = models.IntegerField()
    down = models.IntegerField()
    changes = models.JSONField(null=True)

    class Meta:
        abstract = True
        managed = False


class VerdictRollup1h(VerdictRollup):
    partitioning: ClassVar[Partitioning] = Partitioning(
        "start_at", Width.MONTH, "NMS_RETENTION_1H_DAYS", "verdicts.1d"
    )

    class Meta(VerdictRollup.Meta):
        db_table = "polling_verdict_1h"


class VerdictRollup1d(VerdictRollup):
    partitioning: ClassVar[Partitioning] = Partitioning("start_at", Width.YEAR, "NMS_RETENTION_1D_DAYS")

    class Meta(VerdictRollup.Meta):
        db_table = "polling_verdict_1d"


class FleetHour(models.Model):
    """One finished hour of all devices, as they were when it was counted."""

    start_at = models.DateTimeField(primary_key=True)
    devices = models.IntegerField()
    ok = models.IntegerField()
    ping_failed = models.IntegerField()
    poll_failed = models.IntegerField()
    auth_failed = models.IntegerField()
    timeout = models.IntegerField()
    plugin_error = models.IntegerField()
    overrun = models.IntegerField()
    lost = models.IntegerField()
    skipped = models.IntegerField()
    down = models.IntegerField(default=0, db_default=0)
    # Over all devices, monitored time and how much of it was outage; NULL until polling/fleet.py has added
    # it up.
    monitored_seconds = models.FloatField(null=True)
    outage_seconds = models.FloatField(null=True)


class Gap(models.Model):
    """Slots of a device that a stall skipped: `slots` grid points from `first_at` on. They have no verdicts.

    All of a row's lie in one month, UTC's, so that they are dropped with its partition.
    """

    partitioning: ClassVar[Partitioning] = Partitioning(
        "first_at", Width.MONTH, "NMS_RETENTION_VERDICTS_DAYS", "verdicts.1h"
    )

    pk = models.CompositePrimaryKey("device_id", "first_at")
    device_id = models.BigIntegerField()
    first_at = models.DateTimeField()
    slots = models.IntegerField()
    interval_seconds = models.IntegerField()

    class Meta:
        managed = False
        db_table = "polling_gap"


class ParkedMessage(models.Model):
    """A store message that killed its worker again and again: kept for people to look at, out of everybody's
    way.
    """

    task_id = models.CharField(max_length=64, unique=True)
    body = models.JSONField()
    parked_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-parked_at"]

    def __str__(self) -> str:
        return self.task_id
