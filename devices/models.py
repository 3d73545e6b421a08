"""Credential profiles, devices, and the run state the scheduler works on."""

import unicodedata
from datetime import timedelta

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from devices.addresses import host_address_check
from nms_project.natural_order import natural_key
from plugins.registry import ICMP

MIN_INTERVAL_SECONDS = 10
MAX_INTERVAL_SECONDS = 86_400
DEFAULT_INTERVAL_SECONDS = 60

INTERVAL_VALIDATORS = [MinValueValidator(MIN_INTERVAL_SECONDS), MaxValueValidator(MAX_INTERVAL_SECONDS)]
PORT_VALIDATORS = [MinValueValidator(0), MaxValueValidator(65_535)]


def port_error(plugin_id: str, port: int) -> str:
    """What is wrong with a port, or "". 0 is for ping-only devices, which have none, and for them alone."""
    if (plugin_id == ICMP.id) == (port == 0):
        return ""
    return "A ping-only device has port 0." if plugin_id == ICMP.id else "Must be from 1 to 65535."


def one_line_check(text: str) -> None:
    """Raise ValidationError for a name that a table, a log or a terminal would not show as one line."""
    if len(text.splitlines()) > 1:
        raise ValidationError("Must be one line.")
    if any(unicodedata.category(one) == "Cc" for one in text):
        raise ValidationError("Must have no control characters.")


def name_cleaned(text: str) -> str:
    """Return a name that a host gave itself as one that `one_line_check` accepts, with composed accents."""
    whole = unicodedata.normalize("NFC", text)
    return " ".join("".join(" " if unicodedata.category(one) == "Cc" else one for one in whole).split())


class Timestamped(models.Model):
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        abstract = True


class CredentialProfile(Timestamped):
    """A secret for one protocol, encrypted at rest; devices/crypto.py alone says what
    `encrypted_payload` means.
    """

    name = models.CharField(max_length=128, unique=True, validators=[one_line_check])
    description = models.TextField(blank=True, max_length=2_000)
    protocol = models.CharField(max_length=32, help_text="The id of the plugin that uses it.")
    encrypted_payload = models.TextField(editable=False)

    class Meta:
        ordering = ["id"]
        permissions = [("use_credentialprofile", "Can try a credential profile on a host")]

    def __str__(self) -> str:
        return f"{self.name} ({self.protocol})"


class DeviceStatus(models.TextChoices):
    DISCOVERED = "discovered", "discovered"  # found, waits to be provisioned
    ACTIVE = "active", "active"  # polled
    INACTIVE = "inactive", "inactive"  # taken off the schedule by health or by a person
    ERROR = "error", "error"  # cannot be polled by its configuration


class Device(Timestamped):
    hostname = models.CharField(max_length=255, validators=[one_line_check])
    # IPv4 as IPv6 has it, ::ffff:10.0.0.1, is the same host.
    ip_address = models.GenericIPAddressField("IP address", unpack_ipv4=True, validators=[host_address_check])
    plugin_id = models.CharField(max_length=32)
    port = models.PositiveIntegerField(validators=PORT_VALIDATORS)
    credential_profile = models.ForeignKey(
        CredentialProfile, on_delete=models.PROTECT, related_name="devices"
    )
    discovery_profile = models.ForeignKey(
        "discovery.DiscoveryProfile", on_delete=models.PROTECT, null=True, blank=True, related_name="devices"
    )
    polling_interval_seconds = models.PositiveIntegerField(
        default=DEFAULT_INTERVAL_SECONDS, validators=INTERVAL_VALIDATORS
    )
    should_ping = models.BooleanField(default=True, help_text="Ask fping first; poll only what answers.")
    # What its plugin had us keep for it, such as the host key it showed first.
    remembered = models.JSONField(default=dict, db_default={}, blank=True, editable=False)
    status = models.CharField(max_length=16, choices=DeviceStatus.choices, default=DeviceStatus.DISCOVERED)
    status_reason = models.CharField(max_length=500, blank=True)
    status_since = models.DateTimeField()
    # Its failures, or its configuration, took it off the schedule, and no person has changed that since.
    has_failed = models.BooleanField(default=False, db_default=False, editable=False)
    # The user that acknowledged the failure, and when; cleared when the status changes.
    acknowledged_by = models.CharField(max_length=150, blank=True, db_default="", editable=False)
    acknowledged_at = models.DateTimeField(null=True, editable=False)
    # The host name in natural order, made by PostgreSQL.
    sort_name = models.GeneratedField(
        expression=natural_key("hostname"), output_field=models.TextField(), db_persist=True
    )
    # What devices/search.py looks into, made by PostgreSQL.
    search_text = models.GeneratedField(
        expression=models.Func(
            models.F("hostname"),
            models.Func(models.F("ip_address"), function="host"),
            template="lower(%(expressions)s)",
            arg_joiner=" || ' ' || ",
        ),
        output_field=models.TextField(),
        db_persist=True,
    )

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["ip_address", "port"], name="device_ip_port_unique")]
        indexes = [
            models.Index(fields=["sort_name", "id"], name="device_sort_name"),
            # What is searched, without the rest of the rows: devices/search.py.
            models.Index(fields=["id"], include=["search_text", "status", "plugin_id"], name="device_search"),
            models.Index(fields=["status", "plugin_id"], name="device_status_plugin"),  # counts of lists
            models.Index(fields=["status_since"], name="device_failed", condition=models.Q(has_failed=True)),
        ]

    def __str__(self) -> str:
        return f"{self.hostname} ({self.ip_address})"

    @property
    def is_acknowledged(self) -> bool:
        """Whether a user knows of this failure; an acknowledgement of an earlier one does not count."""
        return self.acknowledged_at is not None and self.acknowledged_at >= self.status_since

    @property
    def polling_interval(self) -> timedelta:
        return timedelta(seconds=self.polling_interval_seconds)

    def clean(self) -> None:
        """The rules over several fields, for forms; the API's serializer names the same fields."""
        wrong = port_error(self.plugin_id, self.port) if self.port is not None else ""
        if wrong:
            raise ValidationError({"port": wrong})
        protocol = self.credential_profile.protocol if self.credential_profile_id else self.plugin_id
        if self.plugin_id != protocol:
            raise ValidationError({"plugin_id": f"The credential profile is for {protocol!r}."})


