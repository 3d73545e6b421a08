"""Forms of the admin's pages of users and API tokens."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django import forms
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.utils import timezone
from unfold.forms import UserChangeForm, UserCreationForm
from unfold.widgets import UnfoldAdminSelectWidget

from accounts.models import ApiToken
from accounts.roles import Role, role_names
from accounts.tokens import BEYOND_LIMIT, DEFAULT_DAYS, is_within_limit


class RoleField(forms.ChoiceField):
    """One of these roles, or none; the admin offers those that its user may give."""

    def __init__(self, roles: Iterable[str] = ()) -> None:
        super().__init__(
            choices=[("", "no role"), *((role, Role(role).label) for role in roles)],
            required=False,
            widget=UnfoldAdminSelectWidget,
            help_text="What the user may do in the API and, as staff, in the admin.",
        )


class AccountForm(UserChangeForm):  # type: ignore[misc]  # unfold has no types
    role = RoleField()

    class Meta:
        model = User
        fields = "__all__"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if "role" in self.fields:
            held = role_names(self.instance)
            self.initial["role"] = next((role for role in reversed(Role.values) if role in held), "")


class NewAccountForm(UserCreationForm):  # type: ignore[misc]  # unfold has no types
    role = RoleField()
    is_staff = forms.BooleanField(
        required=False, initial=True, help_text="Lets the user into the admin.", label="Staff"
    )

    class Meta:
        model = User
        fields = ("username", "is_staff")


class ApiTokenForm(forms.ModelForm[ApiToken]):
    class Meta:
        model = ApiToken
        fields = ("name", "scope", "expires_at")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.initial.setdefault("expires_at", timezone.now() + timedelta(days=DEFAULT_DAYS))

    def clean_expires_at(self) -> Any:
        if not is_within_limit(self.cleaned_data["expires_at"]):
            raise ValidationError(BEYOND_LIMIT)
        return self.cleaned_data["expires_at"]
