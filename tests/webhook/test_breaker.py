"""When the breaker opens, what it lets through, when it closes. Time is a number here."""

from typing import Any

import pytest

from pytest_kspec.webhook.breaker import Breaker, State


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock)


def run(breaker: Any, *results: Any) -> None:
    for failed in results:
        if breaker.allow():
            breaker.record(failed=failed)


def test_it_opens_at_half_errors_and_not_below_ten_evaluations(breaker: Breaker) -> None:
    run(breaker, *[True] * 9)
    assert breaker.state is State.CLOSED
    run(breaker, True)
    assert breaker.state is State.OPEN
    assert not breaker.allow()


@pytest.mark.parametrize(("good", "bad", "state"), [(10, 10, State.OPEN), (11, 10, State.CLOSED)])
def test_it_opens_at_exactly_half_and_not_just_below(
    breaker: Breaker, good: int, bad: int, state: Any
) -> None:
    run(breaker, *[False] * good, *[True] * bad)
    assert breaker.evaluations == good + bad
    assert breaker.state is state


def test_it_stays_closed_below_half(breaker: Breaker) -> None:
    run(breaker, *[False, False, True] * 100)
    assert breaker.state is State.CLOSED
    assert breaker.error_rate == pytest.approx(1 / 3)
    assert breaker.evaluations == 300


def test_the_window_slides(breaker: Breaker, clock: Clock) -> None:
    run(breaker, *[False] * 20)
    clock.now += 30
    run(breaker, *[True] * 9)
    assert breaker.state is State.CLOSED
    clock.now += 30
    assert breaker.evaluations == 9, "the first 20 are more than a minute ago"
    run(breaker, True)
    assert breaker.state is State.OPEN


def test_errors_of_more_than_a_minute_ago_no_longer_count(breaker: Breaker, clock: Clock) -> None:
    mixed = [False] * 10 + [True] * 9
    run(breaker, *mixed)
    clock.now += 60
    run(breaker, *[False] * 10)
    assert (breaker.error_rate, breaker.evaluations) == (0.0, 10)
    clock.now += 60
    run(breaker, *mixed)
    assert (breaker.error_rate, breaker.state) == (9 / 19, State.CLOSED)
    run(breaker, True)
    assert breaker.state is State.OPEN


def opened(breaker: Any) -> None:
    run(breaker, *[True] * 10)
    assert breaker.state is State.OPEN


def test_after_the_cool_down_a_bounded_number_of_probes_goes_through(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 299
    assert breaker.state is State.OPEN
    clock.now += 1
    assert breaker.state is State.HALF_OPEN
    assert [breaker.allow() for _ in range(8)] == [True] * 5 + [False] * 3
    for _ in range(4):
        breaker.record(failed=False)
        assert breaker.state is State.HALF_OPEN
        assert not breaker.allow(), "no sixth probe"
    breaker.record(failed=False)
    assert breaker.state is State.CLOSED
    assert breaker.evaluations == 0


def test_a_probe_that_fails_opens_it_for_another_five_minutes(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += 300
    run(breaker, False, True)
    assert breaker.state is State.OPEN
    clock.now += 299
    assert not breaker.allow()
    clock.now += 1
    run(breaker, *[False] * 5)
    assert breaker.state is State.CLOSED


def test_results_that_come_late_change_nothing(breaker: Breaker, clock: Clock) -> None:
    assert breaker.allow()
    opened(breaker)
    breaker.record(failed=False)
    assert breaker.state is State.OPEN


def test_changes_are_told(clock: Clock) -> None:
    told = []
    breaker = Breaker(clock, on_change=lambda old, new: told.append((str(old), str(new))))
    opened(breaker)
    clock.now += 300
    run(breaker, *[False] * 5)
    assert told == [("closed", "open"), ("open", "half-open"), ("half-open", "closed")]
