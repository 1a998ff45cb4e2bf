"""A run over a fleet as a store knows it, in tables (`fleet`) or as objects (`fleetobjects`)."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pytest_kspec import clock
from pytest_kspec.errors import StoreError
from pytest_kspec.storage import objects

_SWEPT = 10
LONGEST_REASON = 1000
"""Characters."""


class Asked(NamedTuple):
    """A specification of a run. sha256: of its files, as in `results.evidence.Evidence`."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True)
class StoredRun:
    """A run over a fleet. Times are RFC 3339; ended_at is "" until every cluster has an outcome.

    document: what workers are to do; outcomes: how many clusters have each, "" for none yet
    """

    id: str
    created_at: str
    ended_at: str
    engine: str
    shards: int
    document: Mapping[str, Any]
    outcomes: Mapping[str, int] = field(default_factory=dict)

    @property
    def clusters(self) -> int:
        """How many it was begun with."""
        return sum(self.outcomes.values())

    @property
    def waiting(self) -> int:
        """How many have no outcome yet."""
        return self.outcomes.get("", 0)


@dataclass(frozen=True, slots=True)
class StoredTarget:
    """A cluster of a run. ref: how it is opened; done: has an outcome.

    attempts: how often a worker began with it; returned: how often one that was told to end gave it back
    forgiven: attempts without an outcome of those who ran this run before
    """

    position: int
    shard: int
    name: str
    ref: str
    labels: Mapping[str, str]
    attempts: int = 0
    done: bool = False
    returned: int = 0
    forgiven: int = 0

    @property
    def ended(self) -> int:
        """How many workers were killed while they scanned it, by it or by somebody else."""
        return self.attempts - self.returned

    @property
    def ended_now(self) -> int:
        """Those of them that nobody killed together with their run."""
        return self.ended - self.forgiven


def shards_in(targets: Iterable[StoredTarget]) -> int:
    """How many shards these are in."""
    return 1 + max((target.shard for target in targets), default=-1)


def stamp() -> str:
    """Now, as times are kept."""
    return clock.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def report_name(run: str, day: str, position: int, attempt: int) -> str:
    """Where the full report of a cluster is kept: what an attempt left that was killed is found by its name.

    day: on which the run began; attempt: 0 for a report of errors only, of a cluster that no scan was begun of
    """
    digest = hashlib.sha256(run.encode()).hexdigest()[:20]
    return f"{day}/{digest}-{position}-{attempt}.json.gz"


def sweep(place: str, run: str, day: str, position: int, attempts: int, kept: int = -1) -> None:
    """Remove the reports of so many attempts but `kept`, once it is known what became of the cluster.

    They are of workers that were killed between the report and its row. One that cannot be removed now stays.
    """
    if not place or attempts < 2:
        return
    for attempt in (0, *range(max(1, attempts - _SWEPT), attempts + 1)):
        if attempt != kept:
            with contextlib.suppress(StoreError):
                objects.delete(f"{place}/{report_name(run, day, position, attempt)}")


_SOURCES = ("target", "argocd", "clusterprofile", "context", "hub")


def preference(name: str, ref: str) -> tuple[int, str]:
    """Which of two names of a cluster has its result, the lower one, whichever answers first.

    What describes a cluster has its labels, and comes before a context and before the hub as itself.
    """
    source = ref.partition(":")[0]
    return (_SOURCES.index(source) if source in _SOURCES else len(_SOURCES), name)


def same_as(name: str) -> str:
    """Why a name of a cluster is a duplicate."""
    return f"the same cluster as {name}."


def gave_way(name: str, reason: str) -> str:
    """The same of one under which the scan failed."""
    return f"{same_as(name)} The scan under this name failed: {reason}"
