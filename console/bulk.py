"""Changes of many devices, asked for on a list: a page that has them done some at a time, shows how far it
is, and says of each device what came of it.

Who leaves the page in the middle has each device as it was or as it was wanted.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django import forms
from django.contrib.admin.sites import AdminSite
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from console.pages import id_of, json_answer
from devices import bulk
from devices.bulk import Outcome
from devices.models import INTERVAL_VALIDATORS, CredentialProfile, Device
from nms_project.api import error_body
from nms_project.natural_order import natural_key

CHUNK_DEVICES = 100  # in one request: a second's work
INTERVAL = "polling_interval_seconds"

Outcomes = dict[int, Outcome]


@dataclass(frozen=True, slots=True)
class BulkAction:
    """`do` takes ids, the request, and the checked fields of `form`. All of `permissions` are needed."""

    title: str
    button: str
    permissions: tuple[str, ...]
    do: Callable[[list[int], HttpRequest, Mapping[str, Any]], Outcomes]
    form: type[forms.Form] = forms.Form
    warning: str = ""


class CredentialForm(forms.Form):
    credential_profile = forms.ModelChoiceField(
        CredentialProfile.objects.order_by(natural_key("name")),
        help_text="Devices of another protocol keep theirs.",
        widget=UnfoldAdminSelectWidget,
    )


class IntervalForm(forms.Form):
    polling_interval_seconds = forms.IntegerField(
        label="Interval in seconds", validators=INTERVAL_VALIDATORS, widget=UnfoldAdminIntegerFieldWidget
    )


def _provision(ids: list[int], request: HttpRequest, fields: Mapping[str, Any]) -> Outcomes:
    return bulk.devices_provision(ids, interval_seconds=None)


def _deactivate(ids: list[int], request: HttpRequest, fields: Mapping[str, Any]) -> Outcomes:
    return bulk.devices_deactivate(ids, reason=f"deactivated by {request.user}")


def _set_interval(ids: list[int], request: HttpRequest, fields: Mapping[str, Any]) -> Outcomes:
    return bulk.devices_set_interval(ids, interval_seconds=fields[INTERVAL])


def _set_credential(ids: list[int], request: HttpRequest, fields: Mapping[str, Any]) -> Outcomes:
    return bulk.devices_set_credential(ids, profile=fields["credential_profile"])


def _forget(ids: list[int], request: HttpRequest, fields: Mapping[str, Any]) -> Outcomes:
    return bulk.devices_forget(ids)


def _acknowledge(ids: list[int], request: HttpRequest, fields: Mapping[str, Any]) -> Outcomes:
    return bulk.devices_acknowledge(ids, by=request.user.get_username())


def _unacknowledge(ids: list[int], request: HttpRequest, fields: Mapping[str, Any]) -> Outcomes:
    return bulk.devices_unacknowledge(ids)


def _delete(ids: list[int], request: HttpRequest, fields: Mapping[str, Any]) -> Outcomes:
    return bulk.devices_delete(ids)


CHANGE = ("devices.change_device",)
ACTIONS = {
    "provision": BulkAction("Provision: poll from now on", "Provision", CHANGE, _provision),
    "deactivate": BulkAction("Deactivate: stop polling", "Deactivate", CHANGE, _deactivate),
    "acknowledge": BulkAction("Acknowledge: take off the problems", "Acknowledge", CHANGE, _acknowledge),
    "unacknowledge": BulkAction("Take back the acknowledgement", "Take back", CHANGE, _unacknowledge),
    "set_interval": BulkAction("Set the interval", "Set", CHANGE, _set_interval, IntervalForm),
    "set_credential": BulkAction(
        "Set the credential profile",
        "Set",
        (*CHANGE, "devices.use_credentialprofile"),
        _set_credential,
        CredentialForm,
    ),
    "forget": BulkAction(
        "Forget what is remembered, such as the host key",
        "Forget",
        CHANGE,
        _forget,
        warning="With its next poll each device is trusted anew.",
    ),
    "delete": BulkAction(
        "Delete",
        "Delete",
        ("devices.delete_device",),
        _delete,
        warning="Their history is deleted too. This cannot be undone.",
    ),
}


def bulk_page(
    request: HttpRequest, site: AdminSite, name: str, ids: Iterable[int], *, back: str
) -> TemplateResponse:
    """Asks, then has it done by `bulk_do`. Raises PermissionDenied."""
    action = _allowed(request, name)
    context = {
        **site.each_context(request),
        "title": action.title,
        "action": action,
        "name": name,
        "ids": list(ids),
        "form": action.form(),
        "chunk": CHUNK_DEVICES,
        "back": back,
    }
    request.current_app = site.name
    return TemplateResponse(request, "console/bulk.html", context)


@require_POST
def bulk_do(request: HttpRequest, name: str) -> HttpResponse:
    """POST with `ids`, at most CHUNK_DEVICES of them separated by commas. Answers JSON: a row for each
    device, with `id`, `name`, `address`, `outcome` (a key of Outcome) and `words`; 400 names the wrong field.
    """
    action = _allowed(request, name)
    form = action.form(request.POST)
    ids = [id_of(text) for text in request.POST.get("ids", "").split(",")]
    if len(ids) > CHUNK_DEVICES or not all(ids):
        return json_answer(
            400, error_body(400, f"ids must be up to {CHUNK_DEVICES} ids, separated by commas.")
        )
    if not form.is_valid():
        wrong = "; ".join(
            f"{form.fields[field].label}: {' '.join(map(str, errors))}"
            for field, errors in form.errors.items()
        )
        return json_answer(400, error_body(400, wrong))
    known = {
        pk: (hostname, str(address))
        for pk, hostname, address in Device.objects.filter(pk__in=ids).values_list(
            "pk", "hostname", "ip_address"
        )
    }
    rows = []
    for pk, outcome in action.do(ids, request, form.cleaned_data).items():
        hostname, address = known.get(pk, (f"device {pk}", ""))
        rows.append(
            {"id": pk, "name": hostname, "address": address, "outcome": outcome.value, "words": outcome.label}
        )
    return json_answer(200, {"rows": rows})


def _allowed(request: HttpRequest, name: str) -> BulkAction:
    action = ACTIONS.get(name)
    if action is None:
        raise Http404
    if not request.user.has_perms(action.permissions):
        raise PermissionDenied
    return action
