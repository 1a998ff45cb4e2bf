"""Credentials of one target, kept in memory and loaded anew before they end: at 80 % of their life, each few minutes
where their life is not known, and at once where the API server answered 401.

All connections of a target share one keeper, and one of them loads at a time. What was loaded last is kept until it
ends, so that a store that is away for a while ends no scan.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pytest_kspec.cluster.api.contexts import Context
from pytest_kspec.errors import SourceError
from pytest_kspec.fleet.targets.credentials import Life, context_life, expired

RENEWED_AT = 0.8
"""Of the life of credentials."""

REREAD_S = 300.0
"""Credentials are loaded anew after this time at the latest: they may have been replaced."""

AGAIN_S = 10.0
"""The least time between two attempts, so that one that fails, or a cluster that accepts nothing, floods no store."""


class Keeper:
    """As `auth.Credentials`. load: reads the store; raises SourceError. clock, now: seconds, monotonic and Unix."""

    def __init__(
        self,
        load: Callable[[], Context],
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._load = load
        self._clock = clock
        self._now = now
        self._lock = threading.Lock()
        self._context: Context | None = None
        self._failed: SourceError | None = None
        self._tried_at = 0.0
        self._refused_at: float | None = None
        self._due_at = 0.0
        self.life = Life()
        """Of what is kept."""

    @property
    def holds(self) -> bool:
        """Whether there are credentials, as far as was tried."""
        return self._context is not None

    def context(self) -> Context:
        """What is kept, or loaded. Raises what loading raises, once nothing that is kept is valid any more."""
        with self._lock:
            if self._context is None or self._clock() >= self._due_at:
                self._renew()
            assert self._context is not None
            return self._context

    def refused(self, context: Context) -> None:
        """401: load anew at the next use, unless another thread already did, or this was just tried in vain."""
        with self._lock:
            now = self._clock()
            if self._context is context and (self._refused_at is None or now - self._refused_at >= AGAIN_S):
                self._refused_at = now
                self._due_at = now

    def _renew(self) -> None:
        if self._failed is not None and self._context is None and self._clock() - self._tried_at < AGAIN_S:
            raise self._failed
        self._tried_at = self._clock()
        try:
            found = self._load()
        except SourceError as error:
            self._failed = error
            if self._context is None or expired(self.life, self._now()):
                self._context = None
                raise
            self._due_at = self._tried_at + AGAIN_S
            return
        self._failed = None
        if self._context is None or found != self._context:
            self._context = found  # an equal one keeps its connections
        self.life = context_life(found)
        self._due_at = self._tried_at + self._keep_s()

    def _keep_s(self) -> float:
        """Seconds until it is loaded again."""
        life, now = self.life, self._now()
        if life.expires is None:
            return REREAD_S
        issued = min(life.issued if life.issued is not None else now, now)
        renewal = issued + RENEWED_AT * (life.expires - issued)
        return min(REREAD_S, max(AGAIN_S, renewal - now))
