"""A run over clusters that are not the operator's own: how it is started, who hears of it, and what came of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from pytest_kspec import clock
from pytest_kspec.errors import KspecError
from pytest_kspec.operator.fleetstatus import Silence
from pytest_kspec.operator.scans import Ended, Scanned
from pytest_kspec.operator.status import Note, Said, status_of
from pytest_kspec.results.result import ClusterResult
from pytest_kspec.spec.loading import LoadedSpec

Object = dict[str, Any]

SLOT_S = 6 * 3600
"""A run that was interrupted is continued for so long."""


class Runner(Protocol):
    """What starts runs: `scans.Scanner`."""

    def fleet(self, name: str, words: Sequence[str], store: str, folder: Path, deadline_s: float) -> Ended:
        """Raises ScanFailed, Stopped."""
        ...


class Seen(Protocol):
    """Who counts what happens: `metrics.Metrics`."""

    def scanned(self, name: str, found: Scanned) -> None:
        """A scan has a result."""
        ...

    def scan_failed(self, cluster: str, name: str, reason: str) -> None:
        """A scan has no result."""
        ...

    def run_goes_on(self, name: str, shards: Mapping[str, int]) -> None:
        """Shards of its run, by state."""
        ...

    def run_ended(self, name: str, seconds: float) -> None:
        """Its run has an outcome of every cluster."""
        ...

    def gone(self, name: str) -> None:
        """Nothing is known of the specification any more."""
        ...


class Posts(Protocol):
    """Who tells others: `board.Board`."""

    def looked(self, cluster: ClusterResult) -> None:
        """A scan has a result."""
        ...

    def left(self, spec: str, cluster: str, identity: str) -> None:
        """The specification is not for this cluster any more."""
        ...

    def ran(self, spec: str, failure: KspecError | None) -> None:
        """A run ended; failure: it has no result."""
        ...


class Setup(NamedTuple):
    """How runs are started.

    words: for each, beside specification, hub, run and store. store: None: one for each run, which ends with it
    place: of full reports; "": beside an SQLite store
    timeout_s: a run that takes longer is ended, and clusters without an outcome are errors
    at_once: runs at the same time
    """

    words: tuple[str, ...] = ()
    store: str = ""
    place: str = ""
    timeout_s: float = 7200.0
    at_once: int = 2


class Step(NamedTuple):
    """What is to be written of a specification now, and when to look at it again. said: (): nothing.

    ended: a scan came to its end; began: when it was begun, where that was by this process
    """

    again_s: float
    said: tuple[Said, ...] = ()
    fields: Mapping[str, Any] = {}
    notes: tuple[Note, ...] = ()
    failure: KspecError | None = None
    ended: bool = False
    began: datetime | None = None


@dataclass
class Run:
    """mark: UID and generation of the specification. clusters: what no other run may scan meanwhile.

    unwanted: the specification is not for these clusters any more
    """

    id: str
    mark: tuple[Any, Any]
    clusters: frozenset[str]
    names: tuple[str, ...]
    silent: Mapping[str, Silence]
    before: Object
    began: datetime = field(default_factory=lambda: clock.now())
    done: bool = False
    unwanted: bool = False
    step: Step | None = None
    failure: KspecError | None = None
    notes: list[Note] = field(default_factory=list)


def run_id(found: Object, spec: LoadedSpec) -> str:
    """The same for whoever leads, until a scan has come to its end or the specification says something else."""
    now: datetime = clock.now()
    metadata = found["metadata"]
    facts = [
        metadata.get("uid"),
        metadata.get("generation"),
        spec.tree.plain(),
        status_of(found).get("lastScanTime"),
        status_of(found).get("run"),
        int(now.timestamp() // SLOT_S),
    ]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()
    return f"{spec.name[:40]}-{digest[:12]}"
