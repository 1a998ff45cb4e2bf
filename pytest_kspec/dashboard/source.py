"""Where pages read, and what is shown while that is away: the last answer to the same question, and its age.

Answers are kept by question and by what the viewer may see, bounded in number; what one viewer may see is never the
answer to another.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from pytest_kspec.errors import KspecError, StoreError
from pytest_kspec.storage.engine import Store, open_store
from pytest_kspec.storage.listing import specs

KEPT = 200
"""Answers that are kept for the time when the store is away; a page has at most MOST_ROWS rows."""
T = TypeVar("T")


class Source(Protocol):
    """What pages read."""

    @property
    def name(self) -> str:
        """What it is, for people; without secrets."""
        ...

    def read(self, ask: Callable[[Store], T]) -> T:
        """Ask it. Raises StoreError where it is away, and other KspecErrors for what it refuses."""
        ...

    def close(self) -> None:
        """Give back what it holds."""
        ...


class StoreSource:
    """A store of results. Opened when it is first read, and anew after it was away."""

    def __init__(self, url: str, option: str = "--store") -> None:
        self._url, self._option = url, option
        self._store: Store | None = None
        self._lock = threading.Lock()

    @property
    def name(self) -> str:
        from pytest_kspec.storage.address import parse_address

        return parse_address(self._url, option=self._option).shown

    def open(self) -> Store:
        """The store. Raises UsageError, StoreError."""
        with self._lock:
            if self._store is None:
                self._store = open_store(self._url, option=self._option)
            return self._store

    def read(self, ask: Callable[[Store], T]) -> T:
        """Ask it. A connection is made for each read, so that one that comes back is read again."""
        return ask(self.open())

    def close(self) -> None:
        """Give back connections."""
        if self._store is not None:
            self._store.close()


@dataclass(frozen=True, slots=True)
class Known:
    """An answer. as_of: when it was read; problem: why it is not newer, or ""."""

    value: Any
    as_of: datetime
    problem: str = ""


class Away(Exception):
    """The store is away, and there is no earlier answer. The text says why."""


class Answers:
    """Asks a source, and keeps answers. Thread-safe."""

    def __init__(
        self,
        source: Source,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        note: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._source, self._clock, self._note = source, clock, note
        self._kept: OrderedDict[Hashable, Known] = OrderedDict()
        self._lock = threading.Lock()
        self._said = ""

    def get(self, key: Hashable, ask: Callable[[Store], Any]) -> Known:
        """The answer, or the last one where the store is away. Raises Away, and KspecError for other refusals."""
        try:
            value = self._source.read(ask)
        except StoreError as error:
            self._say(str(error))
            with self._lock:
                old = self._kept.get(key)
            if old is None:
                raise Away(error.what) from error
            return Known(old.value, old.as_of, error.what)
        self._say("")
        known = Known(value, self._clock())
        with self._lock:
            self._kept[key] = known
            self._kept.move_to_end(key)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return known

    def _say(self, problem: str) -> None:
        """Once for each change, in the log."""
        with self._lock:
            before, self._said = self._said, problem
        if problem and problem != before:
            self._note(f"the store could not be read: {problem}")
        if before and not problem:
            self._note("the store is read again")

    def problem(self) -> str:
        """Why it cannot be read now; "" where it can."""
        try:
            self._source.read(specs)
        except KspecError as error:
            return error.what
        return ""
