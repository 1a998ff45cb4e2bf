"""Runs over other clusters that have no result, or not of every cluster."""

from __future__ import annotations

from datetime import timedelta

import pytest
from msgspec.structs import replace

from pytest_kspec.errors import KspecError
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.scans import Ended, ScanFailed
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.results.verdict import Verdict
from tests.operator.runworld import SCANNED, World
from tests.operator.test_status import cluster


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


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
