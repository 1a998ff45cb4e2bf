"""The short texts of a result say what its rows say, also where its requirements are others than the day before."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from pytest_kspec.fleet.report import make_report
from pytest_kspec.results.result import ScanResult
from pytest_kspec.storage import fleet, schema
from pytest_kspec.storage.engine import Store
from tests.reports.results import check, cluster, finding, ref, scan
from tests.storage.test_fleet import begin, commit

NAMES = [f"c{number}" for number in range(12)]
VERDICTS = ("pass", "fail", "error", "skip")
SEVERITIES = ("low", "medium", "high", "critical")
APP = finding(ref("Pod", "a"), "spec.hostPID", True, "unset or false")


def result(chance: random.Random, day: int, name: str) -> ScanResult:
    """Requirements in an order of their own, some of which are not there on all days and clusters."""
    found = []
    for number in chance.sample(range(8), chance.randint(0, 8)):
        verdict = chance.choice(VERDICTS)
        more = {"reason": "why"} if verdict in ("error", "skip") else {}
        findings = [APP] * chance.randint(1, 3) if verdict == "fail" else []
        title, severity = f"title {number}", chance.choice(SEVERITIES)
        found.append(check(f"check{number}", title, severity, verdict, findings=findings, **more))
    at = datetime(2026, 11, day, 6, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    made = scan(cluster(name, uid=f"uid-{name}", checks=tuple(found), frameworks=(), exemptions=()))
    return replace(made, started_at=at, finished_at=at)


@pytest.mark.parametrize("seed", range(4))
def test_texts_and_rows_agree(store: Store, seed: int) -> None:
    chance = random.Random(seed)
    for day in (1, 3):
        begin(store, f"r{day}", day, *NAMES)
        for position, name in enumerate(NAMES):
            assert commit(store, f"r{day}", position, result(chance, day, name), day)
    report = make_report(store, fleet.find_run(store, "r3"))
    rows: dict[str, dict[str, dict[str, tuple[str, str, int]]]] = {"r1": {}, "r3": {}}
    table, results = schema.checks.c, schema.results.c
    with store.read() as connection:
        joined = schema.checks.join(schema.results, table.result_id == results.id)
        columns = (
            results.run_id,
            results.name,
            table.check_id,
            table.severity,
            table.verdict,
            table.findings,
        )
        for run, name, id, severity, verdict, findings in connection.execute(
            select(*columns).select_from(joined)
        ):
            rows[run].setdefault(name, {})[id] = (severity, verdict, findings)
    changes = {
        (id, severity, rows["r1"][name][id][1], verdict, name)
        for name, mine in rows["r3"].items()
        for id, (severity, verdict, _) in mine.items()
        if id in rows["r1"].get(name, {}) and rows["r1"][name][id][1] != verdict
    }
    told = {
        (row.check, row.severity, row.before, row.now, name)
        for row in report.changed
        for name in row.clusters
    }
    assert told == changes
    assert changes, "the seed changes nothing"
    for row in report.requirements:
        of = [mine[row.check] for mine in rows["r3"].values() if row.check in mine]
        counts = [sum(verdict == one for _, verdict, _ in of) for one in VERDICTS]
        assert [row.passed, row.failed, row.errors, row.skipped] == counts
        assert row.findings == sum(findings for *_, findings in of)
        assert row.severity == max((severity for severity, *_ in of), key=SEVERITIES.index)
    assert {row.check for row in report.requirements} == {id for mine in rows["r3"].values() for id in mine}
