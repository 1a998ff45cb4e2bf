"""The time limit of a check, around each step of its item."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, nullcontext

import pytest

from pytest_kspec.evaluate.timelimit import TimeLimit
from pytest_kspec.session.collect import ComplianceItem
from pytest_kspec.supervised import SUPERVISOR


class TimeLimitHooks:
    """Bounds setup, call and teardown of each compliance item. Registered where items run."""

    def __init__(self, config: pytest.Config, seconds: float) -> None:
        # pytest has a timer of faulthandler too, and there is only one in a process.
        replaceable = hasattr(config, "workerinput") or SUPERVISOR.watched
        kills = replaceable and not float(config.getini("faulthandler_timeout") or 0)
        self._limit = TimeLimit(seconds, kills=kills)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Fixtures are made here."""
        with self._holds(item):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """The check itself."""
        with self._holds(item):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """And what it leaves behind."""
        with self._holds(item):
            return (yield)

    def pytest_enter_pdb(self) -> None:
        """Somebody thinks."""
        self._limit.lift()

    def _holds(self, item: pytest.Item) -> AbstractContextManager[None]:
        return self._limit.holds() if isinstance(item, ComplianceItem) else nullcontext()
