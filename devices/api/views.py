"""Endpoints of credential profiles and devices."""

from typing import Any, ClassVar

from django.db.models import F
from django.http import Http404
from django_filters import rest_framework as filters
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.decorators import action
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ModelViewSet, ReadOnlyModelViewSet, ViewSet

from accounts.permissions import A_LOGIN, is_allowed
from devices import bulk, services
from devices.api.serializers import (
    BulkCredentialSerializer,
    BulkDoneSerializer,
    BulkIntervalSerializer,
    BulkProvisionSerializer,
    BulkSerializer,
    CredentialRowSerializer,
    CredentialSerializer,
    DeletionSerializer,
    DeviceRowSerializer,
    DeviceSerializer,
    PluginSerializer,
    ProvisionedSerializer,
    ProvisionSerializer,
)
from devices.models import CredentialProfile, Deletion, Device
from devices.plugins import plugin_find, plugin_ids, registry
from devices.search import DeviceSearchFilter
from devices.transfer import CredentialTable, DeviceTable
from nms_project.api import KeepingPut, PageNumbers, QuickPaginator
from nms_project.filters import (
    AddressFilter,
    FilterBackend,
    IdFilter,
    IntegerFilter,
    WholeOrderingFilter,
    YesOrNoFilter,
)
from nms_project.transfer.api import TableViews, table_schema

DEVICE_TABLE, CREDENTIAL_TABLE = DeviceTable(), CredentialTable()


@table_schema(CREDENTIAL_TABLE, CredentialRowSerializer)
class CredentialViewSet(KeepingPut, TableViews, ModelViewSet[CredentialProfile]):
    """Secrets for the protocols. A payload can be written, never read back."""

    table = CREDENTIAL_TABLE

    queryset = CredentialProfile.objects.all()
    serializer_class = CredentialSerializer
    filterset_fields = ("protocol", "name")
    search_fields = ("name", "description")
    ordering_fields = ("id", "name", "protocol", "created_at", "updated_at")
    action_needs: ClassVar = {
        "export_table": "devices.view_credentialprofile",
        "import_table": "devices.add_credentialprofile",
    }


class PluginViewSet(ViewSet):
    """The plugins of this installation, with the schema of their credentials."""

    needs = A_LOGIN
    serializer_class = PluginSerializer
    lookup_value_regex = r"\w+"

    @extend_schema(responses=PluginSerializer(many=True))
    def list(self, request: Request) -> Response:
        plugins = registry().plugins
        return Response(PluginSerializer([plugins[name] for name in plugin_ids()], many=True).data)

    @extend_schema(
        responses=PluginSerializer, parameters=[OpenApiParameter("id", str, OpenApiParameter.PATH)]
    )
    def retrieve(self, request: Request, pk: str) -> Response:
        plugin = plugin_find(pk)
        if plugin is None:
            raise Http404
        return Response(PluginSerializer(plugin).data)


class DeletionFilter(filters.FilterSet):
    finished_at__isnull = YesOrNoFilter("finished_at", "isnull")

    class Meta:
        model = Deletion
        fields: ClassVar[list[str]] = []


class DeletionViewSet(ReadOnlyModelViewSet[Deletion]):
    """Deleted devices, and how far the erasing of their history has come."""

    queryset = Deletion.objects.all()
    serializer_class = DeletionSerializer
    lookup_field = "device_id"
    filterset_class = DeletionFilter
    search_fields = ("hostname", "ip_address")
    ordering_fields = ("deleted_at", "finished_at", "hostname")


class DeviceFilter(filters.FilterSet):
    port = IntegerFilter()
    ip_address = AddressFilter()
    credential_profile_id = IdFilter()
    discovery_profile_id = IdFilter()
    should_ping = YesOrNoFilter()

    class Meta:
        model = Device
        fields = ("status", "plugin_id")


class DevicePaginator(QuickPaginator):
    """Reads plain rows: to make two models of each device takes twice the time."""

    def read(self, rows: Any) -> Any:
        state = {
            name: F(f"poll_state__{name}") for name in ("last_polled_at", "last_verdict", "next_poll_at")
        }
        return rows.annotate(**state).values_list(*DeviceSerializer.Meta.fields, named=True)


class DevicePages(PageNumbers):
    django_paginator_class = DevicePaginator


