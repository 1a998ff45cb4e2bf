"""A limit for each step of a check: one that hangs costs itself, not the run.

SIGALRM interrupts Python code and system calls. What it cannot interrupt (a loop in a C extension) ends with its
process, where another process waits for that one.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHECK_TIMEOUT_S = 900.0
"""Longer than any list may take, which the first check of a cluster waits for."""
GRACE_S = 5.0


class TimeLimitExceeded(BaseException):
    """A check took too long. No Exception: a check that handles those does not go on."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"stopped: it took longer than the time limit of a check, {seconds:g} s")


class TimeLimit:
    """Bounds what runs within `holds`. One for a thread; only the main thread can be interrupted.

    seconds: 0 for no limit; kills: a step that no signal reaches ends the process, GRACE_S later
    """

    def __init__(self, seconds: float, *, kills: bool = False) -> None:
        self._seconds = seconds
        self._kills = kills
        self._armed = False

    @contextmanager
    def holds(self) -> Iterator[None]:
        """Raises TimeLimitExceeded. Signal handler and timer are as before afterwards."""
        if (
            not self._seconds
            or threading.current_thread() is not threading.main_thread()
            or signal.getitimer(signal.ITIMER_REAL)[0]  # somebody else's limit holds
        ):
            yield
            return
        before = signal.signal(signal.SIGALRM, self._ring)
        self._armed = True
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        if self._kills and sys.__stderr__ is not None:
            faulthandler.dump_traceback_later(self._seconds + GRACE_S, exit=True, file=sys.__stderr__)
        try:
            yield
        finally:
            self.lift()
            signal.signal(signal.SIGALRM, before)

    def lift(self) -> None:
        """No limit for what runs now: a person looks at it in a debugger."""
        if not self._armed:
            return
        self._armed = False  # first: a signal that comes now is late
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._kills:
            faulthandler.cancel_dump_traceback_later()

    def _ring(self, number: int, frame: Any) -> None:
        if self._armed:
            raise TimeLimitExceeded(self._seconds)