class PollState(models.Model):
    """Where a device stands in the schedule. Narrow, because polling/claim.py moves each row every interval.

    Its row is made with the device and written by devices/services.py, polling/claim.py and polling/store.py
    only.
    """

    device = models.OneToOneField(
        Device, on_delete=models.CASCADE, primary_key=True, related_name="poll_state"
    )
    interval_seconds = models.PositiveIntegerField()
    # Slots are epoch + grid_offset_ms + k × interval: a hash of the device spreads the load over the
    # interval.
    grid_offset_ms = models.PositiveIntegerField()
    next_poll_at = models.DateTimeField(
        null=True
    )  # NULL unless the device is active; read by polling/claim.py
    last_due_at = models.DateTimeField(null=True)
    lease_due_at = models.DateTimeField(null=True)  # the slot being worked on
    leased_until = models.DateTimeField(null=True)
    last_polled_at = models.DateTimeField(null=True)
    last_verdict = models.CharField(max_length=16, blank=True)
    newest_sample_at = models.DateTimeField(
        null=True
    )  # the slot of the newest sample: its key, found at once

    class Meta:
        indexes = [
            models.Index(
                fields=["next_poll_at"], name="pollstate_due", condition=models.Q(next_poll_at__isnull=False)
            ),
            models.Index(
                fields=["leased_until"],
                name="pollstate_leased",
                condition=models.Q(leased_until__isnull=False),
            ),
        ]


class StatusChange(models.Model):
    """One row for each change of a device's status or interval: what an operator asks for after the fact, and
    how many polls were due in a time long past.
    """

    device = models.ForeignKey(Device, on_delete=models.CASCADE, related_name="status_changes")
    old_status = models.CharField(max_length=16, choices=DeviceStatus.choices, blank=True)
    new_status = models.CharField(max_length=16, choices=DeviceStatus.choices)
    reason = models.CharField(max_length=500)
    polling_interval_seconds = models.PositiveIntegerField(null=True)  # from then on; rows of old have none
    # Whether failures deactivated the device, which is then down until it answers or a person ends it; NULL
    # in rows of releases that did not know this column.
    has_failed = models.BooleanField(null=True)
    at = models.DateTimeField()

    class Meta:
        # By id, given under the device's lock: `at` is when a transaction began, which may then have waited.
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["device", "-at"], name="statuschange_device_at"),
            models.Index(fields=["at"], name="statuschange_at"),
        ]

    def __str__(self) -> str:
        return f"{self.old_status or 'new'} → {self.new_status}"


class Deletion(models.Model):
    """A deleted device, for as long as its history is being erased, and after that as a record of it.

    A trigger of the database makes the row, so that no way to delete a device can forget to. Device ids are
    never used again.
    """

    device_id = models.BigIntegerField(unique=True)
    hostname = models.CharField(max_length=255)
    ip_address = models.GenericIPAddressField("IP address")
    deleted_at = models.DateTimeField()
    erased_up_to = models.CharField(max_length=63, default="", db_default="")  # the last partition, by name
    partitions_done = models.IntegerField(default=0, db_default=0)
    partitions_total = models.IntegerField(null=True)  # not known before erasing has begun
    rows_erased = models.BigIntegerField(default=0, db_default=0)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-deleted_at", "-id"]

    def __str__(self) -> str:
        return f"{self.hostname} ({self.ip_address})"
