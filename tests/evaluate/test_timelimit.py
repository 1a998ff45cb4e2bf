"""The limit of a check holds beside one of somebody else, and leaves handler and timer as they were."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator

import pytest

from pytest_kspec.evaluate.timelimit import TimeLimit, TimeLimitExceeded


class Rang(Exception):
    """The other limit."""


@pytest.fixture(autouse=True)
def others() -> Iterator[None]:
    """A handler of somebody else; what the test run itself has armed goes on afterwards."""

    def ring(number: int, frame: object) -> None:
        raise Rang

    timer = signal.setitimer(signal.ITIMER_REAL, 0)
    before = signal.signal(signal.SIGALRM, ring)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    signal.setitimer(signal.ITIMER_REAL, *timer)


@pytest.mark.parametrize("other_s", [0.0, 1000.0])
def test_a_longer_limit_goes_on_behind_it(other_s: float) -> None:
    signal.setitimer(signal.ITIMER_REAL, other_s)
    handler = signal.getsignal(signal.SIGALRM)
    with (
        pytest.raises(TimeLimitExceeded, match=r"exceeded the time limit of a check, 0\.05 s"),
        TimeLimit(0.05).holds(),
    ):
        time.sleep(60)
    assert signal.getsignal(signal.SIGALRM) is handler
    assert bool(signal.getitimer(signal.ITIMER_REAL)[0]) is bool(other_s)


def test_a_shorter_limit_holds_alone() -> None:
    signal.setitimer(signal.ITIMER_REAL, 0.05)
    with pytest.raises(Rang), TimeLimit(1000).holds():
        time.sleep(60)


def test_no_limit() -> None:
    with TimeLimit(0).holds():
        assert signal.getitimer(signal.ITIMER_REAL)[0] == 0
