"""Tell a host that does not answer from a plugin that was held up itself: stopped, starved or kept busy."""

import time
from collections.abc import Callable

from plugins.contract import ErrorCode
from plugins.kit.network import CONNECTION_LOST

BEAT_SECONDS = 0.25
# Shorter delays are a busy machine's. A task's own timeout is rarely below five times this.
STALL_SECONDS = 1.0


class StallMeter:
    """Adds up the time during which the plugin's event loop did not run.

    The loop calls `beat` every BEAT_SECONDS. A beat that comes STALL_SECONDS late or more is a stall.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._total = 0.0
        self._expected_at = clock() + BEAT_SECONDS

    def beat(self) -> None:
        self._total += self._current_stall()
        self._expected_at = self._clock() + BEAT_SECONDS

    def stalled_seconds(self) -> float:
        """Return the total of all stalls, including one whose late beat has not come yet."""
        return self._total + self._current_stall()

    def explain(self, code: ErrorCode, message: str, stalled_before: float) -> tuple[ErrorCode, str]:
        """Return the error of a task that began when `stalled_seconds()` was `stalled_before`.

        A failure that a stall can explain becomes `internal`, which does not count against the device: no
        answer in time, or a connection that the host closed because it got none.
        """
        stalled = self.stalled_seconds() - stalled_before
        is_explained = code is ErrorCode.TIMEOUT or message == CONNECTION_LOST
        if stalled < STALL_SECONDS or not is_explained:
            return code, message
        return ErrorCode.INTERNAL, f"the plugin was held up for {stalled:.1f} s during this task: {message}"

    def _current_stall(self) -> float:
        late = self._clock() - self._expected_at
        return late if late >= STALL_SECONDS else 0.0
