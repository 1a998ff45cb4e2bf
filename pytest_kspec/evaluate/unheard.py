"""What a check would report where nobody hears it any more: in a thread that goes on when the check has returned, and
in a copy of the process. It must not read as "nothing found".
"""

from __future__ import annotations

import mmap
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pytest_kspec.errors import CheckError

THREADS_S = 1.0
"""How long a check that returned waits for the threads that it started."""
_NAMED = 3
_WAITING = ("concurrent/futures/thread.py", "_worker")
"""Where a thread of an executor is while it has nothing to do."""


class Copies:
    """Counts what copies of this process report, in memory that they share with it."""

    def __init__(self) -> None:
        self._pid = 0
        self._count: mmap.mmap | None = None
        self._runs = False

    def begin(self) -> int:
        """A check begins, in this process; what is counted so far."""
        if self._count is None or self._pid != os.getpid():
            self._pid, self._count = os.getpid(), mmap.mmap(-1, mmap.PAGESIZE)
        self._runs = True
        return self._count[0]

    def end(self) -> None:
        """The check is over. What is made of this process from now on is no copy of its: `kspec fleet` divides itself
        for each cluster.
        """
        if self._pid == os.getpid():
            self._runs = False

    @property
    def count(self) -> int:
        """Modulo 256: it only has to differ."""
        return self._count[0] if self._count is not None else 0

    def refuse(self) -> None:
        """Raises CheckError in a copy."""
        if self._count is None or not self._runs or self._pid == os.getpid():
            return
        self._count[0] = self._count[0] % 255 + 1
        raise CheckError(
            "a child process cannot report findings: they would be lost.",
            fix="Return the results to the check, and report them there.",
        )


COPIES = Copies()


@contextmanager
def all_heard(findings: object) -> Iterator[None]:
    """A check runs in here. Raises CheckError if it returns and something may still be reported, or was to a copy."""
    before, copies = set(threading.enumerate()), COPIES.begin()
    try:
        yield
    finally:
        COPIES.end()
    if COPIES.count != copies:
        raise CheckError(
            "a child process reported findings or errors, which are lost.",
            fix="Return its results to the check, and report them there.",
        )
    if left := _reporting(set(threading.enumerate()) - before, findings):
        names = ", ".join(sorted(thread.name for thread in left)[:_NAMED])
        raise CheckError(
            f"the check returned while {len(left)} thread(s) that it started were still running ({names}): "
            "what they find is unknown.",
            fix="Wait for them with join().",
        )


def _reporting(new: set[threading.Thread], findings: object) -> list[threading.Thread]:
    """Those that run on, after a while."""
    deadline = time.monotonic() + THREADS_S
    while left := [thread for thread in new if thread.is_alive() and _works(thread, findings)]:
        if time.monotonic() > deadline:
            return left
        left[0].join(0.02)
    return []


def _works(thread: threading.Thread, findings: object) -> bool:
    """Whether it may report something: what libraries have in the background (daemons) may not, unless it is at it."""
    frame = sys._current_frames().get(thread.ident or 0)
    if frame is None:
        return False
    code = frame.f_code
    if code.co_name == _WAITING[1] and code.co_filename.replace(os.sep, "/").endswith(_WAITING[0]):
        return False
    return not thread.daemon or _holds(frame, findings)


def _holds(frame: FrameType | None, findings: object) -> bool:
    """Whether a function that runs there has the findings, or a method of theirs, as a variable."""
    while frame is not None:
        values = tuple(frame.f_locals.values())
        if any(value is findings or getattr(value, "__self__", None) is findings for value in values):
            return True
        frame = frame.f_back
    return False
