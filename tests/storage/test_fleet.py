"""Runs over a fleet in a store: frozen once, one outcome for each cluster, whoever comes first."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pytest_kspec import clock
from pytest_kspec.errors import UsageError
from pytest_kspec.fleet import text
from pytest_kspec.fleet.report import make_report
from pytest_kspec.fleet.results import full_result
from pytest_kspec.reports import json
from pytest_kspec.results.evidence import ExemptionUse
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.results.result import ScanResult
from pytest_kspec.storage import fleet, fleetattempts
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.fleetclaims import Claim, claim
from pytest_kspec.storage.fleetrun import Asked, StoredTarget
from pytest_kspec.storage.prune import prune
from pytest_kspec.storage.read import trend
from pytest_kspec.storage.write import prepare
from tests.reports.results import check, cluster, finding, ref, scan

ASKED = (Asked("strict", "d" * 64),)
APP = finding(ref("Deployment", "web"), "spec.template.spec.containers[app].image", "nginx:1", "a digest")
ADDED = {"app.kubernetes.io/managed-by": "kspec"}
EU, US = {"env": "prod", "region": "eu", **ADDED}, {"env": "prod", "region": "us", **ADDED}


def moment(day: int, hour: int = 6) -> datetime:
    return datetime(2026, 11, day, hour, tzinfo=UTC)


def targets(*names: str) -> list[StoredTarget]:
    return [
        StoredTarget(number, number % 2, name, f"context:{name}", (EU, US)[number % 2])
        for number, name in enumerate(names)
    ]


def begin(store: Store, run: str, day: int, *names: str) -> None:
    with clock.at(moment(day)):
        assert fleet.begin(store, run, engine="local", document={"specs": []}, targets=targets(*names))


def result(
    day: int, name: str, *found: object, uid: str = "", verdict: str = "", reason: str = ""
) -> ScanResult:
    verdict = verdict or ("fail" if found else "pass")
    images = check("images", "Images have digests", "high", verdict, findings=found, reason=reason)
    more = {"uid": uid} if uid else {}
    at = moment(day).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = scan(cluster(name, checks=(images,), frameworks=(), exemptions=(), **more))
    return replace(made, started_at=at, finished_at=at)


def commit(
    store: Store, run: str, position: int, made: ScanResult, day: int, place: str = "", **more: Any
) -> bool:
    with clock.at(moment(day)):
        return fleet.commit(
            store, run, position, ASKED, made, json.render(made), place=place, seconds=2.5, **more
        )


def settle(store: Store, run: str, position: int, outcome: Outcome, day: int, reason: str = "") -> bool:
    with clock.at(moment(day)):
        return fleet.settle(store, run, position, ASKED, outcome, reason=reason)


def test_a_run_is_frozen_once(store: Store) -> None:
    begin(store, "r", 1, "a", "b", "c")
    assert not fleet.begin(store, "r", engine="job", document={}, targets=targets("d"))
    found = fleet.find_run(store, "r")
    assert (found.engine, found.shards, found.clusters, found.waiting, found.ended_at) == (
        "local",
        2,
        3,
        3,
        "",
    )
    assert [(t.name, t.shard, t.labels) for t in fleet.targets_of(store, "r", 0)] == [
        ("a", 0, EU),
        ("c", 0, EU),
    ]
    begin(store, "r2", 2, "a")
    assert fleet.find_run(store).id == "r2"
    with pytest.raises(UsageError, match="no run over a fleet has this id"):
        fleet.find_run(store, "x")
    assert fleet.find_run(store, "r").id == "r"


def test_the_first_outcome_counts(store: Store) -> None:
    begin(store, "r", 1, "a", "b")
    assert settle(store, "r", 0, Outcome.UNREACHABLE, 1, "no answer")
    assert not settle(store, "r", 0, Outcome.FAILED, 1)
    assert not commit(store, "r", 0, result(1, "a"), 1)
    assert commit(store, "r", 1, result(1, "b"), 1)
    assert not commit(store, "r", 1, result(1, "b", APP), 1)
    assert [(p.cluster, p.findings) for p in trend(store)] == [("b", 0)]
    found = fleet.find_run(store, "r")
    assert found.outcomes == {"unreachable": 1, "scanned": 1}
    assert [target.done for target in fleet.targets_of(store, "r")] == [True, True]
    assert fleet.durations(store, ["a", "b", "none"]) == {"b": 2.5}


def test_a_result_whose_row_was_not_written_is_written_again(store: Store, tmp_path: Path) -> None:
    place = str(tmp_path / "reports")
    begin(store, "r", 1, "a")
    first = result(1, "a", APP)
    prepare(store, first, json.render(first), place, "r")  # the report is there; then the worker was killed
    assert trend(store) == ()
    assert commit(store, "r", 0, result(2, "a", APP), 2, place)
    report = make_report(store, fleet.find_run(store, "r"))
    assert [c.name for c in full_result(store, report).clusters] == ["a"]


def test_of_two_names_of_one_cluster_one_is_scanned(store: Store) -> None:
    begin(store, "r", 1, "a", "b", "c", "d")  # a and c are of one shard, b and d of the other
    assert claim(store, "r", 1, "u-1", ASKED) == Claim()
    assert claim(store, "r", 0, "u-1", ASKED) == Claim("b", waits=True)
    assert claim(store, "r", 1, "u-1", ASKED) == Claim()
    assert claim(store, "r", 2, "u-2", ASKED) == Claim()
    assert [target.name for target in fleet.targets_of(store, "r", 1)] == ["a", "b", "d"]
    assert fleet.find_run(store, "r").outcomes == {"": 4}
    commit(store, "r", 1, result(1, "b"), 1)
    assert claim(store, "r", 0, "u-1", ASKED) == Claim("b")
    assert fleet.find_run(store, "r").outcomes == {"": 2, "scanned": 1, "duplicate": 1}
    begin(store, "r2", 1, "a", "b")
    assert claim(store, "r2", 0, "u-1", ASKED) == Claim()


def test_a_name_under_which_the_scan_failed_gives_way_to_the_next(store: Store, tmp_path: Path) -> None:
    place = str(tmp_path / "reports")
    begin(store, "r", 1, "a", "b", "c")
    assert claim(store, "r", 0, "u-1", ASKED) == Claim()
    commit(store, "r", 0, result(1, "a", APP), 1, place, outcome=Outcome.FAILED, reason="it ended.")
    assert len(list((tmp_path / "reports").rglob("*.gz"))) == 1
    assert claim(store, "r", 1, "u-1", ASKED) == Claim()
    assert list((tmp_path / "reports").rglob("*.gz")) == []
    assert trend(store) == ()
    assert fleet.find_run(store, "r").outcomes == {"": 2, "duplicate": 1}
    row, *_ = make_report(store, fleet.find_run(store, "r")).rows
    assert (row.name, row.outcome, row.reason) == (
        "a", "duplicate", "the same cluster as b. The scan under this name failed: it ended."
    )  # fmt: skip
    commit(store, "r", 1, result(2, "b", APP), 2, place)
    assert claim(store, "r", 2, "u-1", ASKED) == Claim("b")
    assert [(p.cluster, p.findings) for p in trend(store)] == [("b", 1)]


def test_shards_by_state(store: Store) -> None:
    begin(store, "r1", 27, "a", "b", "c", "d")  # a and c are of one shard, b and d of the other
    assert fleet.shards_of(store, "r1") == {"waiting": 2, "failed": 0, "done": 0}
    fleet.settle(store, "r1", 0, ASKED, Outcome.UNREACHABLE)
    assert fleet.shards_of(store, "r1") == {"waiting": 2, "failed": 0, "done": 0}
    fleet.settle(store, "r1", 2, ASKED, Outcome.DUPLICATE)
    assert fleet.shards_of(store, "r1") == {"waiting": 1, "failed": 0, "done": 1}
    fleet.settle(store, "r1", 1, ASKED, Outcome.REFUSED)
    fleet.settle(store, "r1", 3, ASKED, Outcome.NOT_SCANNED)
    assert fleet.shards_of(store, "r1") == {"waiting": 0, "failed": 1, "done": 1}
    assert fleet.shards_of(store, "r2") == {"waiting": 0, "failed": 0, "done": 0}


def test_a_worker_that_begins_is_counted(store: Store) -> None:
    begin(store, "r", 1, "a", "b")

    def counts() -> list[tuple[int, int, int]]:
        return [(one.attempts, one.ended, one.ended_now) for one in fleet.targets_of(store, "r")]

    fleetattempts.left(store, "r", 1)  # nothing was begun
    assert [fleetattempts.started(store, "r", 1) for _ in range(3)] == [1, 2, 3]
    assert counts() == [(0, 0, 0), (3, 3, 3)]
    fleetattempts.left(store, "r", 1)
    assert counts() == [(0, 0, 0), (3, 2, 2)]
    assert fleetattempts.started(store, "r", 0) == 1
    fleet.settle(store, "r", 0, ASKED, Outcome.UNREACHABLE)
    fleetattempts.forgive(store, "another")
    fleetattempts.forgive(store, "r")
    assert counts() == [(1, 1, 1), (3, 2, 0)], "what has an outcome is of the past"
    assert fleetattempts.started(store, "r", 1) == 4
    assert counts() == [(1, 1, 1), (4, 3, 1)]


def test_a_report(store: Store) -> None:
    ending = ExemptionUse("cni", "reason", "", "2026-11-30", "spec.yaml:1:1", "used", 2)
    begin(store, "r1", 1, "a", "b", "c")
    commit(store, "r1", 0, result(1, "a", APP), 1)
    commit(store, "r1", 1, result(1, "b"), 1)
    commit(store, "r1", 2, result(1, "c"), 1)
    begin(store, "r2", 3, "a", "b", "c", "d")
    fixed = result(3, "a")
    fixed = replace(fixed, clusters=(replace(fixed.clusters[0], exemptions=(ending,)),))
    commit(store, "r2", 0, fixed, 3)
    commit(store, "r2", 1, result(3, "b", APP), 3)
    gone = result(3, "c", verdict="error", reason="no answer")
    unseen = replace(ending, state="unknown", matched=0)
    gone = replace(gone, clusters=(replace(gone.clusters[0], uid="", exemptions=(unseen,)),))
    commit(store, "r2", 2, gone, 3, outcome=Outcome.UNREACHABLE, reason="no answer")
    settle(store, "r2", 3, Outcome.DUPLICATE, 3, "the same cluster as a.")
    with clock.at(moment(3, 7)):
        report = make_report(store, fleet.find_run(store, "r2"))
    assert [(r.name, r.outcome, r.score, r.before) for r in report.rows] == [
        ("a", "scanned", 100.0, 0.0),
        ("b", "scanned", 0.0, 100.0),
        ("c", "unreachable", None, None),
        ("d", "duplicate", None, None),
    ]
    (dead,) = report.missing
    assert (dead.since, dead.last_scanned) == ("2026-11-03T06:00:00Z", "2026-11-01T06:00:00Z")
    sums = report.sums
    assert (sums.clusters, sums.scanned, sums.score, sums.coverage) == (3, 2, 33.3, 66.6)
    assert {label: (s.clusters, s.score) for label, s in report.groups.items()} == {
        "env=prod": (3, 33.3),
        "region=eu": (2, 50.0),
        "region=us": (1, 0.0),
    }
    assert [(c.check, c.before, c.now, c.clusters) for c in report.changed] == [
        ("images", "fail", "pass", ("a",)),
        ("images", "pass", "fail", ("b",)),
    ]
    assert (report.moved.new, report.moved.fixed) == (1, 1)
    assert [(e.name, e.clusters, e.matched, e.not_scanned) for e in report.ending] == [
        ("cni", ("a", "c"), 2, 1)
    ]
    lines = [line.strip() for line in text.lines(report, 100, lambda said, *_: said)]
    assert "2026-11-30  cni: 2 findings on 1 cluster; 1 could not be scanned" in lines
    assert [(r.check, r.passed, r.failed, r.errors) for r in report.requirements] == [("images", 1, 1, 1)]
    assert [row.name for row in report.worst] == ["b"]
    assert report.exit_code("", allow_empty=False) == 2
    assert report.to_wire()["summary"]["score"] == 33.3


def test_lines_that_are_too_long_go_on_below_their_own_column(store: Store) -> None:
    why = "the API server does not answer: " + "a connection cannot be made, " * 3 + "is it up?"
    begin(store, "r1", 1, "cluster-one", "b")
    commit(store, "r1", 1, result(1, "b", APP), 1)
    settle(store, "r1", 0, Outcome.UNREACHABLE, 1, why)
    report = make_report(store, fleet.find_run(store, "r1"))
    shown = list(text.lines(report, 72, lambda said, *_: said))
    assert max(map(len, shown)) <= 72
    start = next(at for at, line in enumerate(shown) if line.startswith("score "))
    assert shown[start].endswith(" % of the requirements")
    assert shown[start + 1] == "  evaluated · 1 finding"
    start = next(at for at, line in enumerate(shown) if line.startswith("  cluster-one: unreachable"))
    assert all(line.startswith("    ") for line in shown[start + 1 : start + 3])
    status = [line for line in text.status_lines(report, 80) if not line.startswith("b ")]
    column = status[0].index("since ")
    assert (status[1][:column].strip(), status[1][column].strip() != "") == ("", True)


def test_a_cluster_that_stays_away_is_away_since_the_first_time(store: Store) -> None:
    for day, outcome in enumerate(
        (Outcome.UNREACHABLE, Outcome.SCANNED, Outcome.REFUSED, Outcome.UNREACHABLE), 1
    ):
        begin(store, f"r{day}", day, "a", "b")
        if outcome is Outcome.SCANNED:
            commit(store, f"r{day}", 0, result(day, "a"), day)
        else:
            settle(store, f"r{day}", 0, outcome, day, "why")
    (a, b) = make_report(store, fleet.find_run(store, "r4")).rows
    assert (a.outcome, a.since, a.last_scanned) == (
        "unreachable",
        "2026-11-03T06:00:00Z",
        "2026-11-02T06:00:00Z",
    )
    assert (b.outcome, b.since) == ("", "")
    (a, _) = make_report(store, fleet.find_run(store, "r1")).rows
    assert a.score is None


def test_a_run_that_is_under_way_is_not_pruned(store: Store) -> None:
    begin(store, "old", 1, "a")
    begin(store, "ended", 20, "a")
    begin(store, "new", 20, "a")
    with clock.at(moment(20)):
        fleet.end(store, "ended")
        assert prune(store, since="2026-11-21T00:00:00Z").runs == ("ended", "old")
        assert [run.id for run in fleet.runs(store)] == ["new"]
