"""Runs over other clusters when a specification selects others than before, or none."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.operator.fleetruns import Setup
from pytest_kspec.operator.fleets import Fleets
from pytest_kspec.operator.metrics import Metrics, State
from pytest_kspec.operator.reconcile import Reconciler, Settings
from pytest_kspec.operator.scans import ScanFailed
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.results.verdict import Verdict
from tests.operator.runworld import LIMIT_S, SCANNED, World
from tests.operator.test_reconcile import Scans


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


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
