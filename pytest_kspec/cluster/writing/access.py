"""The cluster that a webhook or an operator serves, for its questions and writes.

Each thread has a connection of its own, made at the first use and made anew after the API server could not be
reached: a connection remembers that for the rest of a scan, and these run for months.
"""

from __future__ import annotations

import math
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from pytest_kspec.cluster.api.kubeconfig import read_kubeconfig
from pytest_kspec.cluster.limits import MIB, Limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import KspecError, SourceUnavailable, UsageError

T = TypeVar("T")

_TURNS = 64
"""Locks for any number of names: two that share one wait for each other without need, and no list grows."""

PATIENCE = Limits(
    connect_timeout_s=3.0,
    read_timeout_s=10.0,
    retries=1,
    backoff_s=0.2,
    retry_after_max_s=5.0,
    list_pages=100,
    request_s=15.0,
    list_s=30.0,
    cluster_s=math.inf,
    request_bytes=16 * MIB,
    list_bytes=64 * MIB,
    cluster_bytes=sys.maxsize,
)
"""For the few questions of what runs for months: a cluster that does not answer soon must not occupy its threads."""


class Access:
    """ref: a kubeconfig context, or "in-cluster". Raises UsageError for what is no live cluster.

    allowed: called before each write; what it raises keeps the write from being sent
    """

    def __init__(
        self,
        ref: str,
        kubeconfig: str | None = None,
        *,
        limits: Limits = PATIENCE,
        allowed: Callable[[], None] | None = None,
    ) -> None:
        source = open_source(ref, kubeconfig=kubeconfig)
        if not isinstance(source, LiveSource):
            raise UsageError("a live cluster is needed.", where=ref, fix="Name a kubeconfig context.")
        self.name = source.name
        self._in_cluster = ref not in read_kubeconfig(kubeconfig).contexts
        self._kubeconfig = kubeconfig
        self._ref = ref
        self._limits = limits
        self._allowed = allowed
        self._threads = threading.local()
        self._changed = threading.Condition()
        self._under_way = 0  # writes that were sent and are not answered
        self._turns = [threading.Lock() for _ in range(_TURNS)]
        self._closed: KspecError | None = None

    def do(self, action: Callable[[Writer], T]) -> T:
        """Do something with the cluster. Raises what `Writer` raises."""
        writer: Writer | None = getattr(self._threads, "writer", None)
        if writer is None:
            writer = self._threads.writer = Writer(self.open(), gate=self.passing)
        try:
            return action(writer)
        except SourceUnavailable:
            writer.source.close()
            self._threads.writer = None
            raise

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """One thread at a time for this name: around a comparison and the writes that follow from it."""
        with self._turns[zlib.crc32(what.encode()) % _TURNS]:
            yield

    def check(self) -> None:
        """Raises what would keep a write from being sent: for what acts elsewhere as the leader."""
        if self._closed is not None:
            raise self._closed
        if self._allowed is not None:
            self._allowed()

    def close(self, why: KspecError, patience_s: float) -> bool:
        """Send no write any more, of any thread: each raises `why`. Whether all that were sent are answered in time."""
        deadline = time.monotonic() + patience_s
        with self._changed:
            self._closed = why
            while self._under_way and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)
            return not self._under_way

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Around each write, also to other clusters: counted from before it is allowed until it has an answer."""
        with self._changed:
            self._under_way += 1
        try:
            self.check()
            yield
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def open(self, limits: Limits | None = None, name: str = "") -> LiveSource:
        """A connection of its own, which is the caller's to close. limits, name: where they are not the usual ones."""
        return LiveSource(
            self._ref,
            kubeconfig=self._kubeconfig,
            in_cluster=self._in_cluster,
            limits=limits or self._limits,
            name=name,
        )
