"""Discovery profiles, their runs, and one result for each address of a run."""

from django.db import models

from devices.models import (
    DEFAULT_INTERVAL_SECONDS,
    INTERVAL_VALIDATORS,
    PORT_VALIDATORS,
    CredentialProfile,
    Device,
    Timestamped,
)


class DiscoveryProfile(Timestamped):
    """What to look for, where, and what becomes of it."""

    name = models.CharField(max_length=128, unique=True)
    target = models.TextField(
        max_length=20_000, help_text="Addresses, networks and ranges, separated by commas."
    )
    port = models.PositiveIntegerField(validators=PORT_VALIDATORS)
    credential_profile = models.ForeignKey(
        CredentialProfile, on_delete=models.PROTECT, related_name="discovery_profiles"
    )
    ping_first = models.BooleanField(default=True, help_text="Probe only what answers fping.")
    auto_provision = models.BooleanField(default=False, help_text="Poll what is found at once.")
    polling_interval_seconds = models.PositiveIntegerField(
        default=DEFAULT_INTERVAL_SECONDS, validators=INTERVAL_VALIDATORS
    )

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return self.name

    def credential_profiles(self) -> list[CredentialProfile]:
        """In the order in which they are tried."""
        fallbacks = self.fallback_credentials.select_related("credential_profile")
        return [self.credential_profile, *(fallback.credential_profile for fallback in fallbacks)]


class FallbackCredential(models.Model):
    """A credential that is tried on hosts that refuse the profile's own, in the order of `position`."""

    profile = models.ForeignKey(
        DiscoveryProfile, on_delete=models.CASCADE, related_name="fallback_credentials"
    )
    credential_profile = models.ForeignKey(
        CredentialProfile, on_delete=models.PROTECT, related_name="fallbacks"
    )
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(
                fields=["profile", "credential_profile"], name="fallbackcredential_profile_credential_unique"
            )
        ]

    def __str__(self) -> str:
        return str(self.credential_profile)


class RunStatus(models.TextChoices):
    QUEUED = "queued", "queued"
    RUNNING = "running", "running"
    DONE = "done", "done"
    FAILED = "failed", "failed"


class DiscoveryRun(models.Model):
    """One sweep over a profile's target, which is copied: editing the profile does not move a run under
    way. What else the profile says is read as the run goes on.
    """

    profile = models.ForeignKey(DiscoveryProfile, on_delete=models.CASCADE, related_name="runs")
    status = models.CharField(max_length=16, choices=RunStatus.choices, default=RunStatus.QUEUED)
    target = models.TextField()
    total = models.PositiveIntegerField()
    cursor = models.PositiveIntegerField(default=0)  # addresses handed out to sweep tasks so far
    error = models.CharField(max_length=500, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    progressed_at = models.DateTimeField(
        auto_now_add=True
    )  # read by discovery/services.py to find stalled runs
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(
                fields=["progressed_at"],
                name="discoveryrun_open",
                condition=models.Q(status__in=["queued", "running"]),
            )
        ]

    def __str__(self) -> str:
        return f"run {self.pk} of {self.profile_id}"


class Outcome(models.TextChoices):
    CREATED = "created", "created"  # a new device
    KNOWN = "known", "known"  # answers, and was a device before
    FAILED = "failed", "failed"


class DiscoveryResult(models.Model):
    run = models.ForeignKey(DiscoveryRun, on_delete=models.CASCADE, related_name="results")
    target = models.GenericIPAddressField()
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    error_code = models.CharField(max_length=16, blank=True)
    error = models.CharField(max_length=500, blank=True)
    hostname = models.CharField(max_length=255, blank=True)
    device = models.ForeignKey(Device, on_delete=models.SET_NULL, null=True, related_name="+")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["run", "target"], name="discoveryresult_run_target_unique")
        ]

    def __str__(self) -> str:
        return f"{self.target}: {self.outcome}"
