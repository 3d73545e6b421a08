"""The admin of discovery: profiles to edit and run, runs and results to read."""

from collections.abc import Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from devices.models import CredentialProfile, port_error
from devices.plugins import plugin_find
from devices.services import row_update
from discovery.models import DiscoveryProfile, DiscoveryResult, DiscoveryRun, FallbackCredential
from discovery.selectors import runs_with_progress
from discovery.services import credentials_settle, fallbacks_check, profile_delete, run_start
from discovery.targets import target_check
from discovery.transfer import DiscoveryProfileTable
from nms_project.admin import ReadOnlyAdmin, TabularInline
from nms_project.errors import InvalidInput, NMSError
from nms_project.natural_order import natural_key
from nms_project.transfer.admin import TableAdmin


class DiscoveryProfileForm(forms.ModelForm[DiscoveryProfile]):
    class Meta:
        model = DiscoveryProfile
        fields = (
            "name",
            "target",
            "credential_profile",
            "port",
            "ping_first",
            "auto_provision",
            "polling_interval_seconds",
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "port" in self.fields:  # a viewer's page has none
            self.fields["port"].required = False
            self.fields["port"].help_text = "Left empty: the port that the protocol usually has."

    def clean_target(self) -> str:
        target = str(self.cleaned_data["target"])
        try:
            target_check(target, settings.NMS_MAX_TARGETS)
        except InvalidInput as error:
            raise forms.ValidationError(error.fields["target"]) from None
        return target

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        credential, port = cleaned.get("credential_profile"), cleaned.get("port")
        if credential and port is None and "port" not in self.errors:
            plugin = plugin_find(credential.protocol)
            if plugin is None:
                self.add_error("port", f"There is no plugin {credential.protocol!r} that has a usual one.")
            else:
                cleaned["port"] = port = plugin.default_port
        wrong = port_error(credential.protocol, port) if credential and port is not None else ""
        if wrong:
            self.add_error("port", wrong)
        return cleaned


class FallbackCredentialFormSet(forms.BaseInlineFormSet[FallbackCredential, DiscoveryProfile, Any]):
    credentials: Sequence[CredentialProfile] = ()  # those that it leaves, once it is clean

    def clean(self) -> None:
        super().clean()
        kept = [
            form.cleaned_data
            for form in self.forms
            if form.is_valid() and not form.cleaned_data.get("DELETE")
        ]
        self.credentials = [
            fields["credential_profile"] for fields in kept if fields.get("credential_profile")
        ]
        if self.instance.credential_profile_id is None:
            return
        try:
            fallbacks_check(self.instance.credential_profile, self.credentials)
        except InvalidInput as error:
            raise forms.ValidationError(error.fields["fallback_credential_profile_ids"]) from None


class FallbackCredentialInline(TabularInline[FallbackCredential, DiscoveryProfile]):
    model = FallbackCredential
    formset = FallbackCredentialFormSet
    verbose_name = "further credential"
    verbose_name_plural = "further credentials, tried in this order on hosts that refuse the one above"
    extra = 0


@admin.register(DiscoveryProfile)
class DiscoveryProfileAdmin(TableAdmin):
    table = DiscoveryProfileTable()
    form = DiscoveryProfileForm
    audited_as = ("discovery profile",)
    empty_text = "A discovery profile names the addresses to search and the credentials to try on them."
    next_step = ("admin:devices_credentialprofile_changelist", "Go to credential profiles")
    list_display = ("name", "target", "port", "credential_profile", "auto_provision", "updated_at")
    list_select_related = ("credential_profile",)
    search_fields = ("name", "target")
    ordering = (natural_key("name"), "pk")
    inlines = (FallbackCredentialInline,)
    actions = ("run",)

    def has_run_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("discovery.add_discoveryrun")

    def save_model(self, request: HttpRequest, obj: DiscoveryProfile, form: Any, change: bool) -> None:
        if change:
            row_update(obj, **{name: form.cleaned_data[name] for name in form.changed_data})
        else:
            super().save_model(request, obj, form, change)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        fallbacks = [credential for formset in formsets for credential in formset.credentials]
        credentials_settle(form.instance, [form.instance.credential_profile, *fallbacks])

    def delete_model(self, request: HttpRequest, obj: DiscoveryProfile) -> None:
        profile_delete(profile_id=obj.pk)

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[DiscoveryProfile]) -> None:
        for profile in queryset:
            profile_delete(profile_id=profile.pk)

    @admin.action(description="Run discovery now", permissions=["run"])
    def run(self, request: HttpRequest, queryset: QuerySet[DiscoveryProfile]) -> None:
        for profile in queryset:
            try:
                run = run_start(profile)
            except NMSError as error:
                self.message_user(request, f"{profile}: {error}", messages.ERROR)
            else:
                self.message_user(
                    request, f"Discovery of {profile} started as run {run.pk}.", messages.SUCCESS
                )


@admin.register(DiscoveryRun)
class DiscoveryRunAdmin(ReadOnlyAdmin):
    audited_as = ("discovery run",)
    empty_text = "A run searches the addresses of a discovery profile. Open a profile to start one."
    next_step = ("admin:discovery_discoveryprofile_changelist", "Go to discovery profiles")
    list_display = (
        "id",
        "profile",
        "status",
        "total",
        "done",
        "found",
        "created",
        "failed",
        "started_at",
        "finished_at",
    )
    list_filter = ("status",)
    list_select_related = ("profile",)

    def get_queryset(self, request: HttpRequest) -> QuerySet[DiscoveryRun]:
        return runs_with_progress()

    @admin.display
    def done(self, run: Any) -> int:
        return int(run.done)

    @admin.display
    def found(self, run: Any) -> int:
        return int(run.found)

    @admin.display
    def created(self, run: Any) -> int:
        return int(run.created)

    @admin.display
    def failed(self, run: Any) -> int:
        return int(run.failed)


@admin.register(DiscoveryResult)
class DiscoveryResultAdmin(ReadOnlyAdmin):
    empty_text = "Discovery runs put here what they found at each address."
    next_step = ("admin:discovery_discoveryprofile_changelist", "Go to discovery profiles")
    list_display = ("target", "run", "outcome", "hostname", "error_code", "error")
    list_filter = ("outcome", "error_code")
    linked_lookups = ("run__id__exact",)
    ordering = ("-run", "target")
    list_select_related = ("run",)
    search_fields = ("target", "hostname")
