"""The admin of credential profiles and devices. Secrets go in and never come out."""

from typing import Any, ClassVar

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.widgets import UnfoldAdminPasswordWidget, UnfoldAdminSelectWidget

from devices import bulk, services
from devices.credentials import payload_encrypted_for, protocol_change_check
from devices.models import INTERVAL_VALIDATORS, CredentialProfile, Device
from devices.plugins import plugin_ids
from devices.search import devices_search
from devices.transfer import CredentialTable, DeviceTable
from nms_project.admin import ActionForm
from nms_project.errors import InvalidInput
from nms_project.transfer.admin import TableAdmin


class CredentialForm(forms.ModelForm[CredentialProfile]):
    payload = forms.CharField(
        required=False,
        widget=UnfoldAdminPasswordWidget(attrs={"autocomplete": "new-password"}),
        help_text="A JSON object for the protocol's plugin. Leave it empty to keep the stored secret.",
    )

    class Meta:
        model = CredentialProfile
        fields = ("name", "description", "protocol")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["protocol"] = forms.ChoiceField(
            choices=[(name, name) for name in plugin_ids()], widget=UnfoldAdminSelectWidget
        )

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if "protocol" not in cleaned:
            return cleaned
        stored = self.instance if self.instance.pk else None
        try:
            if stored:
                original = CredentialProfile.objects.get(pk=stored.pk)
                protocol_change_check(original, cleaned["protocol"])
                stored = original
            self.encrypted = payload_encrypted_for(stored, cleaned["protocol"], cleaned.get("payload"))
        except InvalidInput as error:
            for name, texts in error.fields.items():
                self.add_error(name, texts)
        return cleaned


@admin.register(CredentialProfile)
class CredentialProfileAdmin(TableAdmin):
    table = CredentialTable()
    form = CredentialForm
    list_display = ("name", "protocol", "description", "updated_at")
    list_filter = ("protocol",)
    search_fields = ("name", "description")

    def save_model(self, request: HttpRequest, obj: CredentialProfile, form: Any, change: bool) -> None:
        fields = {name: form.cleaned_data[name] for name in ("name", "description", "protocol")}
        if form.encrypted is not None:
            fields["encrypted_payload"] = form.encrypted
        if change:
            services.row_update(obj, **fields)
        else:
            obj.encrypted_payload = form.encrypted
            super().save_model(request, obj, form, change)


class IntervalForm(ActionForm):
    """What an action is told besides the devices; `set_interval` checks it, so that the others do without."""

    polling_interval_seconds = forms.CharField(
        required=False, label="Interval in seconds", widget=forms.NumberInput
    )


@admin.register(Device)
class DeviceAdmin(TableAdmin):
    table = DeviceTable()
    list_display = (
        "hostname",
        "ip_address",
        "port",
        "plugin_id",
        "status",
        "last_verdict",
        "last_polled_at",
        "status_reason",
    )
    list_filter = ("status", "plugin_id", "should_ping")
    list_select_related = ("poll_state",)
    search_fields = ("hostname", "ip_address")  # that there is a search; devices_search does it
    search_help_text = "Parts of name or address, or a network such as 10.2.0.0/16"
    actions = ("provision", "deactivate", "set_interval", "forget")
    action_form = IntervalForm
    readonly_fields: ClassVar[tuple[str, ...]] = ("remembered",)

    def get_search_results(self, request: HttpRequest, queryset: QuerySet[Any], search_term: str) -> Any:
        return devices_search(queryset, search_term.split()), False

    def get_readonly_fields(self, request: HttpRequest, obj: Device | None = None) -> tuple[str, ...]:
        fixed = ("credential_profile", "discovery_profile", "plugin_id") if obj else ("discovery_profile",)
        return (*self.readonly_fields, *fixed)

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

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        bulk.devices_delete(queryset.values_list("pk", flat=True))

    @admin.action(description="Provision: poll from now on", permissions=["change"])
    def provision(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        done = bulk.devices_provision(queryset.values_list("pk", flat=True), interval_seconds=None)
        self.message_user(request, f"{len(done)} device(s) are polled from now on.", messages.SUCCESS)

    @admin.action(description="Set the interval", permissions=["change"])
    def set_interval(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        sent = request.POST.get("polling_interval_seconds", "")
        try:
            interval = forms.IntegerField(validators=INTERVAL_VALIDATORS).clean(sent)
        except forms.ValidationError as error:
            self.message_user(request, f"Interval in seconds: {error.messages[0]}", messages.ERROR)
            return
        ids = queryset.values_list("pk", flat=True)
        outcomes = bulk.devices_set_interval(ids, interval_seconds=interval).values()
        done = list(outcomes).count(bulk.Outcome.CHANGED)
        self.message_user(request, f"{done} device(s) have another interval now.", messages.SUCCESS)

    @admin.action(description="Forget what is remembered, such as the host key", permissions=["change"])
    def forget(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        done = sum(services.device_forget(device_id=pk) for pk in queryset.values_list("pk", flat=True))
        self.message_user(request, f"{done} device(s) learn it anew with their next poll.", messages.SUCCESS)

    @admin.action(description="Deactivate: stop polling", permissions=["change"])
    def deactivate(self, request: HttpRequest, queryset: QuerySet[Device]) -> None:
        reason = f"deactivated by {request.user}"
        outcomes = bulk.devices_deactivate(queryset.values_list("pk", flat=True), reason=reason).values()
        done = list(outcomes).count(bulk.Outcome.DEACTIVATED)
        self.message_user(request, f"{done} device(s) are not polled any more.", messages.SUCCESS)
