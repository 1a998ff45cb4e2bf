"""What to look at next: keys, each at most once, at the time when they are due.

Level-triggered: a key says that something is to be looked at, not what happened. A key that is being looked at is
handed to nobody else; if it is added meanwhile, it comes again afterwards.

Waits are of the monotonic clock, but what is due is decided by dates and schedules. Where the clock of the machine is
set, or the machine slept, every key is looked at, and says anew when it is due.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

LOOK_S = 30.0
"""How often the two clocks are compared at least."""
JUMP_S = 5.0
"""By how much they may go apart; clocks are kept right by less."""


class Queue(Generic[K]):
    """Thread-safe. first_s, longest_s: the wait after a key's first failure, which doubles, and its end."""

    def __init__(
        self,
        *,
        first_s: float = 1.0,
        longest_s: float = 300.0,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._clock, self._chance = clock, chance
        self._wall, self._apart = wall, wall() - clock()
        self._changed = threading.Condition()
        self._due: dict[K, float] = {}
        self._taken: set[K] = set()
        self._failures: dict[K, int] = {}
        self._closed = False

    def __len__(self) -> int:
        """Keys that are due now and that nobody has taken."""
        with self._changed:
            now = self._clock()
            return sum(due <= now and key not in self._taken for key, due in self._due.items())

    @property
    def oldest_s(self) -> float:
        """How long the key that is due longest, and that nobody has taken, has been due; 0.0: none is."""
        with self._changed:
            first = min((due for key, due in self._due.items() if key not in self._taken), default=None)
            return max(0.0, self._clock() - first) if first is not None else 0.0

    def add(self, key: K, after_s: float = 0.0) -> None:
        """Look at `key` in so many seconds, or when it is due anyway if that is earlier."""
        with self._changed:
            due = self._clock() + after_s
            self._due[key] = min(due, self._due.get(key, due))
            self._changed.notify_all()  # not everybody who waits takes every key

    def take(self, of: Callable[[K], bool] = lambda key: True) -> K | None:
        """Wait for the key that is due first; it is the caller's until `done`, `failed` or `forget`. None: closed.

        of: the keys that the caller takes
        """
        with self._changed:
            while not self._closed:
                now = self._clock()
                self._follow_clock(now)
                ready = [key for key in self._due if key not in self._taken and of(key)]
                first = min(ready, key=self._due.__getitem__, default=None)
                if first is not None and self._due[first] <= now:
                    del self._due[first]
                    self._taken.add(first)
                    return first
                self._changed.wait(LOOK_S if first is None else min(LOOK_S, self._due[first] - now))
            return None

    def done(self, key: K, again_s: float) -> None:
        """It was looked at; look again in so many seconds."""
        with self._changed:
            self._failures.pop(key, None)
        self._give_back(key)
        self.add(key, again_s)

    def failed(self, key: K) -> float:
        """It could not be looked at; returns in how many seconds it is looked at again."""
        with self._changed:
            count = self._failures[key] = self._failures.get(key, 0) + 1
        most = min(self._longest_s, self._first_s * 2.0 ** min(count - 1, 30))
        wait = most * (0.5 + self._chance() / 2)
        self._give_back(key)
        self.add(key, wait)
        return wait

    def forget(self, key: K) -> None:
        """It is gone. If it was added meanwhile it comes again."""
        with self._changed:
            self._failures.pop(key, None)
        self._give_back(key)

    def close(self) -> None:
        """Everybody who waits in `take`, or comes there later, gets None."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _follow_clock(self, now: float) -> None:
        """Everything is due where the clock was set, also what is being looked at: with the times of before."""
        apart = self._wall() - now
        if abs(apart - self._apart) > JUMP_S:
            self._apart = apart
            for key in (*self._due, *self._taken):
                self._due[key] = now
            self._changed.notify_all()

    def _give_back(self, key: K) -> None:
        with self._changed:
            self._taken.discard(key)
            self._changed.notify_all()
