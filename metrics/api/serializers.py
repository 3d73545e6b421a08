"""Shapes of metric queries and answers."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any

from rest_framework import serializers

from devices.api.serializers import DeviceIdsField
from metrics.export import LEVELS, Form
from metrics.levels import RAW
from metrics.models import Sample
from metrics.paths import path_parse
from metrics.series import Aggregation
from nms_project.fields import IntegerField, TextField, TimeField
from nms_project.filters import MAX_ID

MAX_DEVICES = 500
MAX_LIMIT = 1_000
MAX_PATHS = 20
MAX_IDS_IN_A_LINE = 200  # even long ones fit into the 8,190 bytes of a request line
MAX_POINTS = 10_000
MAX_RANKED = 1_000
# What PostgreSQL and every calendar can hold, with room for a range around it.
EARLIEST, LATEST = datetime(1970, 1, 2, tzinfo=UTC), datetime(9000, 1, 1, tzinfo=UTC)

STEP = re.compile(r"(\d{1,9})(s|m|h|d)?")
UNITS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}
MAX_STEP = timedelta(days=366)


class PathField(TextField):
    """A dotted path, given on as its segments."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(trim_whitespace=False, **kwargs)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        value = super().run_validation(data)
        try:
            return path_parse(value) if isinstance(value, str) else value
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from None


class MomentField(TimeField):
    def to_internal_value(self, value: Any) -> datetime:
        moment = super().to_internal_value(value)
        if not EARLIEST <= moment <= LATEST:
            raise serializers.ValidationError(f"Must lie between {EARLIEST.year} and {LATEST.year}.")
        return moment


class StepField(serializers.CharField):
    """Seconds, or a number with s, m, h or d."""

    def to_internal_value(self, data: Any) -> timedelta:  # type: ignore[override]  # it gives on a length
        match = STEP.fullmatch(super().to_internal_value(data))
        seconds = int(match[1]) * UNITS[match[2] or "s"] if match else 0
        if not 1 <= seconds <= MAX_STEP.total_seconds():
            raise serializers.ValidationError("Must be a length like 60, 5m, 1h or 1d, of at most 366 days.")
        return timedelta(seconds=seconds)


class RangeSerializer(serializers.Serializer[Any]):
    """A range of time, the last hour by default; `now` is in the context."""

    default_range = timedelta(hours=1)

    start = MomentField(required=False, help_text="Default: shortly before end.")
    end = MomentField(required=False, help_text="Default: now.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        attrs["end"] = attrs.get("end") or self.context["now"]
        attrs["start"] = attrs.get("start") or attrs["end"] - self.default_range
        if attrs["start"] > attrs["end"]:
            raise serializers.ValidationError({"start": ["Must not be after end."]})
        return attrs


class MetricQuerySerializer(RangeSerializer):
    device_ids = DeviceIdsField(min_length=1, max_length=MAX_DEVICES)
    path = PathField(
        required=False,
        allow_blank=True,
        default="",
        help_text="Dotted, like cpu.total; empty for the whole document.",
    )
    limit = IntegerField(
        required=False, default=100, min_value=1, max_value=MAX_LIMIT, help_text="Values for each device."
    )


class PointSerializer(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField()
    value = serializers.JSONField()


class SeriesSerializer(serializers.Serializer[Any]):
    device_id = IntegerField()
    results = PointSerializer(many=True)
    as_of = serializers.DateTimeField(allow_null=True)
    stale = serializers.BooleanField()


class StepQuerySerializer(RangeSerializer):
    step = StepField(required=False, help_text="Default: chosen for about 500 points.")


class DeviceSeriesQuerySerializer(StepQuerySerializer):
    path = serializers.ListField(
        child=PathField(), min_length=1, max_length=MAX_PATHS, help_text="May be given several times."
    )
    agg = serializers.ChoiceField(choices=Aggregation.choices, required=False, default=Aggregation.AVG)


class StepPointSerializer(serializers.Serializer[Any]):
    timestamp = serializers.DateTimeField(help_text="Start of the step.")
    value = serializers.FloatField()
    count = IntegerField(help_text="Values in the step.")


class PathSeriesSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    points = StepPointSerializer(many=True)


class AnsweredSerializer(serializers.Serializer[Any]):
    """What an answer was made of."""

    level = serializers.CharField(help_text="raw, 5m, 1h or 1d: the coarsest rows that were read.")
    start = serializers.DateTimeField()
    end = serializers.DateTimeField()


class PlannedSerializer(AnsweredSerializer):
    device_id = IntegerField()
    step_seconds = IntegerField()


class DeviceSeriesSerializer(PlannedSerializer):
    agg = serializers.CharField()
    as_of = serializers.DateTimeField(allow_null=True)
    stale = serializers.BooleanField()
    expected = IntegerField(help_text="Polls that were due in the range.")
    got = IntegerField(help_text="Samples there are of them.")
    series = PathSeriesSerializer(many=True)


class SampleSerializer(serializers.ModelSerializer[Sample]):
    class Meta:
        model = Sample
        fields = ("due_at", "sampled_at", "data")


class PathsQuerySerializer(serializers.Serializer[Any]):
    device_id = IntegerField(
        required=False, min_value=1, max_value=MAX_ID, help_text="Without it: the paths of all devices."
    )


class KnownPathSerializer(serializers.Serializer[Any]):
    path = serializers.CharField()
    value = serializers.FloatField(allow_null=True, help_text="The newest, where one device is asked for.")


class ExportQuerySerializer(RangeSerializer):
    output = serializers.ChoiceField(choices=list(Form), required=False, default=Form.NDJSON)
    level = serializers.ChoiceField(
        choices=[RAW, *LEVELS], required=False, default=RAW, help_text="raw: the samples; else rollups."
    )
    device_id = DeviceIdsField(
        required=False,
        min_length=1,
        max_length=MAX_IDS_IN_A_LINE,
        help_text="May be given several times; default: all.",
    )
    path = serializers.ListField(
        child=PathField(),
        required=False,
        default=list,
        max_length=MAX_PATHS,
        help_text="May be given several times; default: whole documents, or all paths.",
    )


class TopQuerySerializer(RangeSerializer):
    path = PathField(help_text="Dotted, like cpu.total.")
    agg = serializers.ChoiceField(choices=Aggregation.choices, required=False, default=Aggregation.AVG)
    order = serializers.ChoiceField(choices=["desc", "asc"], required=False, default="desc")
    limit = IntegerField(required=False, default=10, min_value=1, max_value=MAX_RANKED)
    device_ids = DeviceIdsField(
        required=False, min_length=1, max_length=10_000, help_text="Default: all devices."
    )


class RankedSerializer(serializers.Serializer[Any]):
    device_id = IntegerField()
    hostname = serializers.CharField()
    ip_address = serializers.CharField()
    value = serializers.FloatField()
    count = IntegerField(help_text="Values it was computed from.")


class TopSerializer(AnsweredSerializer):
    path = serializers.CharField()
    agg = serializers.CharField()
    results = RankedSerializer(many=True)
