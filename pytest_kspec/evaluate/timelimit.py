"""A limit for each step of a check: one that hangs costs itself, not the run.

SIGALRM interrupts Python code and system calls. What it cannot interrupt (a loop in a C extension) ends with its
process, where another process waits for that one.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHECK_TIMEOUT_S = 900.0
"""Longer than any list may take, which the first check of a cluster waits for."""
GRACE_S = 5.0
_AT_ONCE_S = 0.001
"""A timer of 0 would never ring."""


class TimeLimitExceeded(BaseException):
    """A check took too long. No Exception: a check that handles those does not go on."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"stopped: it exceeded the time limit of a check, {seconds:g} s")


class TimeLimit:
    """Bounds what runs within `holds`. One for a thread; only the main thread can be interrupted.

    seconds: 0 for no limit; kills: a step that no signal reaches ends the process, GRACE_S later
    """

    def __init__(self, seconds: float, *, kills: bool = False) -> None:
        self._seconds = seconds
        self._kills = kills
        self._armed = False
        self._rang = False

    @contextmanager
    def holds(self) -> Iterator[None]:
        """Raises TimeLimitExceeded, at the end if what runs kept it to itself.

        Signal handler and timer are as before afterwards: a longer limit of somebody else (pytest-timeout) goes on
        behind this one, a shorter one holds alone.
        """
        others_s, interval_s = signal.getitimer(signal.ITIMER_REAL)
        if (
            not self._seconds
            or threading.current_thread() is not threading.main_thread()
            or 0 < others_s <= self._seconds
        ):
            yield
            return
        before, started = signal.signal(signal.SIGALRM, self._ring), time.monotonic()
        self._armed, self._rang = True, False
        signal.setitimer(signal.ITIMER_REAL, self._seconds)
        if self._kills and sys.__stderr__ is not None:
            faulthandler.dump_traceback_later(self._seconds + GRACE_S, exit=True, file=sys.__stderr__)
        try:
            yield
        finally:
            self.lift()
            signal.signal(signal.SIGALRM, before)
            if others_s:
                left_s = max(others_s - (time.monotonic() - started), _AT_ONCE_S)
                signal.setitimer(signal.ITIMER_REAL, left_s, interval_s)
        if self._rang:
            raise TimeLimitExceeded(self._seconds)

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
            self._rang = True
            raise TimeLimitExceeded(self._seconds)
