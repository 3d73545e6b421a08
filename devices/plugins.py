"""The plugins this installation has, read once a process; dropping in a folder takes a restart."""

from functools import lru_cache

from django.conf import settings

from plugins.registry import Plugin, Registry, load


@lru_cache(maxsize=4)
def _loaded(directory: str) -> Registry:
    return load(settings.NMS_PLUGINS_DIR)


def registry() -> Registry:
    return _loaded(str(settings.NMS_PLUGINS_DIR))


def plugin_find(plugin_id: str) -> Plugin | None:
    return registry().plugins.get(plugin_id)


def plugin_ids() -> list[str]:
    return sorted(registry().plugins)
