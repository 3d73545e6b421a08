"""Samples: one JSON document for each successful poll."""

from django.db import models


class Sample(models.Model):
    """What one poll measured. Partitioned by day of due_at; written by metrics/writer.py only.

    No foreign key to the device, for the reasons given at the ledger: partitions are dropped whole.
    """

    pk = models.CompositePrimaryKey("device_id", "due_at")
    device_id = models.BigIntegerField()
    due_at = models.DateTimeField()
    sampled_at = models.DateTimeField()
    data = models.JSONField()

    class Meta:
        managed = False  # partitioned: its table is made by SQL in the migration
        db_table = "metrics_sample"
