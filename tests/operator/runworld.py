"""A hub that a test holds in its hand, with runs over other clusters that do what the test says."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from msgspec.structs import replace

from pytest_kspec import clock
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.errors import KspecError
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.fleetruns import Setup
from pytest_kspec.operator.fleets import Fleets
from pytest_kspec.operator.metrics import Metrics, State
from pytest_kspec.operator.reconcile import Reconciler, Settings
from pytest_kspec.operator.remote import Remote
from pytest_kspec.operator.remote import Settings as RemoteSettings
from pytest_kspec.operator.scans import Ended, ScanFailed, Scanned
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.reports import json
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.results.result import ClusterResult, ScanResult
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.storage import fleet as stored
from pytest_kspec.storage.engine import open_store
from pytest_kspec.storage.fleetrun import Asked, StoredTarget
from tests.operator.test_reconcile import Cluster
from tests.operator.test_status import cluster

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
UNREACHABLE, SCANNED = Outcome.UNREACHABLE, Outcome.SCANNED
LIMIT_S = 120.0  # far above what is needed on a quiet machine
_CREATING = threading.Lock()
"""A process of the command creates one store; here there are threads instead."""


class Runs:
    """`kspec fleet scan`: outcomes by cluster, and those of the specification "other"."""

    def __init__(self) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.ids: list[str] = []
        self.ended: Ended | KspecError = Ended(0, ())
        self.ends = False
        self.go = threading.Event()
        self.go.set()

    def fleet(self, name: str, words: Sequence[str], store: str, folder: Path, deadline_s: float) -> Ended:
        run = next(word.removeprefix("--run=") for word in words if word.startswith("--run="))
        self.ids.append(run)
        assert self.go.wait(LIMIT_S)
        if isinstance(self.ended, KspecError):
            raise self.ended
        with _CREATING, closing(open_store(store, option="--store", create=True)) as opened:
            names = sorted(self.outcomes)
            targets = [StoredTarget(at, at, one, f"target:{one}", {}) for at, one in enumerate(names)]
            asked = [Asked(name, "0" * 64)]
            document = {"specs": [], "asked": [list(one) for one in asked]}
            stored.begin(opened, run, engine="local", document=document, targets=targets)
            for at, one in enumerate(names):
                if self.outcomes[one] == SCANNED:
                    found = replace(cluster(Verdict.PASS), name=one, uid=f"uid-{one}", spec_name=name)
                    result = ScanResult("1", "2026-11-29T12:00:00Z", "2026-11-29T12:00:00Z", (found,))
                    place = str(folder / "reports")
                    stored.commit(opened, run, at, asked, result, json.render(result), place=place)
                elif self.outcomes[one] is not Outcome.NOT_SCANNED:
                    stored.settle(opened, run, at, asked, self.outcomes[one], reason="no route to host")
            if self.ends:
                stored.end(opened, run)
        return self.ended


class Posts:
    def __init__(self) -> None:
        self.gone: list[str] = []
        self.of: list[str] = []
        self.runs: list[tuple[str, str]] = []

    def looked(self, cluster: ClusterResult) -> None:
        self.of.append(cluster.name)

    def left(self, spec: str, cluster: str, identity: str) -> None:
        self.gone.append(cluster)

    def ran(self, spec: str, failure: KspecError | None) -> None:
        self.runs.append((spec, str(failure or "")))


class Seen:
    """Clusters of which metrics say something, and those of which they say that there is no result; and of runs: what
    was last said of their shards, and how long they took."""

    def __init__(self) -> None:
        self.shards: dict[str, int] = {}
        self.seconds: list[float] = []
        self.known: set[str] = set()
        self.unknown: set[str] = set()

    def scanned(self, name: str, found: Scanned) -> None:
        self.known.add(found.result.clusters[0].name)

    def scan_failed(self, cluster: str, name: str, reason: str) -> None:
        self.unknown.add(cluster)

    def run_goes_on(self, name: str, shards: Mapping[str, int]) -> None:
        self.shards = dict(shards)

    def run_ended(self, name: str, seconds: float) -> None:
        self.seconds.append(seconds)

    def gone(self, name: str) -> None:
        self.known.clear()
        self.unknown.clear()
        self.shards = {}


def counting() -> Metrics:
    """As one process has them that leads."""
    return Metrics(State(lambda: True, lambda: 0, lambda: 0.0, lambda: 0))


class NoScans:
    def scan(self, name: str, run: str) -> Scanned:
        """The hub's own cluster is scanned by this, and here it cannot be."""
        raise ScanFailed("it failed.")


