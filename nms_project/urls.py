"""All routes: the composition root, the one module of the project that knows every app's API."""

from typing import Any

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from django.views.generic import RedirectView
from drf_spectacular.views import SpectacularAPIView, SpectacularRedocView, SpectacularSwaggerSplitView
from rest_framework_simplejwt.views import TokenRefreshView

from accounts.api.audit import AuditViewSet
from accounts.api.views import (
    ApiTokenViewSet,
    LoginView,
    LogoutEverywhereView,
    LogoutView,
    MeView,
    TokenPairView,
    VerifyView,
)
from devices.api.views import CredentialViewSet, DeletionViewSet, DeviceViewSet, PluginViewSet
from discovery.api.views import DiscoveryProfileViewSet, DiscoveryResultListView, DiscoveryRunViewSet
from metrics.api.views import (
    DeviceMetricsView,
    DeviceSamplesView,
    MetricExportView,
    MetricPathsView,
    MetricQueryView,
    MetricTopView,
)
from nms_project.api import ID_PATTERN, SlashOptionalRouter
from polling.api.views import (
    CompletenessView,
    CredentialTestView,
    DeviceAvailabilityView,
    DeviceExplainView,
    DevicePingView,
    DeviceVerdictsView,
    HistoryView,
    LastValuesView,
    SchedulerView,
    SystemMetricsView,
)

# OPTIONS would want a template that one of them has not.
PAGE: dict[str, Any] = {"url_name": "schema", "http_method_names": ["get", "head"]}

router = SlashOptionalRouter()
router.register("audit", AuditViewSet, basename="audit")
router.register("auth/tokens", ApiTokenViewSet, basename="api-token")
router.register("credentials", CredentialViewSet, basename="credential")
router.register("discovery_profiles", DiscoveryProfileViewSet, basename="discovery-profile")
router.register("discovery_runs", DiscoveryRunViewSet, basename="discovery-run")
router.register("plugins", PluginViewSet, basename="plugin")
router.register("deletions", DeletionViewSet, basename="deletion")
router.register("devices", DeviceViewSet, basename="device")

api: list[URLPattern | URLResolver] = [
    re_path(r"^auth/token/?$", TokenPairView.as_view(), name="token"),
    re_path(r"^auth/token/refresh/?$", TokenRefreshView.as_view(), name="token-refresh"),
    re_path(r"^auth/token/blacklist/?$", LogoutView.as_view(), name="token-blacklist"),
    re_path(r"^auth/token/verify/?$", VerifyView.as_view(), name="token-verify"),
    re_path(r"^auth/me/?$", MeView.as_view(), name="me"),
    re_path(r"^auth/logout_everywhere/?$", LogoutEverywhereView.as_view(), name="logout-everywhere"),
    re_path(r"^metrics/?$", MetricQueryView.as_view(), name="metric-query"),
    re_path(r"^metrics/paths/?$", MetricPathsView.as_view(), name="metric-paths"),
    re_path(r"^metrics/prometheus/?$", LastValuesView.as_view(), name="metric-prometheus"),
    re_path(r"^metrics/export/?$", MetricExportView.as_view(), name="metric-export"),
    re_path(r"^metrics/top/?$", MetricTopView.as_view(), name="metric-top"),
    re_path(
        rf"^devices/(?P<device_id>{ID_PATTERN})/samples/?$",
        DeviceSamplesView.as_view(),
        name="device-samples",
    ),
    re_path(rf"^devices/(?P<pk>{ID_PATTERN})/metrics/?$", DeviceMetricsView.as_view(), name="device-metrics"),
    re_path(r"^schema/?$", SpectacularAPIView.as_view(), name="schema"),
    re_path(r"^docs/?$", SpectacularSwaggerSplitView.as_view(**PAGE), name="docs"),
    re_path(r"^redoc/?$", SpectacularRedocView.as_view(**PAGE), name="redoc"),
    re_path(
        rf"^discovery_runs/(?P<run_id>{ID_PATTERN})/results/?$",
        DiscoveryResultListView.as_view(),
        name="discovery-run-results",
    ),
    re_path(
        rf"^devices/(?P<device_id>{ID_PATTERN})/verdicts/?$",
        DeviceVerdictsView.as_view(),
        name="device-verdicts",
    ),
    re_path(
        rf"^devices/(?P<pk>{ID_PATTERN})/availability/?$",
        DeviceAvailabilityView.as_view(),
        name="device-availability",
    ),
    re_path(rf"^devices/(?P<pk>{ID_PATTERN})/explain/?$", DeviceExplainView.as_view(), name="device-explain"),
    re_path(rf"^devices/(?P<pk>{ID_PATTERN})/ping/?$", DevicePingView.as_view(), name="device-ping"),
    re_path(r"^completeness/?$", CompletenessView.as_view(), name="completeness"),
    re_path(r"^history/?$", HistoryView.as_view(), name="history"),
    re_path(r"^scheduler/?$", SchedulerView.as_view(), name="scheduler"),
    re_path(
        rf"^credentials/(?P<pk>{ID_PATTERN})/test/?$", CredentialTestView.as_view(), name="credential-test"
    ),
    path("", include(router.urls)),
]

admin.autodiscover()
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index"), name="home"),
    path("admin/", admin.site.urls),
    path("api-auth/", include("rest_framework.urls")),
    re_path(r"^login/?$", LoginView.as_view(), name="login"),
    re_path(r"^metrics/?$", SystemMetricsView.as_view(), name="system-metrics"),
    path("api/v1/", include(api)),
]

handler400 = "nms_project.views.bad_request"
handler403 = "nms_project.views.permission_denied"
handler404 = "nms_project.views.not_found"
handler500 = "nms_project.views.server_error"
