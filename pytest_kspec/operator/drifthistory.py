"""Drift in the store of the operator: what each look found, until it is gone.

A store that is away holds up no look and no correction. What it does not have is said by Events: when the first look
was not stored, and which, once looks are stored again. A difference that came and went meanwhile is missing for good.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from pytest_kspec.drift.events import DriftType, Look
from pytest_kspec.errors import KspecError
from pytest_kspec.operator.status import Note
from pytest_kspec.operator.storekept import KeptStore

if TYPE_CHECKING:
    from pytest_kspec.storage.drift import LastRun, Wanted
    from pytest_kspec.storage.engine import Store

log = logging.getLogger("kspec.operator")


class Subject(NamedTuple):
    """Whose looks: those of a specification, or of a DriftConfig at it (`config`)."""

    spec: str
    config: str = ""


class _Missing(NamedTuple):
    first: str
    last: str
    number: int


class DriftHistory:
    """Thread-safe. url: of the store; "": there is none, and nothing is kept; token, leads: as `KeptStore` has them."""

    def __init__(
        self,
        url: str = "",
        token: Callable[[], tuple[str, int] | None] = lambda: None,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store = KeptStore(url, token, leads)
        self._lock = threading.Lock()
        self._missing: dict[Subject, _Missing] = {}

    @property
    def is_kept(self) -> bool:
        """Whether there is a store."""
        return bool(self._store.url)

    def record(self, what: Subject, look: Look) -> list[Note]:
        """Store a look; Events where looks of this (`what`) begin to be missing, and where they are stored again."""
        if not self.is_kept or not (look.looked or look.events):
            return []
        try:
            with closing(self.open()) as store:
                from pytest_kspec.drift import recording

                recording.record(store, look)
        except KspecError as error:
            log.warning("%s: its drift is not in the store: %s", " ".join(filter(None, what)), error)
            if not look.events:
                return []  # nothing is missing; what cleared is written down by the next look
            with self._lock:
                before = self._missing.get(what)
                first, number = (before.first, before.number) if before is not None else (look.at, 0)
                self._missing[what] = _Missing(first, look.at, number + 1)
            text = f"The drift of {look.spec} at {look.at} is not stored: {error}"
            return [] if before is not None else [Note("Warning", "HistoryIncomplete", text)]
        with self._lock:
            missing = self._missing.pop(what, None)
        if missing is None:
            return []
        looks = "1 comparison is" if missing.number == 1 else f"{missing.number} comparisons are"
        text = f"Drift is stored again; {looks} missing, from {missing.first} to {missing.last}."
        return [Note("Normal", "HistoryRestored", text)]

    def misses(self, what: Subject) -> bool:
        """Whether the last look of this is not stored."""
        with self._lock:
            return what in self._missing

    def forget(self, *, spec: str = "", config: str = "") -> None:
        """The specification, or the DriftConfig, is gone, and with it all that looked at it."""
        with self._lock:
            for one in [*self._missing]:
                if (spec and one.spec == spec) or (config and one.config == config):
                    del self._missing[one]
        self._store.forget(Subject(spec, config))

    def last_run(self, cluster_id: str, spec: str, wanted: Wanted) -> LastRun | None:
        """As `storage.drift.last_run`. Raises StoreError."""
        from pytest_kspec.storage import drift

        with closing(self.open()) as store:
            return drift.last_run(store, cluster_id, spec, wanted)

    def known(self, cluster_id: str, spec: str) -> Callable[[tuple[str, ...]], bool]:
        """Which differences of requirements are stored and did not clear, by `DriftEvent.key`. Raises StoreError."""
        from pytest_kspec.drift import recording

        with closing(self.open()) as store:
            return recording.known(store, cluster_id, spec, DriftType.COMPLIANCE)

    def lost(self, what: Subject) -> list[Note]:
        """Events where the store is gone, with all that it held, since the last time this was asked."""
        return self._store.losses(what)

    def open(self) -> Store:
        """The store, which the caller closes. Raises StoreError."""
        return self._store.open()
