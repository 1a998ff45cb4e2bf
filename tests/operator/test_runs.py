"""Runs over other clusters, on a hub that a test holds in its hand: when they begin, and what interrupts them."""

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
from pytest_kspec.operator import runwatch
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.fleets import BACK_S, Fleets, Setup
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
from pytest_kspec.storage.fleet import Asked, StoredTarget
from tests.operator.test_reconcile import Cluster, Scans
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


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_a_cluster_that_is_back_is_scanned_soon(world: World) -> None:
    world.target("c")
    world.spec(clusterRef={"name": "c"})
    world.runs.outcomes = {"c": UNREACHABLE}
    assert world.over() == ("Unknown", "ClustersUnreachable")
    since = world.status()["unreachableSince"]
    assert (since, world.status().get("complianceScore")) == ("2026-11-29T12:00:00Z", None)
    # It was silent before, as its ClusterTarget knows; and no run is spent on it any more.
    world.target("c", since="2026-11-29T11:58:00Z", failures=4)
    assert 0 < world.step(seconds=400) <= 331
    assert world.status()["unreachableSince"] == "2026-11-29T11:58:00Z"
    (entry,) = world.status()["worstClusters"]
    assert (entry["consecutiveFailures"], entry["message"]) == (
        4,
        "Unreachable since 2026-11-29T11:58:00Z: no route to host",
    )
    assert len(world.runs.ids) == 1
    # Back, ten seconds after: it is looked at when a minute is over since the last scan.
    world.now += timedelta(seconds=10)
    world.target("c", came=world.now.strftime("%Y-%m-%dT%H:%M:%SZ"))
    assert world.step() == BACK_S - 10
    world.runs.outcomes = {"c": SCANNED}
    world.now += timedelta(seconds=BACK_S - 10)
    assert world.over() == ("True", "ComplianceChecksPassed")
    assert "unreachableSince" not in world.status()
    assert world.status()["worstClusters"] == []


def test_a_cluster_can_have_an_interval_of_its_own(world: World) -> None:
    world.target("c", scanInterval="1h")
    world.target("d")
    world.spec(clusterRef={"name": "c"})
    world.spec("both", clusterSelector={"matchLabels": {"env": "prod"}})
    world.runs.outcomes = {"c": SCANNED}
    world.over()
    assert 3600 <= due(world) <= 3960
    world.over("both")
    assert 300 <= due(world, "both") <= 331
    world.step(seconds=400)
    assert len(world.runs.ids) == 2, "it is not due yet"
    world.target("c", scanInterval="2m")
    world.over()
    assert 120 <= due(world) <= 132


def due(world: World, name: str = "s") -> float:
    """Seconds from the last scan to the next."""
    last, then = (datetime.fromisoformat(world.status(name)[key]) for key in ("lastScanTime", "nextScanTime"))
    return (then - last).total_seconds()


def test_a_fleet_is_scanned_though_one_of_it_is_silent(world: World) -> None:
    world.target("a", since="2026-11-29T10:00:00Z", failures=9)
    world.target("b")
    world.spec(clusterSelector={"matchLabels": {"env": "prod"}})
    world.runs.outcomes = {"a": UNREACHABLE, "b": SCANNED}
    assert world.over() == ("Unknown", "ClustersUnreachable")
    assert world.status()["unreachableSince"] == "2026-11-29T10:00:00Z"
    # As a requirement that could not be evaluated: a cluster that could not be looked at is not met.
    assert world.status()["complianceScore"] == 50
    assert world.status()["clusters"]["compliant"] == 1


def test_two_runs_with_a_cluster_in_common_follow_each_other(world: World) -> None:
    world.target("c")
    world.spec(clusterRef={"name": "c"})
    world.spec("other", clusterSelector={})
    world.runs.outcomes = {"c": SCANNED}
    world.runs.go.clear()
    world.step()
    world.step("other")
    world.step("other")
    world.runs.go.set()
    assert world.looked.wait(LIMIT_S)
    assert len(world.runs.ids) == 1
    assert set(world.looks) == {"s", "other"}, "the other one looks again when the first is over"
    assert world.over("other") == ("True", "ComplianceChecksPassed")


def test_a_run_that_takes_longer_than_its_interval_has_none_beside_or_behind_it(world: World) -> None:
    world.target("c")
    world.spec(clusterRef={"name": "c"})
    world.runs.outcomes = {"c": SCANNED}
    world.runs.go.clear()
    world.step()
    for _ in range(4):
        assert world.step(seconds=400) > 0
    world.runs.go.set()
    assert world.looked.wait(LIMIT_S)
    assert world.step() > 0
    assert world.ready() == ("True", "ComplianceChecksPassed")
    assert world.step(seconds=200) > 0
    assert len(world.runs.ids) == 1, "what was due meanwhile is not made up for"
    world.step(seconds=200)
    assert world.over() == ("True", "ComplianceChecksPassed")
    assert len(set(world.runs.ids)) == 2


