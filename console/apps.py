from django.apps import AppConfig
from django.contrib.admin import apps as admin_apps


class ConsoleConfig(AppConfig):
    name = "console"
    default = True


class ConsoleAdminConfig(admin_apps.SimpleAdminConfig):
    """Django's admin with our site; stands in INSTALLED_APPS in the place of django.contrib.admin. The pages
    are registered by nms_project/urls.py: workers and beat have none.
    """

    default = False
    default_site = "console.site.ConsoleSite"
