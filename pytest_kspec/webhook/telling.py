"""What this replica tells the operator: an open circuit breaker, and what was denied within the last hour.

Nothing is written while there is nothing to say. What changed is told at once, counts once a minute.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import datetime
from operator import methodcaller
from typing import Any

from pytest_kspec import clock
from pytest_kspec.audit.record import Record
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.enforce.engines import webhook_state
from pytest_kspec.enforce.engines.webhook_state import State
from pytest_kspec.errors import Conflict, SourceError

log = logging.getLogger("kspec.webhook")

HOUR_MINUTES = 60
AGAIN_S = 60.0
MOST_KEYS = 1000
"""Pairs of policy and check whose denials are counted."""


class Denials:
    """Denied requests of the last hour by policy and check. Thread-safe. minutes: monotonic."""

    def __init__(self, minutes: Callable[[], int] = lambda: int(time.monotonic() // 60)) -> None:
        self._minutes = minutes
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], deque[list[int]]] = {}

    def note(self, record: Record) -> None:
        """A request that was denied, as the audit log has it."""
        minute = self._minutes()
        with self._lock:
            for key in {
                (one["policy"], one["check"]) for one in record["violations"] if one["action"] == "denied"
            }:
                if key not in self._counts and len(self._counts) >= MOST_KEYS:
                    continue
                counts = self._counts.setdefault(key, deque())
                if not counts or counts[-1][0] != minute:
                    counts.append([minute, 0])
                counts[-1][1] += 1

    def by_policy(self) -> dict[str, dict[str, int]]:
        """Policy → check → how many; the policies with the most of them."""
        oldest = self._minutes() - HOUR_MINUTES
        found: dict[str, Counter[str]] = {}
        with self._lock:
            for key, counts in list(self._counts.items()):
                while counts and counts[0][0] <= oldest:
                    counts.popleft()
                if not counts:
                    del self._counts[key]
                    continue
                found.setdefault(key[0], Counter())[key[1]] += sum(count for _, count in counts)
        most = sorted(found, key=lambda name: (-found[name].total(), name))[: webhook_state.MOST_POLICIES]
        return {name: dict(sorted(found[name].items())) for name in sorted(most)}


class Telling:
    """Keeps the key of this replica right. state: what holds now, without its time."""

    def __init__(self, access: Access, namespace: str, replica: str, state: Callable[[], State]) -> None:
        self._access, self._namespace = access, namespace
        self._key = webhook_state.key_of(replica)
        self._state = state
        self._told: State | None = None
        self._when = 0.0
        self._problem = ""

    def tick(self) -> None:
        """Write what changed; where that is not possible, say so once, and try again the next time."""
        try:
            self._tick()
        except SourceError as error:
            if self._problem != str(error):
                log.warning("the operator is not told of denials and of the circuit breaker: %s", error)
            self._problem = str(error)
        else:
            self._problem = ""

    def _tick(self) -> None:
        state = self._state()
        has_news = state.tripped or state.denied
        if not has_news and self._told is None:
            return
        age = time.monotonic() - self._when
        if has_news and self._told is not None and age < AGAIN_S and _gist(state) == _gist(self._told):
            return
        self._write(state if has_news else None)
        self._told, self._when = (state if has_news else None), time.monotonic()

    def _write(self, state: State | None) -> None:
        now = clock.now()
        text = webhook_state.write(state) if state is not None else None
        place = {"name": webhook_state.NAME, "namespace": self._namespace}
        found = self._access.do(
            lambda writer: writer.find("v1", "ConfigMap", place["name"], namespace=self._namespace)
        )
        if found is None:
            if text is None:
                return
            made = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": place, "data": {self._key: text}}
            try:
                self._access.do(methodcaller("create", made))
                return
            except Conflict:  # another replica was first
                found = {}
        data: dict[str, Any] = found.get("data") or {}
        patch: dict[str, Any] = dict.fromkeys(webhook_state.stale(data, now))
        patch[self._key] = text
        self._access.do(
            lambda writer: writer.patch(
                "v1",
                "ConfigMap",
                place["name"],
                {"data": patch},
                namespace=self._namespace,
                field_manager=self._key[:120],
            )
        )


def state_of(tripped: bool, error_rate: float, denials: Denials, now: datetime | None = None) -> State:
    """What holds now."""
    at = (now or clock.now()).isoformat(timespec="seconds")
    return State(at, tripped, round(error_rate, 3), denials.by_policy())


def _gist(state: State) -> Any:
    """What is told at once where it changes."""
    return state.tripped, {name: set(checks) for name, checks in state.denied.items()}