def test_metrics_follow_the_shards_of_a_run_and_know_how_long_it_took(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runwatch, "POLL_S", 0.01)
    seen = threading.Event()
    told: list[dict[str, int]] = []

    def goes_on(name: str, shards: Mapping[str, int]) -> None:
        told.append(dict(shards))
        seen.set()

    monkeypatch.setattr(world.seen, "run_goes_on", goes_on)
    world.target("c")
    world.target("d")
    world.spec(clusterSelector={})
    world.runs.outcomes = {"c": SCANNED, "d": UNREACHABLE}
    conclude = stored.settle

    def settle(*words: Any, **more: Any) -> bool:
        seen.clear()
        assert seen.wait(LIMIT_S)  # looked at while the run goes on
        world.now += timedelta(seconds=90)
        return conclude(*words, **more)

    monkeypatch.setattr(stored, "settle", settle)
    world.runs.ends = True
    world.over()
    assert {"waiting": 1, "failed": 0, "done": 1} in told
    assert told[-1] == {"waiting": 0, "failed": 0, "done": 2}
    assert world.seen.seconds == [90]


def test_the_next_leader_goes_on_with_the_same_run(world: World) -> None:
    world.target("c")
    world.spec(clusterRef={"name": "c"})
    world.runs.outcomes = {"c": SCANNED}
    world.runs.go.clear()
    world.step()
    world.restart()
    world.runs.go.set()
    world.over()
    first, again = world.runs.ids
    assert first == again
    # The next scan is another run, and so is one of what has changed.
    world.now += timedelta(seconds=400)
    world.over()
    assert len(set(world.runs.ids)) == 2
    world.spec(clusterRef={"name": "c"}, rbac={})
    world.over()
    assert len(set(world.runs.ids)) == 3


def test_what_changed_during_a_run_is_scanned_anew(world: World) -> None:
    world.target("c")
    world.spec(clusterRef={"name": "c"})
    world.runs.outcomes = {"c": SCANNED}
    world.runs.go.clear()
    world.step()
    world.spec(clusterRef={"name": "c"}, rbac={})
    world.runs.go.set()
    assert world.looked.wait(LIMIT_S)
    assert world.over() == ("True", "ComplianceChecksPassed")
    assert len(set(world.runs.ids)) == 2


@pytest.mark.parametrize(
    ("ended", "said"),
    [
        (Ended(4, ("error: the store is of a newer version.",)), "exit code 4: error: the store is of"),
        (ScanFailed("the run could not be started."), "the run could not be started."),
    ],
)
def test_a_run_without_a_result(ended: Ended | KspecError, said: str, world: World) -> None:
    world.target("c")
    world.spec(clusterRef={"name": "c"})
    world.runs.outcomes = {"c": SCANNED}
    world.over()
    world.runs.ended = ended
    world.now += timedelta(seconds=400)
    with pytest.raises(ScanFailed, match=said):
        world.over()
    assert world.ready() == ("Unknown", "ReconciliationFailed")
    assert world.seen.unknown == {"c"}
    assert [one for one, _ in world.posts.runs] == ["s", "s"]
    assert (world.posts.runs[0][1], said in world.posts.runs[1][1]) == ("", True)
    assert not {"complianceScore", "clusters", "worstClusters"} & world.status().keys()


def test_a_run_that_fails_is_one_alert_until_the_next_has_a_result() -> None:
    board = Board()
    board.ran("s", ScanFailed("the store is away."))
    (posted,) = board.since(0)
    assert posted.seen is not None
    (alert,) = posted.seen.active
    assert (alert.event, alert.title, alert.description) == (
        "ScanFailed",
        "The scan of the clusters of s failed",
        "the store is away.",
    )
    board.ran("s", None)
    (posted,) = board.since(posted.number)
    assert posted.seen is not None
    assert (posted.seen.active, posted.seen.cluster_id, posted.seen.judges) == ((), "fleet:s", {"ScanFailed"})


def test_a_run_that_took_too_long_leaves_no_cluster_without_an_outcome(world: World) -> None:
    world.target("c")
    world.target("d")
    world.spec(clusterSelector={})
    world.runs.outcomes = {"c": SCANNED, "d": Outcome.NOT_SCANNED}
    world.runs.ended = Ended(None, ())
    assert world.over() == ("Unknown", "ComplianceChecksNotEvaluated")
    assert world.seen.shards == {"waiting": 0, "failed": 1, "done": 1}
    (entry,) = world.status()["worstClusters"]
    assert (entry["name"], entry["outcome"]) == ("d", "not-scanned")
    assert entry["message"] == "not scanned: the run was ended after 7200 s."
    counts = world.status()["clusters"]
    assert (counts["selected"], counts["scanned"], counts["notScanned"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"clusterRef": {"name": "none"}}, "NoClusterSelected"),
        ({"clusterSelector": {"matchLabels": {"env": "none"}}}, "NoClusterSelected"),
        ({"clusterRef": {"name": "suspended"}}, "ClusterSuspended"),
    ],
)
def test_no_cluster_is_not_compliant(spec: dict[str, Any], reason: str, world: World) -> None:
    world.target("suspended", suspend=True)
    world.spec(**spec)
    world.step()
    assert world.ready() == ("Unknown", reason)
    assert world.runs.ids == []
    assert "complianceScore" not in world.status()