class Hub(Cluster):
    def check(self) -> None:
        """Always the leader."""


class World:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hub, self.runs, self.posts, self.seen = Hub(), Runs(), Posts(), Seen()
        self.metrics = counting()
        self.now = NOW
        monkeypatch.setattr(clock, "now", lambda: self.now)  # for the threads of runs, too
        self.looks: list[str] = []
        self.restart()

    def restart(self) -> None:
        """As a process that has just begun to lead."""
        access = cast("Access", self.hub)
        self.board = Board()

        looked = self.looked = threading.Event()

        def look(name: str) -> None:
            self.looks.append(name)
            looked.set()

        fleets = Fleets(access, self.runs, Setup(), look, seen=self.seen, posts=self.posts)
        settings = Settings(interval_s=300)
        remote = self.remote = Remote(access, self.targets, load_checks, look, RemoteSettings())
        self.reconciler = Reconciler(
            access,
            NoScans(),
            load_checks,
            self.known,
            settings,
            self.metrics,
            board=self.board,
            fleets=fleets,
            remote=remote,
        )

    def targets(self) -> dict[tuple[str, str], Any]:
        found = self.hub.list("", "ClusterTarget")
        return {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in found}

    def known(self) -> dict[str, Any]:
        return {one["metadata"]["name"]: one for one in self.hub.list("", "ClusterSpecification")}

    def target(self, name: str, since: str = "", failures: int = 0, came: str = "", **spec: Any) -> None:
        """since: when it fell silent; came: when it answered again."""
        status: dict[str, Any] = {"reachable": not since, "consecutiveFailures": failures}
        said = "False" if since else "True"
        message = f"Unreachable since {since}: no route to host"
        ready = {"type": "Ready", "status": said, "lastTransitionTime": since or came, "message": message}
        status["conditions"] = [ready] if since or came else []
        status |= {"unreachableSince": since} if since else {}
        body = {"apiServerURL": "https://c", "authMode": "token", "tokenSecretRef": {"name": "t"}, **spec}
        metadata = {"namespace": "kspec-system", "labels": {"env": "prod"}}
        self.hub.put("ClusterTarget", name, spec=body, status=status, metadata=metadata)

    def spec(self, name: str = "s", **spec: Any) -> None:
        self.hub.put("ClusterSpecification", name, spec={"kubernetes": {"minVersion": "1.29"}, **spec})

    def step(self, name: str = "s", seconds: float = 0.0) -> float:
        self.now += timedelta(seconds=seconds)
        again = self.reconciler.reconcile(("", name))
        assert again is not None
        return again

    def over(self, name: str = "s") -> tuple[str, str]:
        """Let the run come to its end, and say how."""
        self.looked.clear()
        self.step(name)
        assert self.looked.wait(LIMIT_S)
        self.step(name)
        return self.ready(name)

    def status(self, name: str = "s") -> dict[str, Any]:
        found: dict[str, Any] = self.hub.get("", "ClusterSpecification", name).get("status", {})
        return found

    def ready(self, name: str = "s") -> tuple[str, str]:
        (one,) = [one for one in self.status(name)["conditions"] if one["type"] == "Ready"]
        return one["status"], one["reason"]
