"""Work in a process of its own: its answer and its errors come back."""

from __future__ import annotations

import os
import signal

import pytest

from pytest_kspec.errors import StoreError, UsageError
from pytest_kspec.fleet.apart import apart

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12


def test_an_answer_comes_back() -> None:
    assert apart(os.getpid) != os.getpid()


def test_an_error_comes_back_whole() -> None:
    def work() -> None:
        raise UsageError("no such run.", where="r1", fix="List them.")

    with pytest.raises(UsageError) as caught:
        apart(work)
    assert (caught.value.what, caught.value.where, caught.value.fix) == ("no such run.", "r1", "List them.")


def test_a_fault_is_not_taken_for_a_store_that_is_away() -> None:
    """A worker would wait for it, and report a process that exited with code 0."""

    class Fault(Exception):
        """One that cannot be pickled."""

    def work() -> None:
        raise Fault("of kspec itself")

    with pytest.raises(RuntimeError, match="Fault: of kspec itself") as caught:
        apart(work)
    assert "in work" in str(caught.value)


def test_an_answer_that_cannot_be_copied_is_a_fault() -> None:
    with pytest.raises(RuntimeError, match="pickle"):
        apart(lambda: lambda: None)


def test_a_process_that_is_killed_is_an_error_of_the_store() -> None:
    with pytest.raises(StoreError, match="was killed by SIGKILL"):
        apart(lambda: os.kill(os.getpid(), signal.SIGKILL))
