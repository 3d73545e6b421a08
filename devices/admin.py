"""The admin of credential profiles and devices. Secrets go in and never come out."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from devices import services
from devices.addresses import SCOPED
from devices.credential_form import OF_THE_PROFILE, CredentialForm, credential_form, payload_stored
from devices.credentials import credential_update
from devices.models import CredentialProfile, Device
from devices.plugins import plugin_find, plugin_ids, registry
from devices.search import devices_search
from devices.transfer import CredentialTable, DeviceTable
from nms_project.natural_order import natural_key
from nms_project.transfer.admin import TableAdmin


@admin.register(CredentialProfile)
class CredentialProfileAdmin(TableAdmin):
    """A new one begins with its protocol, `?protocol=`: its form is the plugin's."""

    table = CredentialTable()
    form = CredentialForm
    audited_as = ("credential profile",)
    empty_text = "A credential profile is a login that NMS uses on devices. Discovery and polling need one."
    list_display = ("name", "protocol", "description", "updated_at")
    list_filter = ("protocol",)
    search_fields = ("name", "description")
    ordering = (natural_key("name"), "pk")
    readonly_fields = ("protocol",)

    def add_view(self, request: HttpRequest, form_url: str = "", extra_context: Any = None) -> HttpResponse:
        if self.has_add_permission(request) and plugin_find(request.GET.get("protocol", "")) is None:
            context = {
                **self.admin_site.each_context(request),
                "title": "Add credential profile: for which protocol?",
                "opts": self.opts,
                "plugins": [registry().plugins[plugin_id] for plugin_id in plugin_ids()],
            }
            return TemplateResponse(request, "admin/devices/credentialprofile/protocols.html", context)
        return super().add_view(request, form_url, extra_context)

    def get_form(
        self, request: HttpRequest, obj: CredentialProfile | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        protocol = obj.protocol if obj else request.GET.get("protocol", "")
        kwargs["form"] = credential_form(protocol, payload_stored(obj) if obj else ())
        return super().get_form(request, obj, change, **kwargs)

    def get_fields(self, request: HttpRequest, obj: CredentialProfile | None = None) -> Any:
        if obj is not None and not self.has_change_permission(request, obj):
            return (*OF_THE_PROFILE, "protocol")
        fields = list(super().get_fields(request, obj))
        if obj is None:
            fields.remove("protocol")
        return fields

    def save_model(self, request: HttpRequest, obj: CredentialProfile, form: Any, change: bool) -> None:
        fields = {name: form.cleaned_data[name] for name in OF_THE_PROFILE}
        if change:
            credential_update(obj, **fields, encrypted_payload=form.encrypted)
        else:
            obj.protocol = form.protocol_id
            obj.encrypted_payload = form.encrypted
            super().save_model(request, obj, form, change)


class DeviceForm(forms.ModelForm[Device]):
    class Meta:
        model = Device
        fields = ("ip_address",)

    def clean_ip_address(self) -> Any:
        if "%" in self.data.get(self.add_prefix("ip_address"), ""):  # which Django drops in silence
            raise ValidationError(SCOPED)
        return self.cleaned_data["ip_address"]


@admin.register(Device)
class DeviceAdmin(TableAdmin):
    table = DeviceTable()
    form = DeviceForm
    audited_as = ("device",)
    empty_text = "Devices are what NMS polls. Let discovery find them in a network, or add one by hand."
    next_step = ("admin:discovery_discoveryprofile_changelist", "Go to discovery profiles")
    list_display: tuple[Any, ...] = (
        "name",
        "ip_address",
        "port",
        "plugin_id",
        "status",
        "last_verdict",
        "last_polled_at",
        "status_reason",
    )
    list_filter: ClassVar[tuple[Any, ...]] = ("status", "plugin_id", "should_ping")
    list_select_related = ("poll_state",)
    search_fields = ("hostname", "ip_address")  # that there is a search; devices_search does it
    search_help_text = "Parts of name or address, or a network such as 10.2.0.0/16"
    readonly_fields: ClassVar[tuple[str, ...]] = ("remembered",)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        return devices_search(queryset, search_term.split()), False

    def get_readonly_fields(self, request: HttpRequest, obj: Device | None = None) -> tuple[str, ...]:
        fixed: tuple[str, ...] = ("discovery_profile", "plugin_id") if obj else ("discovery_profile",)
        if obj and not request.user.has_perm("devices.use_credentialprofile"):
            fixed = (*fixed, "credential_profile")  # or its secret could be sent to a host of one's choice
        return (*self.readonly_fields, *fixed)

    def get_form(
        self, request: HttpRequest, obj: Device | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        """Offer the credential profiles of the device's protocol only."""
        form = super().get_form(request, obj, change, **kwargs)
        field = form.base_fields.get("credential_profile")
        if obj is not None and isinstance(field, forms.ModelChoiceField):
            field.queryset = CredentialProfile.objects.filter(protocol=obj.plugin_id)
        return form

    def get_fields(self, request: HttpRequest, obj: Device | None = None) -> tuple[str, ...]:
        settable = (
            "hostname",
            "ip_address",
            "plugin_id",
            "port",
            "credential_profile",
            "discovery_profile",
            "polling_interval_seconds",
            "should_ping",
        )
        return (*settable, *self.readonly_fields) if obj else settable

    @admin.display(description="hostname", ordering="sort_name")
    def name(self, device: Device) -> str:
        return device.hostname

    @admin.display(description="last verdict")
    def last_verdict(self, device: Device) -> str:
        return device.poll_state.last_verdict or "–"

    @admin.display(description="last polled")
    def last_polled_at(self, device: Device) -> Any:
        return device.poll_state.last_polled_at

    def save_model(self, request: HttpRequest, obj: Device, form: Any, change: bool) -> None:
        """Through the services, which keep the run state beside the device."""
        fields = {name: form.cleaned_data[name] for name in form.changed_data}
        if change:
            services.device_update(obj, **fields)
        else:
            created = services.device_create(**{name: form.cleaned_data[name] for name in form.cleaned_data})
            obj.pk = created.pk

    def delete_model(self, request: HttpRequest, obj: Device) -> None:
        services.device_delete(device_id=obj.pk)
