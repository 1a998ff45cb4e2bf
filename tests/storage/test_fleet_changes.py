"""What a report on a fleet compares with, and what it counts of clusters that no worker came to."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from pytest_kspec import clock
from pytest_kspec.fleet.report import FleetReport, make_report
from pytest_kspec.fleet.results import full_result
from pytest_kspec.results.evidence import ExemptionUse
from pytest_kspec.results.frameworks import FrameworkSummary
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.results.result import ScanResult
from pytest_kspec.storage import fleet
from pytest_kspec.storage.engine import Store
from tests.reports.results import frameworks
from tests.storage.test_fleet import APP, begin, commit, moment, result, settle

TWO = ("a", "b")


def report_of(store: Store, run: str) -> FleetReport:
    return make_report(store, fleet.find_run(store, run))


def ended(made: ScanResult, day: int, hour: int = 6, minute: int = 5) -> ScanResult:
    """The same, at the end of a scan that took some minutes."""
    return replace(made, finished_at=f"2026-11-{day:02}T{hour:02}:{minute:02}:00Z")


def daily(store: Store, *days: tuple[bool, bool]) -> None:
    """A run of each day, which begins at the same time: whether a and b have a finding."""
    for day, found in enumerate(days, 1):
        begin(store, f"r{day}", day, *TWO)
        for position, name in enumerate(TWO):
            made = result(day, name, *([APP] if found[position] else []))
            commit(store, f"r{day}", position, ended(made, day), day)


def test_a_run_of_each_day_is_compared_with_that_of_yesterday(store: Store) -> None:
    """Its results end later than 24 hours before today's begins; and nothing is new on two days."""
    daily(store, (True, False), (False, True), (False, True))
    for run, before, moved, changes in (
        ("r1", (None, None), (0, 0), []),
        ("r2", (0.0, 100.0), (1, 1), [("fail", "pass", ("a",)), ("pass", "fail", ("b",))]),
        ("r3", (100.0, 0.0), (0, 0), []),
    ):
        report = report_of(store, run)
        assert tuple(row.before for row in report.rows) == before
        assert (report.moved.new, report.moved.fixed) == moved
        assert [(one.before, one.now, one.clusters) for one in report.changed] == changes
    assert report.since == "2026-11-02T06:05:00Z"


def test_the_result_nearest_to_a_day_before_is_the_state_before(store: Store) -> None:
    for run, day, hour, names in (
        ("full", 1, 6, "ab"),  # a day before
        ("again", 1, 16, "a"),  # somebody looked at one of them: later than this
        ("late", 2, 1, "c"),  # less than half a day before: not compared with
        ("now", 2, 6, "abc"),
    ):
        with clock.at(moment(day, hour)):
            begin(store, run, day, *names)
        for position, name in enumerate(names):
            made = result(day, name, *([APP] if run == "again" else []))
            commit(store, run, position, ended(made, day, hour), day)
    report = report_of(store, "now")
    assert [(row.name, row.before, row.before_at) for row in report.rows] == [
        ("a", 100.0, "2026-11-01T06:05:00Z"),
        ("b", 100.0, "2026-11-01T06:05:00Z"),
        ("c", None, ""),
    ]
    assert report.changed == ()


def test_what_came_after_a_run_is_not_in_its_report(store: Store) -> None:
    """A cluster that came back since, findings that were fixed since."""
    daily(store, (False, False), (True, False))
    begin(store, "dead", 3, *TWO)
    settle(store, "dead", 0, Outcome.UNREACHABLE, 3, "no answer")
    commit(store, "dead", 1, ended(result(3, "b"), 3), 3)
    then = [report_of(store, run).to_wire() for run in ("r2", "dead")]
    assert [row["since"] for row in then[1]["clusters"]] == ["2026-11-03T06:00:00Z", ""]
    assert [row["lastScanned"] for row in then[1]["clusters"]] == ["2026-11-02T06:00:00Z", ""]
    begin(store, "back", 4, *TWO)
    for position, name in enumerate(TWO):
        made = result(4, name, *([APP] if name == "b" else []))
        commit(store, "back", position, ended(made, 4), 4)
    assert [report_of(store, run).to_wire() for run in ("r2", "dead")] == then
    assert then[0]["changes"]["newFindings"] == 1


def test_exemptions_that_end_this_month_and_have_not_ended(store: Store) -> None:
    """By the moment of their end, whatever zone it is written in."""
    ends = {
        "ended": "2026-11-20T10:00:00+00:00",
        "this morning": "2026-11-21T06:00:00+00:00",
        "tomorrow": "2026-11-22",
        "in Samoa's December": "2026-12-01T05:00:00+14:00",
        "last day": "2026-11-30T23:59:59+00:00",
        "in December here": "2026-11-30T23:00:00-08:00",
        "next year": "2027-11-30T00:00:00+00:00",
        "never": "",
    }
    made = result(20, "a")
    uses = tuple(ExemptionUse(name, "why", "", end, "", "used", 1) for name, end in ends.items())
    made = replace(made, clusters=(replace(made.clusters[0], exemptions=uses),))
    begin(store, "r", 20, "a")
    commit(store, "r", 0, made, 20)
    with clock.at(moment(21)):
        found = [one.name for one in report_of(store, "r").ending]
    assert found == ["tomorrow", "in Samoa's December", "last day"]


def test_a_cluster_that_no_worker_came_to_has_an_error_for_each_requirement(
    store: Store, tmp_path: Path
) -> None:
    """As one that does not answer: otherwise a fleet would be the better the less of it is looked at."""
    good = result(1, "a")
    good = replace(good, clusters=(replace(good.clusters[0], frameworks=frameworks()[:1]),))
    begin(store, "r", 1, "a", "b", "c", "d")
    commit(store, "r", 0, good, 1, str(tmp_path))
    alone = report_of(store, "r")
    settle(store, "r", 1, Outcome.NOT_SCANNED, 1, "shard 1 failed")
    settle(store, "r", 2, Outcome.DUPLICATE, 1, "the same cluster as a.")
    for report, clusters in ((alone, 4), (report_of(store, "r"), 3)):
        sums = report.sums
        assert (sums.clusters, sums.scanned, sums.applicable, sums.evaluated) == (clusters, 1, clusters, 1)
        assert (sums.score, sums.evaluated_percent) == ((25.0, 25.0) if clusters == 4 else (33.3, 33.3))
        assert [(row.passed, row.errors) for row in report.requirements] == [(1, clusters - 1)]
        assert report.worst_requirements == (), "it fails nowhere"
        assert report.exit_code("", allow_empty=False) == 2
        (one,) = report.frameworks
        assert one.clusters == clusters
        away = clusters - 1
        assert one.summary == FrameworkSummary(1, 1, 1, 1 + 4 * away, 1 + away, in_part=1)
        whole = full_result(store, report)
        assert whole.summary.score == sums.score
        assert len(whole.clusters) == clusters
        assert {c.frameworks[0].summary.not_evaluated for c in whole.clusters[1:]} == {4}
