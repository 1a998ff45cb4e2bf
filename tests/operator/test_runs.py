"""Runs over other clusters, on a hub that a test holds in its hand: when they begin, and what interrupts them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from pytest_kspec.operator import runwatch
from pytest_kspec.operator.fleets import BACK_S
from pytest_kspec.storage import fleet as stored
from tests.operator.conftest import until
from tests.operator.runworld import LIMIT_S, SCANNED, UNREACHABLE, World


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
    told: list[dict[str, int]] = []
    monkeypatch.setattr(world.seen, "run_goes_on", lambda name, shards: told.append(dict(shards)))
    world.target("c")
    world.target("d")
    world.spec(clusterSelector={})
    world.runs.outcomes = {"c": SCANNED, "d": UNREACHABLE}
    conclude = stored.settle
    states = iter([{"waiting": 2, "failed": 0, "done": 0}, {"waiting": 1, "failed": 0, "done": 1}])

    def settle(*words: Any, **more: Any) -> bool:
        state = next(states)
        until(lambda: state in told, lambda: f"{state} of a run that goes on, told: {told}")
        world.now += timedelta(seconds=90)
        return conclude(*words, **more)

    monkeypatch.setattr(stored, "settle", settle)
    world.runs.ends = True
    world.over()
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