@table_schema(DEVICE_TABLE, DeviceRowSerializer)
class DeviceViewSet(KeepingPut, TableViews, ModelViewSet[Device]):
    """Monitored hosts."""

    table = DEVICE_TABLE

    queryset = Device.objects.select_related("poll_state")
    pagination_class = DevicePages
    serializer_class = DeviceSerializer
    filterset_class = DeviceFilter
    filter_backends = (FilterBackend, DeviceSearchFilter, WholeOrderingFilter)
    ordering_fields = ("id", "hostname", "ip_address", "status", "status_since", "created_at", "updated_at")
    natural_orders: ClassVar = {"hostname": "sort_name"}
    action_needs: ClassVar = {
        "provision": "devices.change_device",
        "forget": "devices.change_device",
        "poll": "devices.change_device",
        "provision_many": "devices.change_device",
        "deactivate_many": "devices.change_device",
        "set_interval_many": "devices.change_device",
        "set_credential_many": "devices.change_device",
        "delete_many": "devices.delete_device",
        "export_table": "devices.view_device",
        "import_table": "devices.add_device",
    }

    def perform_destroy(self, instance: Device) -> None:
        if not services.device_delete(device_id=instance.pk):
            raise Http404

    @extend_schema(request=None, responses={204: None})
    @action(detail=True, methods=["post"])
    def forget(self, request: Request, pk: str) -> Response:
        """Drops what is remembered of the device, such as its host key: the next poll learns it anew."""
        if not services.device_forget(device_id=self.get_object().pk):
            raise Http404
        return Response(status=204)

    @extend_schema(request=ProvisionSerializer, responses={202: ProvisionedSerializer})
    @action(detail=True, methods=["post"])
    def provision(self, request: Request, pk: str) -> Response:
        """Activates the device from any state; it is due at once."""
        device = self.get_object()
        form = ProvisionSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        interval = form.validated_data.get("polling_interval_seconds")
        if not services.device_provision(device_id=device.pk, interval_seconds=interval):
            raise Http404
        return Response({"message": "device provisioned", "device_id": device.pk}, status=202)

    @extend_schema(request=None, responses={202: ProvisionedSerializer})
    @action(detail=True, methods=["post"])
    def poll(self, request: Request, pk: str) -> Response:
        """Makes an active device due at once; its next slot keeps half an interval's distance."""
        device = self.get_object()
        if not services.device_poll_now(device_id=device.pk):
            raise Http404
        return Response({"message": "device is due", "device_id": device.pk}, status=202)

    # What follows is about many at once; each device has an outcome of its own.

    @extend_schema(
        operation_id="devices_provision_many", request=BulkProvisionSerializer, responses=BulkDoneSerializer
    )
    @action(detail=False, methods=["post"], url_path="provision", url_name="provision-many")
    def provision_many(self, request: Request) -> Response:
        """Activates devices from any state; they are due at once."""
        fields = _validated(BulkProvisionSerializer, request)
        interval = fields["polling_interval_seconds"]
        return _outcomes(bulk.devices_provision(fields["device_ids"], interval_seconds=interval))

    @extend_schema(request=BulkSerializer, responses=BulkDoneSerializer)
    @action(detail=False, methods=["post"], url_path="deactivate", url_name="deactivate-many")
    def deactivate_many(self, request: Request) -> Response:
        """Takes active devices off the schedule."""
        fields = _validated(BulkSerializer, request)
        reason = f"deactivated by {request.user.get_username()}"
        return _outcomes(bulk.devices_deactivate(fields["device_ids"], reason=reason))

    @extend_schema(request=BulkIntervalSerializer, responses=BulkDoneSerializer)
    @action(detail=False, methods=["post"], url_path="set_interval", url_name="set-interval-many")
    def set_interval_many(self, request: Request) -> Response:
        """Sets how often devices are polled; a slot being worked on keeps its own end."""
        fields = _validated(BulkIntervalSerializer, request)
        interval = fields["polling_interval_seconds"]
        return _outcomes(bulk.devices_set_interval(fields["device_ids"], interval_seconds=interval))

    @extend_schema(request=BulkCredentialSerializer, responses=BulkDoneSerializer)
    @action(detail=False, methods=["post"], url_path="set_credential", url_name="set-credential-many")
    def set_credential_many(self, request: Request) -> Response:
        """Gives devices another credential profile of their protocol, from their next poll on."""
        needed = "devices.use_credentialprofile"
        if not is_allowed(request.user, request.auth, needed):
            raise PermissionDenied(f"This needs the permission {needed}.")
        fields = _validated(BulkCredentialSerializer, request)
        found = bulk.devices_set_credential(fields["device_ids"], profile=fields["credential_profile_id"])
        return _outcomes(found)

    @extend_schema(request=BulkSerializer, responses=BulkDoneSerializer)
    @action(detail=False, methods=["post"], url_path="delete", url_name="delete-many")
    def delete_many(self, request: Request) -> Response:
        """Deletes devices; their history is erased in the background."""
        return _outcomes(bulk.devices_delete(_validated(BulkSerializer, request)["device_ids"]))


def _validated(form: type[BulkSerializer], request: Request) -> dict[str, Any]:
    serializer = form(data=request.data)
    serializer.is_valid(raise_exception=True)
    fields: dict[str, Any] = serializer.validated_data
    return fields


def _outcomes(found: dict[int, bulk.Outcome]) -> Response:
    return Response(
        {"results": [{"device_id": pk, "outcome": outcome.value} for pk, outcome in found.items()]}
    )
