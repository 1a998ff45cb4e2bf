"""Keys come once, when they are due, to one worker at a time."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from pytest_kspec.operator.queue import Queue


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def queue(clock: Clock) -> Queue[str]:
    return Queue(first_s=1.0, longest_s=60.0, clock=clock, chance=lambda: 1.0)


def ready(queue: Queue[str]) -> list[str]:
    """All keys that can be taken now."""
    found = []
    while len(queue):
        found.append(str(queue.take()))
    return found


def test_a_key_that_is_added_often_comes_once(queue: Queue[str]) -> None:
    for key in ("b", "a", "b", "b"):
        queue.add(key)
    assert sorted(ready(queue)) == ["a", "b"]


def test_a_key_comes_when_it_is_due_and_earlier_wins(queue: Queue[str], clock: Clock) -> None:
    queue.add("a", 10)
    queue.add("a", 5)
    queue.add("a", 20)
    clock.now += 4
    assert ready(queue) == []
    clock.now += 1
    assert ready(queue) == ["a"]


def test_what_is_added_while_it_is_looked_at_comes_again_afterwards(queue: Queue[str]) -> None:
    queue.add("a")
    assert queue.take() == "a"
    queue.add("a")
    assert len(queue) == 0, "two workers never have one key"
    queue.done("a", 300)
    assert ready(queue) == ["a"]
    queue.done("a", 300)
    queue.add("b")
    assert queue.take() == "b"
    queue.add("b")
    queue.forget("b")
    assert ready(queue) == ["b"]


def test_failures_wait_longer_and_longer_each_key_by_itself(queue: Queue[str], clock: Clock) -> None:
    queue.add("a")
    waits = []
    for _ in range(9):
        assert ready(queue) == ["a"]
        waits.append(queue.failed("a"))
        assert ready(queue) == []
        clock.now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    queue.add("b")
    assert sorted(ready(queue)) == ["a", "b"]
    assert queue.failed("b") == 1


def test_success_ends_the_waits(queue: Queue[str]) -> None:
    for expected in (1, 2, 4):
        queue.add("a")
        queue.take()
        assert queue.failed("a") == expected
    queue.add("a")
    queue.take()
    queue.done("a", 0)
    queue.take()
    assert queue.failed("a") == 1


def test_chance_takes_up_to_half_of_a_wait(clock: Clock) -> None:
    chances = [0.0, 0.5, 1.0]
    for wait in (0.5, 0.75, 1.0):
        queue: Queue[str] = Queue(clock=clock, chance=lambda: chances.pop(0))
        queue.add("a")
        queue.take()
        assert queue.failed("a") == wait


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_everything_is_looked_at_once_where_the_clock_is_set(clock: Clock, jump: float) -> None:
    ahead = [1_000.0]
    queue: Queue[str] = Queue(clock=clock, wall=lambda: clock.now + ahead[0])
    for key in ("daily", "taken"):
        queue.add(key)
        assert queue.take() == key
    queue.done("daily", 86400)
    ahead[0] += 4  # a clock that is kept right
    queue.add("now")
    assert queue.take() == "now"
    queue.done("now", 86400)
    assert ready(queue) == []

    ahead[0] += jump
    queue.add("wakes")
    assert sorted(str(queue.take()) for _ in range(3)) == ["daily", "now", "wakes"]
    queue.done("taken", 86400)
    assert queue.take() == "taken", "it said so by the clock of before"
    queue.done("taken", 86400)
    queue.done("daily", 86400 - jump)
    assert ready(queue) == [], "once"


@pytest.mark.parametrize("wake", [lambda queue: queue.add("a"), lambda queue: queue.close()])
def test_who_waits_is_woken(wake: Callable[[Queue[str]], None]) -> None:
    queue: Queue[str] = Queue()
    queue.add("later", 3600)
    taken: list[str | None] = []
    threads = [threading.Thread(target=lambda: taken.append(queue.take()), daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    wake(queue)
    queue.close()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
    assert set(taken) <= {"a", None}
    assert queue.take() is None
