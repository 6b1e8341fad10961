"""The time that one run may spend waiting."""

from __future__ import annotations

import math
import time
from typing import Callable

#: Seconds of a boot, unless metadata.deadline is set; and of these, the seconds to wait for a
#: metadata service that does not answer at all, if no file of the image names a proxy: this may be
#: an image on a laptop, which must not wait for longer.
BOOT, UNREACHABLE = 60.0, 30.0
#: Seconds for a request for metadata even if the budget is spent: a service that is up responds at
#: once, and then the node is configured after all.
_LEAST = 1.0
#: Seconds that a run without a budget waits for the lock; a reconcile takes milliseconds.
LOCK_WAIT = 5.0


class Budget:
    """Seconds for all waits of a run together: metadata, lock, credentials and probes.

    The default has no limit: each wait then has only its own.  `started` is a moment of `clock`, by
    default that of the first wait.
    `unreachable`: how much of it a metadata service gets that does not answer at all.  While the
    run waits, `show` gets a line about it, at most once a second.  `sleep` is called for each
    pause; it may raise an exception to end the run.
    """

    def __init__(
        self,
        seconds: float = math.inf,
        *,
        started: float | None = None,
        unreachable: float = math.inf,
        show: Callable[[str], None] = lambda text: None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.seconds = seconds
        self.sleep = sleep
        self._clock = clock or time.monotonic
        self._started = started
        self._unreachable = unreachable
        self._show = show
        self._shown = math.inf

    def elapsed(self) -> float:
        """Return the seconds since the start."""
        now = self._clock()
        if self._started is None:
            self._started = now
        return now - self._started

    def remaining(self) -> float:
        """Return the seconds that remain, 0 if the budget is spent."""
        return max(0.0, self.seconds - self.elapsed())

    def for_metadata(self) -> tuple[float, float]:
        """Return the seconds for a request for metadata, and those if the service does not answer.

        They suffice for a service that responds at once, even if the budget is spent.
        """
        least = min(_LEAST, self.seconds)
        if_unreachable = min(self.seconds, self._unreachable) - self.elapsed()
        return max(least, self.remaining()), max(least, if_unreachable)

    def bounded(self, seconds: float) -> float:
        """Return what the budget allows for a wait of at most `seconds`."""
        return min(seconds, self.remaining())

    def lock_wait(self) -> float:
        """Return the seconds to wait for the lock."""
        return LOCK_WAIT if math.isinf(self.seconds) else self.remaining()

    def report(self, problem: str, remaining: float | None = None) -> None:
        """Show what the run waits for, and the seconds that remain, by default of the budget."""
        remaining = self.remaining() if remaining is None else remaining
        if math.isfinite(remaining) and self._shown - remaining >= 1:
            self._shown = remaining
            self._show(f"waiting, {remaining:.0f} s left: {problem}")


def boot_budget(
    deadline: float | None,
    *,
    names_proxy: bool,
    started: float | None = None,
    show: Callable[[str], None] = lambda text: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Budget:
    """Return the budget of a boot; `deadline` is metadata.deadline.

    `names_proxy`: proxy.url is set in the files of the image.
    """
    unreachable = math.inf if deadline or names_proxy else UNREACHABLE
    return Budget(deadline or BOOT, started=started, unreachable=unreachable, show=show, sleep=sleep)