def test_clusters_that_left_are_said_to_others(world: World) -> None:
    for name in ("a", "b"):
        world.target(name)
    world.spec(clusterSelector={})
    world.runs.outcomes = {"a": SCANNED, "b": SCANNED}
    world.over()
    world.hub.delete("", "ClusterTarget", "b")
    world.runs.outcomes = {"a": SCANNED}
    world.now += timedelta(seconds=400)
    world.over()
    assert world.posts.gone == ["b"]
    assert world.seen.known == {"a"}
    assert world.status()["clusters"]["selected"] == 1


def test_what_is_for_this_cluster_again_keeps_nothing_of_others(world: World) -> None:
    world.target("c")
    world.spec(clusterRef={"name": "c"})
    world.runs.outcomes = {"c": SCANNED}
    world.over()
    world.spec()
    with pytest.raises(ScanFailed):
        world.step()
    assert not {"clusters", "worstClusters", "unreachableSince", "run"} & world.status().keys()


def test_a_specification_that_goes_elsewhere_leaves_no_score_here(world: World) -> None:
    metrics = Metrics(State(lambda: True, lambda: 0, lambda: 0.0, lambda: 0))
    access = cast("Access", world.hub)
    fleets = Fleets(access, world.runs, Setup(), lambda name: None, seen=metrics)
    scans, settings = Scans((Verdict.PASS,)), Settings(interval_s=300)
    world.reconciler = Reconciler(
        access, scans, load_checks, world.known, settings, metrics, fleets=fleets, remote=world.remote
    )
    world.spec()
    world.step()
    score = ("kspec_compliance_score_ratio", "prod", "s")
    assert metrics.registry.value(*score) == 1
    world.target("c")
    world.spec(clusterRef={"name": "c"})
    world.runs.go.clear()
    world.step()
    assert metrics.registry.value(*score) is None
    world.runs.go.set()


def test_a_run_without_a_result_ends_no_alert(world: World) -> None:
    world.target("c")
    world.spec(clusterRef={"name": "c"})
    world.runs.outcomes = {"c": SCANNED}
    world.over()
    world.board.looked(replace(cluster(Verdict.FAIL), spec_name="s"))
    world.runs.ended = ScanFailed("the store is away.")
    world.now += timedelta(seconds=400)
    with pytest.raises(ScanFailed):
        world.over()
    assert "clusters" not in world.status()
    world.runs.go.clear()
    world.step()
    world.runs.go.set()
    assert [one.seen is None for one in world.board.since(0)] == [False], "nothing says that it is gone"


@pytest.mark.parametrize("why", ["silent", "invalid"])
def test_what_cannot_begin_holds_up_no_other(why: str, world: World) -> None:
    world.target("c")
    world.target("d")
    world.spec("first", clusterSelector={})
    world.spec("waits", clusterRef={"name": "c"})
    world.spec("behind", clusterSelector={})
    world.runs.outcomes = {"c": SCANNED, "d": SCANNED}
    world.runs.go.clear()
    for name in ("first", "waits", "behind"):
        world.step(name)
    world.runs.go.set()
    assert world.looked.wait(LIMIT_S)
    if why == "silent":
        world.target("c", since="2026-11-29T11:58:00Z", failures=9)
    else:
        world.spec("waits", clusterRef={"name": "c"}, kubernetes=[])
    world.step("waits")
    assert world.over("behind") == ("True", "ComplianceChecksPassed")


def test_a_run_that_is_not_wanted_any_more_says_nothing(world: World) -> None:
    world.target("c")
    world.spec(clusterRef={"name": "c"})
    world.runs.outcomes = {"c": SCANNED}
    world.runs.go.clear()
    world.step()
    world.spec()
    with pytest.raises(ScanFailed):
        world.step()  # of the hub's own cluster
    world.runs.go.set()
    assert world.looked.wait(LIMIT_S)
    assert (world.posts.of, world.seen.known) == ([], set())
    world.spec(clusterRef={"name": "c"})
    world.step()
    assert world.over() == ("True", "ComplianceChecksPassed")
    assert world.posts.of == ["c"]


def test_metrics_say_nothing_of_clusters_that_are_not_selected_any_more(world: World) -> None:
    world.target("c")
    world.spec(clusterSelector={})
    world.runs.outcomes = {"c": SCANNED}
    world.over()
    assert world.seen.known == {"c"}
    world.hub.delete("", "ClusterTarget", "c")
    world.step(seconds=400)
    assert world.ready() == ("Unknown", "NoClusterSelected")
    assert (world.posts.gone, world.seen.known) == (["c"], set())
