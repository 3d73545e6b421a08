"""What the living workers can, by their heartbeats: one that can less than the others is behind, and takes no
device off the schedule for what it lacks.
"""

from collections.abc import Callable

import redis

from devices.crypto import key_ids
from nms_project.heartbeat import Beat, workers_list


def workers_without(key_id: str) -> list[str]:
    """The names of those that do not have this key. Raises redis.RedisError."""
    return [worker.name for worker in workers_list() if worker.is_alive and key_id not in worker.beat.key_ids]


def others_have_keys() -> bool:
    """Return whether a worker has a key that this process lacks, or the workers are not known."""
    own = set(key_ids())
    return _any(lambda beat: not own.issuperset(beat.key_ids))


def others_have_plugin(plugin_id: str) -> bool:
    """Return whether a worker has this plugin, or the workers are not known."""
    return _any(lambda beat: plugin_id in beat.plugin_ids)


def _any(fits: Callable[[Beat], bool]) -> bool:
    try:
        return any(worker.is_alive and fits(worker.beat) for worker in workers_list())
    except redis.RedisError:
        return True
