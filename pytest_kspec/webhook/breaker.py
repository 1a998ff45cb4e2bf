"""Circuit breaker: a webhook that fails at its own work must not hold up a cluster.

Only internal errors count; what a client sends wrong is not recorded at all, so nobody can open it by sending
garbage. What happens while it is open is not decided here: the specifications say it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """closed: evaluates; open: does not; half-open: evaluates a few, to see."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True)
class Settings:
    """threshold: share of internal errors, 0 to 1; window and cool-down in seconds.

    minimum: evaluations in the window below which it never opens
    probes:  evaluations that a half-open breaker lets through at a time, and that must succeed to close it
    """

    threshold: float = 0.5
    minimum: int = 10
    window_s: int = 60
    cool_down_s: float = 300.0
    probes: int = 5


class Breaker:
    """Of one process. clock: monotonic seconds. on_change(old, new): told of every change of state.

    Ask `allow` before an evaluation; if it says yes, tell `record` what became of it, exactly once.
    """

    def __init__(
        self,
        clock: Callable[[], float],
        settings: Settings = Settings(),
        on_change: Callable[[State, State], None] | None = None,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._on_change = on_change
        self._seconds: deque[list[int]] = deque()  # [second, evaluations, errors], ascending
        self._evaluations = 0
        self._errors = 0
        self._state = State.CLOSED
        self._opened_at = 0.0
        self._running = 0  # probes let through and not yet recorded
        self._succeeded = 0

    @property
    def state(self) -> State:
        """Half-open as soon as the cool-down is over, also when nobody asks."""
        if self._state is State.OPEN and self._clock() - self._opened_at >= self._settings.cool_down_s:
            self._change(State.HALF_OPEN)
            self._running = self._succeeded = 0
        return self._state

    @property
    def error_rate(self) -> float:
        """Share of internal errors in the window, 0 to 1; 0 if nothing was evaluated."""
        self._forget(int(self._clock()))
        return self._errors / self._evaluations if self._evaluations else 0.0

    @property
    def evaluations(self) -> int:
        """How many there were in the window."""
        self._forget(int(self._clock()))
        return self._evaluations

    def allow(self) -> bool:
        """Whether this review may be evaluated."""
        if self._state is State.CLOSED:
            return True
        if self.state is State.OPEN or self._running + self._succeeded >= self._settings.probes:
            return False
        self._running += 1
        return True

    def record(self, *, failed: bool) -> None:
        """What became of an evaluation that was allowed. Results that come after the breaker has opened
        say nothing about now and are dropped.
        """
        if self._state is State.OPEN:
            return
        if self._state is State.HALF_OPEN:
            self._running = max(self._running - 1, 0)
            if failed:
                self._open()
            else:
                self._succeeded += 1
                if self._succeeded >= self._settings.probes:
                    self._close()
            return
        second = int(self._clock())
        if self._seconds and self._seconds[-1][0] == second and not failed:  # nearly always
            self._seconds[-1][1] += 1
            self._evaluations += 1
            return
        self._forget(second)
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0, 0])
        current = self._seconds[-1]
        current[1] += 1
        self._evaluations += 1
        if failed:
            current[2] += 1
            self._errors += 1
            if (
                self._evaluations >= self._settings.minimum
                and self._errors >= self._settings.threshold * self._evaluations
            ):
                self._open()

    def _forget(self, second: int) -> None:
        oldest = second - self._settings.window_s
        while self._seconds and self._seconds[0][0] <= oldest:
            _, evaluations, errors = self._seconds.popleft()
            self._evaluations -= evaluations
            self._errors -= errors

    def _open(self) -> None:
        self._opened_at = self._clock()
        self._change(State.OPEN)

    def _close(self) -> None:
        self._seconds.clear()
        self._evaluations = self._errors = 0
        self._change(State.CLOSED)

    def _change(self, state: State) -> None:
        old, self._state = self._state, state
        if self._on_change is not None:
            self._on_change(old, state)
