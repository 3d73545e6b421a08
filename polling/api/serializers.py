"""Shapes of polling on the wire."""

import re
from datetime import timedelta
from ipaddress import AddressValueError, IPv6Address
from typing import Any

from rest_framework import serializers

from metrics.api.serializers import MAX_PATHS, PathField, PlannedSerializer, RangeSerializer
from nms_project.fields import IntegerField, TextField
from polling.models import Verdict, VerdictKind

# RFC 1123, section 2.1, with the underscores that Windows allows; an IPv4 address is one, too.
HOST_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63})*\.?")


class CredentialTestSerializer(serializers.Serializer[Any]):
    """Where to try a credential; the port is the plugin's own where none is given."""

    target = TextField(max_length=253, help_text="An address, or a host name.")
    port = IntegerField(min_value=1, max_value=65_535, required=False)

    def validate_target(self, value: str) -> str:
        if not HOST_NAME.fullmatch(value) and not _is_ipv6(value):
            raise serializers.ValidationError("Must be one address or one host name.")
        return value


def _is_ipv6(text: str) -> bool:
    try:
        return IPv6Address(text).scope_id is None
    except AddressValueError:
        return False


class CredentialTestedSerializer(serializers.Serializer[Any]):
    success = serializers.BooleanField()
    error_code = serializers.CharField(
        help_text="Empty for a success, else one of the plugin protocol's codes."
    )
    message = serializers.CharField(help_text="What came of it, in words.")
    hostname = serializers.CharField()
    duration_ms = serializers.FloatField(allow_null=True)
    document = serializers.JSONField(allow_null=True, help_text="What a poll would store.")


class VerdictSerializer(serializers.ModelSerializer[Verdict]):
    class Meta:
        model = Verdict
        fields = (
            "due_at",
            "kind",
            "started_at",
            "duration_ms",
            "rtt_ms",
            "loss_percent",
            "attempted",
            "error_code",
            "error",
        )


class DayRangeSerializer(RangeSerializer):
    """The last day by default."""

    default_range = timedelta(days=1)


class VerdictQuerySerializer(DayRangeSerializer):
    kind = serializers.MultipleChoiceField(choices=VerdictKind.choices, required=False)


class OutageSerializer(serializers.Serializer[Any]):
    start = serializers.DateTimeField(help_text="The first failed slot, or the start of the range.")
    end = serializers.DateTimeField(
        allow_null=True,
        help_text="The first good slot, or when a person ended the monitoring; null while it lasts.",
    )
    seconds = serializers.FloatField(help_text="Within the range.")
    kind = serializers.ChoiceField(
        choices=VerdictKind.choices, allow_blank=True, help_text="Empty where the verdict has been dropped."
    )
    error = serializers.CharField()
    began_before = serializers.BooleanField(help_text="It was down already when the range began.")


class CompletenessSerializer(serializers.Serializer[Any]):
    due = IntegerField(help_text="Slots that were due.")
    answered = IntegerField()
    missing = IntegerField(help_text="Lost, overrun, or skipped by a stall.")
    verdicts = serializers.DictField(child=IntegerField(), help_text="How many of each kind.")


class MonitoredTimeSerializer(serializers.Serializer[Any]):
    availability_percent = serializers.FloatField(
        allow_null=True, help_text="1 − outage / monitored time; null where nothing was monitored."
    )
    monitored_seconds = serializers.FloatField(
        allow_null=True, help_text="While active, or deactivated after failures, from the first answer on."
    )
    outage_seconds = serializers.FloatField(allow_null=True)


class AvailabilitySerializer(MonitoredTimeSerializer, CompletenessSerializer):
    device_id = IntegerField()
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()
    poll_success_percent = serializers.FloatField(
        allow_null=True, help_text="Of the slots that say whether it answered; null without any."
    )
    outages = OutageSerializer(many=True)


class PingPointSerializer(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    rtt_min = serializers.FloatField(allow_null=True, help_text="Milliseconds.")
    rtt_avg = serializers.FloatField(allow_null=True)
    rtt_max = serializers.FloatField(allow_null=True)
    loss_percent = serializers.FloatField(allow_null=True)
    count = IntegerField(help_text="Slots that were pinged.")


class PingSeriesSerializer(PlannedSerializer):
    points = PingPointSerializer(many=True)


class FleetHourSerializer(MonitoredTimeSerializer, CompletenessSerializer):
    start = serializers.DateTimeField()
    is_finished = serializers.BooleanField(help_text="False: counted up to now.")


class LatenessSerializer(serializers.Serializer[Any]):
    seconds = serializers.FloatField(allow_null=True, help_text="Upper bound; null is any.")
    polls = IntegerField(help_text="Polls that began no later than that after they were due.")


class SchedulerSerializer(serializers.Serializer[Any]):
    now = serializers.DateTimeField()
    active = IntegerField(help_text="Devices on the schedule.")
    overdue = IntegerField(help_text="Due, but not claimed yet.")
    oldest_due_at = serializers.DateTimeField(allow_null=True)
    leased = IntegerField(help_text="Being worked on.")
    lateness = LatenessSerializer(many=True, help_text="Of the polls of the last ten minutes.")
    queues = serializers.DictField(child=IntegerField(), help_text="Messages that wait.")


class TableStateSerializer(serializers.Serializer[Any]):
    table = serializers.CharField()
    retention_days = IntegerField()
    oldest = serializers.DateTimeField(allow_null=True, help_text="Start of the oldest partition.")
    partitions = IntegerField()
    size_bytes = IntegerField(help_text="With indexes.")


class LevelStateSerializer(serializers.Serializer[Any]):
    ladder = serializers.CharField(help_text="samples or verdicts.")
    level = serializers.CharField()
    done_until = serializers.DateTimeField(allow_null=True)
    intervals_behind = IntegerField(help_text="Finished, but not made yet.")
    intervals_late = IntegerField(help_text="To be made again.")


class HistorySerializer(serializers.Serializer[Any]):
    now = serializers.DateTimeField()
    tables = TableStateSerializer(many=True)
    levels = LevelStateSerializer(many=True)


class LastValuesQuerySerializer(serializers.Serializer[Any]):
    path = serializers.ListField(child=PathField(), required=False, default=list, max_length=MAX_PATHS)


class FailureStateSerializer(serializers.Serializer[Any]):
    count = IntegerField()
    threshold = IntegerField(help_text="So many, and the device is deactivated.")
    window_seconds = IntegerField(help_text="A longer gap begins the count anew.")
    last_at = serializers.DateTimeField(allow_null=True, help_text="The slot of the last one counted.")


class ExplanationSerializer(serializers.Serializer[Any]):
    """Why a device is polled, or is not."""

    device_id = IntegerField()
    status = serializers.CharField()
    status_reason = serializers.CharField()
    status_since = serializers.DateTimeField()
    is_polled = serializers.BooleanField()
    reasons = serializers.ListField(child=serializers.CharField(), help_text="In words, what decides first.")
    polling_interval_seconds = IntegerField()
    next_poll_at = serializers.DateTimeField(allow_null=True)
    lease_due_at = serializers.DateTimeField(allow_null=True, help_text="The slot being worked on.")
    leased_until = serializers.DateTimeField(allow_null=True)
    failures = FailureStateSerializer(allow_null=True, help_text="Null while Redis is away.")
    verdicts = VerdictSerializer(many=True, help_text="The newest ten.")
