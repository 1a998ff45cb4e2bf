"""A command runs code of users in a process of its own, and believes its end only if that process says it.

A check can end its process: `os._exit(0)`, a segmentation fault in a C extension, no memory left. Nobody would be
left to say that nothing was evaluated, and an exit code of 0 would read as compliant. So the process divides before the
first line of such code runs: one goes on as the command, the other waits for its last word. Commands without code of
users stay one process.
"""

from __future__ import annotations

import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from pytest_kspec.errors import EXIT_NOT_EVALUATED, KspecError
from pytest_kspec.shown import printable

if TYPE_CHECKING:
    import mmap

THREADS_S = 2.0
_NAMED = 3
_PAGE = 4096
_FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Lost(KspecError):
    """The process that ran code of users ended before the command did."""

    exit_code = EXIT_NOT_EVALUATED


class Supervisor:
    """Idle until a command arms it. One a process."""

    def __init__(self) -> None:
        self._armed = False
        self._page: mmap.mmap | None = None  # memory of both: the exit code, then what runs
        self._pid = 0
        self._parent = 0

    @contextmanager
    def armed(self) -> Iterator[None]:
        """From now on code of users gets a process."""
        self._armed = hasattr(os, "fork")
        try:
            yield
        finally:
            self._armed = False

    @property
    def watched(self) -> bool:
        """Whether another process waits for this one."""
        return self._page is not None and os.getpid() == self._pid

    def enter(self, what: str) -> None:
        """Code of users runs next, and that is what: `importing checks/test_x.py`.

        Returns in the process that runs it. Raises Lost in the one that waits, if the other ends without a last word;
        with one, the process ends here.
        """
        # A process that is divided off in another thread has that thread only.
        if self._armed and not self.watched and threading.current_thread() is threading.main_thread():
            self._divide()
        self.note(what)

    def note(self, what: str) -> None:
        """What runs now. Raises KeyboardInterrupt where nobody waits any more."""
        if self._page is None or not self.watched:
            return
        if os.getppid() != self._parent:
            raise KeyboardInterrupt
        self._page.seek(1)
        self._page.write(what.encode("utf-8", "backslashreplace")[: _PAGE - 2] + b"\0")

    def finish(self, code: int) -> None:
        """The last word: all is done and written, and this is the exit code. Threads that code of users left behind
        have `THREADS_S` to end; then the process ends here, without them.
        """
        if self._page is None or not self.watched:
            return
        self._page[0] = code + 1
        left = _threads_left(THREADS_S)
        if left:
            names = ", ".join(printable(name) for name in sorted(thread.name for thread in left)[:_NAMED])
            with suppress(OSError, ValueError):
                sys.stderr.write(
                    f"a check left {len(left)} thread(s) running, which end with this process: {names}\n"
                )
                sys.stderr.flush()
            atexit._run_exitfuncs()
            os._exit(code)

    def _divide(self) -> None:
        for stream in (sys.__stdout__, sys.__stderr__):
            if stream is not None:
                stream.flush()  # else both write what waits in it
        import mmap

        page, parent = mmap.mmap(-1, _PAGE), os.getpid()
        child = os.fork()
        if not child:
            self._page, self._pid, self._parent = page, os.getpid(), parent
            return
        code = _wait(child)
        if page[0]:
            os._exit(page[0] - 1)  # the other one closed and removed all that was open
        what = page[1:].partition(b"\0")[0].decode("utf-8", "replace")
        raise Lost(
            f"the process of the checks {ending(code)} before it was done, {what}: the results are not known.",
            fix="With -n 1 (pytest-xdist), such a check does not affect the other checks.",
        )


SUPERVISOR = Supervisor()


def _threads_left(seconds: float) -> list[threading.Thread]:
    """Those that the end of Python would wait for, for ever if need be."""
    deadline = time.monotonic() + seconds
    left = [t for t in threading.enumerate() if not t.daemon and t is not threading.main_thread()]
    for thread in left:
        thread.join(max(deadline - time.monotonic(), 0.0))
    return [thread for thread in left if thread.is_alive()]


@contextmanager
def one_process() -> Iterator[None]:
    """Code of users runs in here. A process that it divides off, and that comes back from there, ends: it never goes
    on as a second run.
    """
    own = os.getpid()
    try:
        yield
    finally:
        if os.getpid() != own:
            os._exit(EXIT_NOT_EVALUATED)


@contextmanager
def memory_given_back() -> Iterator[None]:
    """Code of users runs in here. A limit of memory that it leaves behind would be that of all that follows."""
    if sys.platform == "win32":
        yield
        return
    import resource

    before = resource.getrlimit(resource.RLIMIT_AS)
    try:
        yield
    finally:
        after = resource.getrlimit(resource.RLIMIT_AS)
        if after != before:
            with suppress(ValueError, OSError):  # a hard limit cannot be raised again
                resource.setrlimit(resource.RLIMIT_AS, (before[0], after[1]))


def _wait(child: int) -> int:
    """How it ends, as `ending` takes it. Signals go to it, but for the one that a terminal sends to both."""

    def forward(number: int, _frame: FrameType | None) -> None:
        if number != signal.SIGINT or not _in_foreground():
            with suppress(ProcessLookupError):
                os.kill(child, number)

    before = {number: signal.signal(number, forward) for number in _FORWARDED}
    try:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _in_foreground() -> bool:
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    except OSError:
        return False
    finally:
        os.close(terminal)


def ending(code: int) -> str:
    """How a process ended: `exited with code 3`; below zero, `was killed by SIGSEGV`."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
