"""What a check does to the process that it runs in costs itself only.

A process that it divides off ends with the check: it would go on as a second run with the same files and, below
pytest-xdist, the same connection. A KeyboardInterrupt that a check raises is its error, and so is an interrupt of a
worker: the one of a terminal reaches the process that gives out the work, and ends the run there. A smaller limit of
memory is given back.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import pytest

from pytest_kspec.errors import KspecError
from pytest_kspec.evaluate import interrupts
from pytest_kspec.session.collect import ComplianceItem
from pytest_kspec.supervised import memory_given_back, one_process


class Interrupted(KspecError):
    """A check raised KeyboardInterrupt, or sent itself the signal."""


class Confined:
    """Around setup, call and teardown of each compliance item. Registered where items run."""

    def __init__(self, config: pytest.Config) -> None:
        self._is_worker = hasattr(config, "workerinput")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> Generator[None, object, object]:
        """Fixtures are made here."""
        with self._confine(item):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, object, object]:
        """The check itself."""
        with self._confine(item):
            return (yield)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_teardown(self, item: pytest.Item) -> Generator[None, object, object]:
        """And what it leaves behind."""
        with self._confine(item):
            return (yield)

    @contextmanager
    def _confine(self, item: pytest.Item) -> Iterator[None]:
        if not isinstance(item, ComplianceItem):
            yield
            return
        came = True
        try:
            with interrupts.heard() as interrupt:
                try:
                    with one_process(), memory_given_back():
                        yield
                finally:
                    came = interrupt.came
        except KeyboardInterrupt as error:
            if came and not self._is_worker:
                raise
            raise Interrupted(
                f"the check raised KeyboardInterrupt{f': {error}' if str(error) else ''}"
            ) from error
