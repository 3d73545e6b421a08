"""The page of a credential: with a target to try it on."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseRedirect,
    QueryDict,
)
from django.urls import URLPattern, reverse
from django.utils.decorators import method_decorator
from django.views.decorators.http import require_POST

from console.pages import id_of, own_path, trial_told
from devices.admin import CredentialProfileAdmin
from devices.crypto import payload_check
from devices.errors import CredentialUnreadable
from devices.models import CredentialProfile
from nms_project.errors import NMSError
from polling.api.serializers import CredentialTestSerializer

admin.site.unregister(CredentialProfile)


@admin.register(CredentialProfile)
class CredentialPageAdmin(CredentialProfileAdmin):
    change_form_outer_before_template = "console/credential_page.html"

    def get_urls(self) -> list[URLPattern]:
        return [own_path(self, "<int:pk>/test/", self.test_view), *super().get_urls()]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        profile = CredentialProfile.objects.filter(pk=id_of(object_id)).first()
        if profile and request.method == "GET" and self.has_change_permission(request, profile):
            try:
                payload_check(profile.encrypted_payload)
            except CredentialUnreadable as error:
                self.message_user(request, str(error), messages.WARNING)
        context = {
            "can_test": request.user.has_perm("devices.use_credentialprofile"),
            **(extra_context or {}),
        }
        return super().change_view(request, object_id, form_url, context)

    @method_decorator(require_POST)
    def test_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Tries it on `target` and `port`, and says on the page what came of it."""
        if not request.user.has_perm("devices.use_credentialprofile"):
            raise PermissionDenied
        profile = CredentialProfile.objects.filter(pk=pk).first()
        if profile is None:
            raise Http404
        level, words = _tried(profile, request.POST)
        self.message_user(request, words, level)
        return HttpResponseRedirect(reverse("admin:devices_credentialprofile_change", args=[pk]))


def _tried(profile: CredentialProfile, sent: QueryDict) -> tuple[int, str]:
    given = {name: value for name, value in sent.items() if value}
    form = CredentialTestSerializer(data=given)
    if not form.is_valid():
        errors = form.errors.items()
        return messages.ERROR, "; ".join(f"{name}: {' '.join(map(str, texts))}" for name, texts in errors)
    target, port = form.validated_data["target"], form.validated_data.get("port")
    try:
        return trial_told(profile, target=target, port=port)
    except NMSError as error:
        return messages.ERROR, str(error)
