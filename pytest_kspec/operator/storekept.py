"""The store of one operator: made once. If it is gone later, a new one is begun, and that is said: its history is lost.

Whoever opens a store by this is the first to see that it is gone: scans make one where there is none, without a word.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from pytest_kspec.errors import KspecError, NoStore
from pytest_kspec.operator.status import Note

if TYPE_CHECKING:
    from pytest_kspec.storage.engine import Store

_AWAY_S = 60.0

log = logging.getLogger("kspec.operator")


class KeptStore:
    """Thread-safe. url: "": there is none; token: of this process as the leader, None if it has no replicas; leads:
    whether it does now.
    """

    def __init__(
        self,
        url: str,
        token: Callable[[], tuple[str, int] | None] = lambda: None,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self.url = url
        self._token, self._leads = token, leads
        self._lock = threading.Lock()
        self._was_there = False
        self._not_before = 0.0
        self._losses: list[str] = []
        self._told: dict[Hashable, int] = {}  # who was told of how many of them

    def open(self) -> Store:
        """The store, which the caller closes; it refuses writes of who leads no more. Raises StoreError."""
        store = self._opened()
        if (token := self._token()) is not None:
            from pytest_kspec.storage.leaders import FencingToken, fence

            fence(store, FencingToken(*token), self._leads)
        return store

    def _opened(self) -> Store:
        from pytest_kspec.storage.engine import open_store

        try:
            store = open_store(self.url, option="--store")
        except NoStore:
            with self._lock:
                return self._again()
        self._was_there = True
        return store

    def _again(self) -> Store:
        """Another thread may have begun one meanwhile."""
        from pytest_kspec.storage.engine import open_store

        try:
            return open_store(self.url, option="--store")
        except NoStore as error:
            store = open_store(self.url, option="--store", create=True)
            if self._was_there:
                why = f"{error.where}: {error.what.rstrip('.')}"
                text = f"{why}: a new, empty store was created; the earlier results are lost"
                self._losses.append(text)
                log.error("%s", text)
            else:
                log.info("a new store was created")
            self._was_there = True
        return store

    def losses(self, who: Hashable) -> list[Note]:
        """Events of what was lost since the last call of `who`; nothing at the first."""
        if not self.url:
            return []
        if time.monotonic() >= self._not_before:  # one that does not answer holds up no scan
            try:
                self.open().close()
            except KspecError as error:  # who writes to it says what is missing
                log.debug("the store could not be opened: %s", error)
                self._not_before = time.monotonic() + _AWAY_S
        with self._lock:
            told = self._told.get(who, len(self._losses))
            self._told[who] = len(self._losses)
            return [Note("Warning", "HistoryLost", f"{text}.") for text in self._losses[told:]]

    def forget(self, who: Hashable) -> None:
        """Who was told is gone."""
        with self._lock:
            self._told.pop(who, None)
