"""Samples, one JSON document for each successful poll, and what is made of them to last for years."""

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models

from metrics.partitions import Partitioning, Width


class Sample(models.Model):
    """What one poll measured. Written by metrics/writer.py only.

    No foreign key to the device, for the reasons given at the ledger: partitions are dropped whole.
    """

    partitioning: ClassVar[Partitioning] = Partitioning(
        "due_at", Width.DAY, "NMS_RETENTION_SAMPLES_DAYS", "samples.5m"
    )

    pk = models.CompositePrimaryKey("device_id", "due_at")
    device_id = models.BigIntegerField()
    due_at = models.DateTimeField()
    sampled_at = models.DateTimeField()
    data = models.JSONField()

    class Meta:
        managed = False  # partitioned: its table is made by SQL in the migration
        db_table = "metrics_sample"


class Layout(models.Model):
    """The paths of the numeric leaves of a device's document, sorted: what the arrays of a rollup stand for.

    Its id is made of its content, so devices of one kind share it and nobody has to hand out numbers.
    """

    id = models.UUIDField(primary_key=True)
    paths = ArrayField(models.TextField())
    # The newest day of each level's rows that refer to it: forgotten when none can any more.
    used_5m = models.DateField(null=True)
    used_1h = models.DateField(null=True)
    used_1d = models.DateField(null=True)


class Rollup(models.Model):
    """All numeric leaves of one device over one interval, from `start_at` on. Written by metrics/rollups.py.

    `last` has the newest value of each path of the layout. Most leaves do not move within an interval; those
    that did, or were not in each of the `samples`, are named by their positions in `moved` (from 1 on), and
    `low`, `high`, `total` and `counts` have one entry for each of them. For the others low = high = last.
    """

    pk = models.CompositePrimaryKey("device_id", "start_at")
    device_id = models.BigIntegerField()
    start_at = models.DateTimeField()
    layout = models.UUIDField()
    samples = models.IntegerField()
    last = ArrayField(models.FloatField())
    moved = ArrayField(models.SmallIntegerField(), null=True)
    low = ArrayField(models.FloatField(), null=True)
    high = ArrayField(models.FloatField(), null=True)
    total = ArrayField(models.FloatField(), null=True)
    counts = ArrayField(models.SmallIntegerField(), null=True)

    class Meta:
        abstract = True
        managed = False


class Rollup5m(Rollup):
    partitioning: ClassVar[Partitioning] = Partitioning(
        "start_at", Width.DAY, "NMS_RETENTION_5M_DAYS", "samples.1h"
    )

    class Meta(Rollup.Meta):
        db_table = "metrics_rollup_5m"


class Rollup1h(Rollup):
    partitioning: ClassVar[Partitioning] = Partitioning(
        "start_at", Width.MONTH, "NMS_RETENTION_1H_DAYS", "samples.1d"
    )

    class Meta(Rollup.Meta):
        db_table = "metrics_rollup_1h"


class Rollup1d(Rollup):
    partitioning: ClassVar[Partitioning] = Partitioning("start_at", Width.YEAR, "NMS_RETENTION_1D_DAYS")

    class Meta(Rollup.Meta):
        db_table = "metrics_rollup_1d"


class RollupProgress(models.Model):
    """How far a level has come. Intervals before `done_until` are finished for all devices; those before
    `sealed_until` for the devices up to `device_id`.

    Whoever writes a row that belongs before `sealed_until` also leaves a LateMark.
    """

    level = models.CharField(primary_key=True, max_length=32)
    done_until = models.DateTimeField()
    sealed_until = models.DateTimeField()
    device_id = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)


class LateMark(models.Model):
    """One interval of one device that has to be made again: something came into it after it was made.

    Only ever inserted and deleted, never unique: a mark that two writers shared could be taken away between
    them.
    """

    level = models.CharField(max_length=32)
    device_id = models.BigIntegerField()
    start_at = models.DateTimeField()


class Trimmed(models.Model):
    """Up to where rows of a table have been dropped: what is older may be only a part of what there was."""

    table = models.CharField(primary_key=True, max_length=63)
    until = models.DateTimeField()
