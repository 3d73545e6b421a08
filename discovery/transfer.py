"""The table of discovery profiles."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django.db.models import QuerySet

from devices.models import CredentialProfile
from discovery.api.serializers import DiscoveryRowSerializer
from discovery.models import DiscoveryProfile
from nms_project.transfer.table import Table, add_by_name


class DiscoveryProfileTable(Table[DiscoveryProfile]):
    name = "discovery_profiles"
    columns = DiscoveryRowSerializer.Meta.fields

    def form(self) -> DiscoveryRowSerializer:
        profiles = {profile.name: profile for profile in CredentialProfile.objects.all()}
        return DiscoveryRowSerializer(context={"profiles": profiles})

    def add(self, rows: Sequence[dict[str, Any]]) -> Iterable[tuple[int, bool]]:
        return add_by_name(DiscoveryProfile, DiscoveryRowSerializer().create, rows)

    def related(self, rows: QuerySet[DiscoveryProfile]) -> QuerySet[DiscoveryProfile]:
        return (
            rows.select_related("credential_profile")
            .prefetch_related(None)
            .prefetch_related("fallback_credentials__credential_profile")
        )

    def cells(self, row: DiscoveryProfile) -> Mapping[str, Any]:
        fallbacks = [each.credential_profile.name for each in row.fallback_credentials.all()]
        return {
            **{name: getattr(row, name, None) for name in self.columns},
            "credential_profile": row.credential_profile.name,
            "fallback_credential_profiles": "\n".join(fallbacks),
            "ping_first": str(row.ping_first).lower(),
            "auto_provision": str(row.auto_provision).lower(),
        }
