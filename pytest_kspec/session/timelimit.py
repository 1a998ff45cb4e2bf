"""A limit for each check: one that hangs costs itself, not the run.

SIGALRM interrupts Python code and system calls. What it cannot interrupt (a loop in a C extension) ends with its
process, where that is a worker of pytest-xdist, or another process waits for it.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from pytest_kspec.evaluate.verdict import TimeLimitExceeded
from pytest_kspec.plan.supervised import SUPERVISOR
from pytest_kspec.session.collect import ComplianceItem

GRACE_S = 5.0


class TimeLimit:
    """Bounds setup, call and teardown of each compliance item. Registered where items run."""

    def __init__(self, config: pytest.Config, seconds: float) -> None:
        self._seconds = seconds
        self._armed = False
        # pytest has one of these timers too, and there is only one in a process.
        replaceable = hasattr(config, "workerinput") or SUPERVISOR.watched
        self._kills = replaceable and not float(config.getini("faulthandler_timeout") or 0)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Fixtures are made here."""
        with self._limit(item):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """The check itself."""
        with self._limit(item):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """And what it leaves behind."""
        with self._limit(item):
            return (yield)

    def pytest_enter_pdb(self) -> None:
        """Somebody thinks."""
        if self._armed:
            self._disarm()

    @contextmanager
    def _limit(self, item: pytest.Item) -> Iterator[None]:
        if (
            not isinstance(item, ComplianceItem)
            or threading.current_thread() is not threading.main_thread()
            or signal.getitimer(signal.ITIMER_REAL)[0]  # another plugin's limit holds
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
            self._disarm()
            signal.signal(signal.SIGALRM, before)

    def _disarm(self) -> None:
        self._armed = False  # first: a signal that comes now is late
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._kills:
            faulthandler.cancel_dump_traceback_later()

    def _ring(self, number: int, frame: Any) -> None:
        if self._armed:
            raise TimeLimitExceeded(self._seconds)
