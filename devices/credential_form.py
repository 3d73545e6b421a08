"""The admin's form of a credential, made from the schema of its plugin: a field for each property of the
payload.

A secret goes in and never comes out. What is no secret is shown, and is not in the payload where it is empty.
"""

import re
from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import orjson
from django import forms
from unfold.widgets import (
    UnfoldAdminIntegerFieldWidget,
    UnfoldAdminPasswordWidget,
    UnfoldAdminSelectWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanSwitchWidget,
)

from devices.credentials import payload_encrypted_for
from devices.crypto import payload_decrypt
from devices.errors import CredentialUnreadable
from devices.models import CredentialProfile
from devices.plugins import plugin_find
from nms_project.errors import InvalidInput

OF_THE_PROFILE = ("name", "description")
PAYLOAD, FORGET = "payload_", "forget_"
LINE_CHARACTERS = 1_024  # a text that may be longer has lines
# A plugin that forgot to say writeOnly shows no password for that.
SECRET_NAME = re.compile(r"pass|secret|private|token|community|(^|_)key$", re.IGNORECASE)


def is_secret(name: str, schema: Mapping[str, Any]) -> bool:
    return bool(schema.get("writeOnly")) or ("enum" not in schema and bool(SECRET_NAME.search(name)))


class CredentialForm(forms.ModelForm[CredentialProfile]):
    """Of no protocol; see `credential_form`."""

    protocol_id: ClassVar[str] = ""
    properties: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    encrypted: str | None = None  # what is to be stored, once the form is valid

    class Meta:
        model = CredentialProfile
        fields = OF_THE_PROFILE

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.stored = payload_stored(self.instance) if self.instance.pk is not None else {}
        for name, schema in self.properties.items():
            self._tell_stored(name, schema)

    def _tell_stored(self, name: str, schema: Mapping[str, Any]) -> None:
        field = self.fields[PAYLOAD + name]
        if not is_secret(name, schema):
            if name in self.stored:
                value = self.stored[name]
                self.initial[PAYLOAD + name] = (
                    value if isinstance(value, str | int) else orjson.dumps(value).decode()
                )
            elif self.instance.pk is not None and isinstance(field, forms.BooleanField):
                self.initial[PAYLOAD + name] = bool(schema.get("default"))
        elif name in self.stored:
            field.help_text = f"{field.help_text} Stored; left empty it stays as it is.".strip()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if any(name.startswith(PAYLOAD) for name in self.errors):
            return cleaned
        try:
            self.encrypted = payload_encrypted_for(None, self.protocol_id, self._payload(cleaned))
        except InvalidInput as error:
            self.add_error(None, [text for texts in error.fields.values() for text in texts])
        return cleaned

    def _payload(self, cleaned: Mapping[str, Any]) -> dict[str, Any]:
        payload = {name: value for name, value in self.stored.items() if name not in self.properties}
        for name, schema in self.properties.items():
            sent = cleaned.get(PAYLOAD + name)
            if isinstance(sent, str) and _has_lines(schema):
                sent = sent.replace("\r\n", "\n")  # as browsers end lines
            if sent is not None and sent != "":
                payload[name] = sent
            elif is_secret(name, schema) and name in self.stored and not cleaned.get(FORGET + name):
                payload[name] = self.stored[name]
        return payload


def payload_stored(profile: CredentialProfile) -> dict[str, Any]:
    """Empty when no key opens it: all of it has to be entered again."""
    try:
        return payload_decrypt(profile.encrypted_payload)
    except CredentialUnreadable:
        return {}


def credential_form(protocol: str, stored: Collection[str]) -> type[CredentialForm]:
    """For a payload of that plugin, of which the properties in `stored` are stored; without payload fields
    when there is no such plugin.
    """
    plugin = plugin_find(protocol)
    properties = dict(plugin.credential_schema.get("properties", {})) if plugin else {}
    fields: dict[str, forms.Field] = {}
    for name, schema in properties.items():
        fields[PAYLOAD + name] = _field(name, schema)
        if is_secret(name, schema) and name in stored:
            label = f"Remove the stored {_title(name, schema)}"
            fields[FORGET + name] = forms.BooleanField(
                label=label, required=False, widget=UnfoldBooleanSwitchWidget
            )
    attributes = {"protocol_id": protocol, "properties": properties, **fields}
    return type("ProtocolCredentialForm", (CredentialForm,), attributes)


def _title(name: str, schema: Mapping[str, Any]) -> str:
    return str(schema.get("title") or name.replace("_", " "))


def _field(name: str, schema: Mapping[str, Any]) -> forms.Field:
    about: dict[str, Any] = {
        "label": _title(name, schema),
        "help_text": str(schema.get("description", "")),
        "required": False,  # what has to be there the schema says, of all together
    }
    if is_secret(name, schema):
        return _secret(schema, about)
    if "enum" in schema:
        default = schema.get("default")
        empty = "not given" if default is None else f"default: {default}"
        choices = [("", f"({empty})"), *((value, str(value)) for value in schema["enum"])]
        return forms.ChoiceField(choices=choices, widget=UnfoldAdminSelectWidget, **about)
    kind = schema.get("type")
    if kind == "boolean":
        return forms.BooleanField(
            initial=bool(schema.get("default")), widget=UnfoldBooleanSwitchWidget, **about
        )
    if kind == "integer":
        return forms.IntegerField(widget=UnfoldAdminIntegerFieldWidget, **about)
    if kind == "string":
        widget = UnfoldAdminTextareaWidget if _has_lines(schema) else UnfoldAdminTextInputWidget
        return forms.CharField(widget=widget(attrs={"autocomplete": "off", "spellcheck": "false"}), **about)
    return forms.JSONField(widget=UnfoldAdminTextareaWidget, **about)


def _secret(schema: Mapping[str, Any], about: dict[str, Any]) -> forms.Field:
    attributes = {"autocomplete": "new-password", "spellcheck": "false"}
    widget = UnfoldAdminTextareaWidget if _has_lines(schema) else UnfoldAdminPasswordWidget
    return forms.CharField(strip=False, widget=_write_only(widget)(attrs=attributes), **about)


def _has_lines(schema: Mapping[str, Any]) -> bool:
    return int(schema.get("maxLength", 0)) > LINE_CHARACTERS


def _write_only(widget: type[forms.Widget]) -> type[forms.Widget]:
    """A widget that never shows what it is given, not even what was just sent and refused."""
    return type(f"WriteOnly{widget.__name__}", (widget,), {"format_value": lambda self, value: None})
