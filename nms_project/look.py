"""The look of the admin: names, colours and the sidebar, as settings of django-unfold."""

from collections.abc import Callable
from typing import Any

from django.http import HttpRequest
from django.templatetags.static import static
from django.urls import reverse_lazy

# Blue, from light to dark; white text on 600 and darker, and on 500 in large only, has the contrast that WCAG
# asks for.
PRIMARY = {
    "50": "oklch(97% .014 254.604)",
    "100": "oklch(93.2% .032 255.585)",
    "200": "oklch(88.2% .059 254.128)",
    "300": "oklch(80.9% .105 251.813)",
    "400": "oklch(70.7% .165 254.624)",
    "500": "oklch(54.6% .215 262.881)",
    "600": "oklch(48.8% .217 264.376)",
    "700": "oklch(42.4% .199 265.638)",
    "800": "oklch(37.9% .146 265.522)",
    "900": "oklch(32% .12 266)",
    "950": "oklch(28.2% .091 267.935)",
}


def _allowed(permission: str) -> Callable[[HttpRequest], bool]:
    return lambda request: request.user.has_perm(permission)


def _list(title: str, icon: str, model: str) -> dict[str, Any]:
    """A link of the sidebar to the list of `model` (app.model), for those who may see it."""
    app, name = model.split(".")
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:{app}_{name}_changelist"),
        "permission": _allowed(f"{app}.view_{name}"),
    }


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "NMS",
    "SITE_HEADER": "NMS",
    "SITE_SUBHEADER": "network monitoring",
    "SITE_SYMBOL": "monitor_heart",
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("console/icon.svg")}
    ],
    "SITE_URL": None,
    "SHOW_VIEW_ON_SITE": False,
    "COLORS": {"primary": PRIMARY},
    "STYLES": [lambda request: static("console/console.css")],
    "SCRIPTS": [lambda request: static("console/timezone.js")],
    "SIDEBAR": {
        "show_search": True,
        "command_search": True,  # which finds devices, not only pages
        "navigation": [
            {
                "items": [
                    {"title": "Dashboard", "icon": "dashboard", "link": reverse_lazy("admin:index")},
                    _list("Devices", "dns", "devices.device"),
                    _list("Credential profiles", "key", "devices.credentialprofile"),
                ]
            },
            {
                "title": "Discovery",
                "items": [
                    _list("Profiles", "travel_explore", "discovery.discoveryprofile"),
                    _list("Runs", "progress_activity", "discovery.discoveryrun"),
                    _list("Results", "fact_check", "discovery.discoveryresult"),
                ],
            },
            {
                "title": "Administration",
                "items": [
                    _list("Users", "person", "auth.user"),
                    _list("Groups", "group", "auth.group"),
                    {
                        "title": "API tokens",
                        "icon": "vpn_key",
                        "link": reverse_lazy("admin:accounts_apitoken_changelist"),
                    },
                    _list("Audit", "history", "accounts.auditentry"),
                    _list("Parked messages", "report", "polling.parkedmessage"),
                    {"title": "API", "icon": "api", "link": reverse_lazy("api-root")},
                    {"title": "API reference", "icon": "menu_book", "link": reverse_lazy("docs")},
                ],
            },
        ],
    },
}
