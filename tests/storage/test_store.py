"""What is stored comes back: points of clusters, frameworks and requirements, findings over time."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec.structs import replace
from sqlalchemy import func, select

from pytest_kspec.errors import StoreError, UsageError
from pytest_kspec.reports import json
from pytest_kspec.results.finding import AppliedExemption
from pytest_kspec.results.frameworks import ControlResult, ControlStatus, FrameworkResult
from pytest_kspec.results.observation import State
from pytest_kspec.results.points import FrameworkPoint
from pytest_kspec.results.result import ScanResult
from pytest_kspec.storage import schema
from pytest_kspec.storage.engine import Store, open_store
from pytest_kspec.storage.read import Query, check_trend, findings, reports, trend
from tests.reports.results import check, cluster, finding, fleet, one, ref, scan

from .conftest import keep
from .servers import PASSWORD, Postgres

APP = finding(ref("Deployment", "web"), "spec.template.spec.containers[app].image", "nginx:1", "a digest")
SIDE = finding(ref("Deployment", "web"), "spec.template.spec.containers[side].image", "envoy:1", "a digest")
FRAMEWORK = FrameworkResult(
    "cis",
    "CIS",
    controls=(ControlResult("1", "", ControlStatus.MET), ControlResult("2", "", ControlStatus.MANUAL)),
)


def run(day: int, *found: object, name: str = "a", verdict: str = "fail", **more: object) -> ScanResult:
    images = check("images", "Images have digests", "high", verdict, findings=found)
    result = scan(replace(cluster(name, checks=(images,)), frameworks=(FRAMEWORK,)))
    moment = f"2026-11-{day:02}T06:00:00Z"
    return replace(result, started_at=moment, finished_at=moment, **more)


def test_points_say_what_the_result_says(store: Store) -> None:
    result = one()
    run_id = keep(store, result)
    (point,) = trend(store)
    (found,) = result.clusters
    summary = found.summary
    assert (point.cluster, point.spec, point.run) == (found.name, found.spec_name, run_id)
    assert (point.passed, point.failed, point.errors, point.skipped) == (
        summary.passed,
        summary.failed,
        summary.errors,
        summary.skipped,
    )
    assert (point.exempt, point.known, point.score) == (summary.exempt, summary.known, summary.score)
    assert point.findings == sum(len(c.open_findings) for c in found.checks)
    assert point.finished_at == result.finished_at


def test_a_fleet_in_one_run(store: Store) -> None:
    result = fleet(20, 30, 3)
    keep(store, result)
    points = trend(store)
    assert [p.cluster for p in points] == sorted(c.name for c in result.clusters)
    by_name = {c.name: c.summary for c in result.clusters}
    assert all(p.score == by_name[p.cluster].score for p in points)


def test_findings_of_a_requirement_are_counted_by_what_covers_them(store: Store) -> None:
    exempt = replace(SIDE, exemption=AppliedExemption("e", "r"))
    known = [replace(APP, path=f"spec.x{i}", known=True) for i in range(3)]
    keep(store, run(1, APP, exempt, replace(exempt, path="spec.y"), *known))
    (point,) = check_trend(store, "images")
    assert (point.findings, point.exempt, point.known) == (1, 2, 3)


def test_controls_of_a_framework_are_counted_by_status(store: Store) -> None:
    counts = {
        ControlStatus.MET: 1,
        ControlStatus.PARTLY_MET: 2,
        ControlStatus.NOT_MET: 3,
        ControlStatus.NOT_EVALUATED: 4,
        ControlStatus.MANUAL: 5,
    }
    controls = tuple(
        ControlResult(f"{status}-{i}", "", status) for status, number in counts.items() for i in range(number)
    )
    keep(store, scan(replace(cluster(), frameworks=(FrameworkResult("cis", "CIS", controls=controls),))))
    table = schema.frameworks.c
    columns = (table.met, table.partly_met, table.not_met, table.not_evaluated, table.manual)
    with store.read() as connection:
        (row,) = connection.execute(select(*columns)).all()
    assert tuple(row) == (1, 2, 3, 4, 5)


@pytest.mark.parametrize("order", [(1, 2), (2, 1)])
def test_the_title_of_a_requirement_is_the_newest_one(store: Store, order: tuple[int, int]) -> None:
    for day in order:
        told = check("images", f"Title {day}", "high", "pass", remediation=f"Mend {day}.")
        moment = f"2026-11-{day:02}T06:00:00Z"
        keep(store, replace(scan(cluster(checks=(told,))), started_at=moment, finished_at=moment))
    with store.read() as connection:
        table = schema.requirements.c
        (row,) = connection.execute(select(table.title, table.remediation)).all()
    assert tuple(row) == ("Title 2", "Mend 2.")


def test_score_over_time_by_cluster_framework_and_requirement(store: Store) -> None:
    for day, found in ((3, ()), (1, (APP, SIDE)), (2, (APP,))):  # stored in another order than run
        keep(store, run(day, *found, verdict="fail" if found else "pass"))
    keep(store, run(2, name="b", verdict="pass"))
    points = trend(store, Query(cluster="a"))
    assert [(p.finished_at[:10], p.score, p.findings) for p in points] == [
        ("2026-11-01", 0.0, 2),
        ("2026-11-02", 0.0, 1),
        ("2026-11-03", 100.0, 0),
    ]
    assert points[0].frameworks == (FrameworkPoint("cis", 100.0, 50.0),)
    assert [(p.verdict, p.findings) for p in check_trend(store, "images", Query(cluster="a"))] == [
        ("fail", 2),
        ("fail", 1),
        ("pass", 0),
    ]
    assert check_trend(store, "other") == ()
    since = Query(since="2026-11-02T00:00:00Z")
    assert [(p.cluster, p.finished_at[8:10]) for p in trend(store, since)] == [
        ("a", "02"),
        ("b", "02"),
        ("a", "03"),
    ]
    assert trend(store, Query(spec="other")) == ()


def test_findings_have_a_first_and_a_last_time(store: Store) -> None:
    for day, found in ((2, (APP, SIDE)), (3, (APP,)), (1, (APP,))):
        keep(store, run(day, *found))
    seen = {f.what.rpartition(".containers")[2]: f for f in findings(store)}
    app, side = seen["[app].image"], seen["[side].image"]
    assert (app.first_seen[8:10], app.last_seen[8:10], app.state) == ("01", "03", State.OPEN)
    assert (side.first_seen[8:10], side.last_seen[8:10], side.state) == ("02", "02", State.FIXED)
    assert (app.resolved_at, side.resolved_at) == ("", "2026-11-03T06:00:00Z")
    assert (side.api_group, side.kind, side.name) == ("apps", "Deployment", "web")


def test_the_newest_status_counts_whatever_the_order(store: Store) -> None:
    keep(store, run(2, replace(APP, known=True), verdict="pass"))
    keep(store, run(1, APP))
    (found,) = findings(store)
    assert (found.state, found.first_seen[8:10], found.last_seen[8:10]) == ("known", "01", "02")


def test_twice_is_once(store: Store) -> None:
    first, second = keep(store, one()), keep(store, one())
    assert first == second
    assert len(trend(store)) == 1
    with store.read() as connection:
        assert connection.execute(select(func.count()).select_from(schema.results)).scalar() == 1


def test_names_that_no_cluster_should_have(store: Store) -> None:
    odd = run(1, finding(ref("Pod", "a\0b\ud800"), "x\0", None, "y"), name="c\0'; DROP TABLE kspec_runs;--")
    keep(store, odd)
    assert trend(store)[0].cluster == "c\ufffd'; DROP TABLE kspec_runs;--"
    assert len(findings(store)) == 1


def test_a_result_without_a_time_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="the result has no valid time: 'never'"):
        keep(store, replace(one(), finished_at="never"))
    keep(store, replace(one(), finished_at="2026-11-24T08:00:00.5+02:00"))
    assert trend(store)[0].finished_at == "2026-11-24T06:00:00Z"


def test_a_report_that_was_not_kept(store: Store) -> None:
    run_id = keep(store, one())
    with pytest.raises(UsageError, match="was not kept"):
        reports(store, run_id[:8])
    with pytest.raises(UsageError, match="no run has this id"):
        reports(store, "%")


def test_a_full_report_comes_back(store: Store, tmp_path: Path) -> None:
    run_id = keep(store, one(), str(tmp_path / "reports"))
    (document,) = reports(store, run_id[:10])
    path = tmp_path / "again.json"
    path.write_bytes(document)
    assert json.render(json.read(path)) == document
    (file,) = (tmp_path / "reports").rglob("*.gz")
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(StoreError, match="damaged"):
        reports(store, run_id)


def test_a_report_that_cannot_be_kept_acknowledges_nothing(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        keep(store, one(), str(tmp_path / "file" / "reports"))
    assert trend(store) == ()


def test_a_store_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="the store does not exist"):
        open_store(str(tmp_path / "none.db"))
    (tmp_path / "text.db").write_text("no database, only text " * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        open_store(str(tmp_path / "text.db"), create=True)
    with pytest.raises(StoreError, match="it is not a file"):
        open_store(str(tmp_path), create=True)


def test_no_error_shows_the_password(postgres: Postgres) -> None:
    url = postgres.database("gone")
    for wrong in (
        url.replace("/gone", "/none"),
        url.replace(f":{postgres.port}/", ":1/"),
        url.replace("kspec:", "x:"),
    ):
        with pytest.raises(StoreError) as raised:
            open_store(wrong)
        shown = f"{raised.value}{raised.value.__cause__!r}{raised.value.__cause__}"
        assert PASSWORD not in shown
        assert "s3cr3t" not in shown
        assert str(raised.value).startswith("postgresql://")
        assert ":(redacted)@127.0.0.1" in str(raised.value)
