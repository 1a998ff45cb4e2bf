"""Every format says the same: the totals that its reader sees are those of the result."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kspec.crds.objects import compliancereport
from pytest_kspec.reports import terminal, writer
from pytest_kspec.results.finding import AppliedExemption, Finding
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.results.totals import Totals
from tests.effort import examples
from tests.reports import results
from tests.reports.counted import COUNT, SEVERITIES, VERDICTS, Counted, from_terminal

RESULTS = {
    "one": results.one(),
    "compliant": results.compliant(),
    "fleet": results.fleet(9, 30, 4),
    "twice": results.scan(results.cluster(), results.cluster()),
    "no checks": results.scan(results.cluster(checks=())),
    "empty": results.scan(),
}


def expected(result: ScanResult) -> Counted:
    return Counted.of(
        (check.verdict.value for cluster in result.clusters for check in cluster.checks),
        (
            (finding.status.value, check.severity.value)
            for cluster in result.clusters
            for check in cluster.checks
            for finding in check.findings
        ),
    )


def assert_consistent(result: ScanResult) -> None:
    wanted = expected(result)
    totals = Totals.of_result(result).to_wire()
    assert {v: totals["requirements"][v] for v in VERDICTS} == wanted.requirements
    assert {s: totals["findings"]["open"][s] for s in SEVERITIES} == wanted.open
    for format_name, count in COUNT.items():
        counted = count(writer.render(result, format_name))
        if format_name == "junit":
            assert counted == wanted._replace(accepted=None), format_name
        else:
            assert counted == wanted, format_name
    assert from_terminal(terminal.render(result, 133, details=0)) == wanted._replace(accepted=None)


def test_every_format_is_counted() -> None:
    assert set(COUNT) == set(writer.FORMATS)


@pytest.mark.parametrize("name", sorted(RESULTS))
def test_totals_are_equal(name: str) -> None:
    assert_consistent(RESULTS[name])


TEXT = st.text(max_size=12)
NAMES = st.from_regex(r"[a-z][a-z.]{0,8}", fullmatch=True)
SEVERITY = st.sampled_from(SEVERITIES)


@st.composite
def finding(draw: Any, statuses: tuple[str, ...]) -> Finding:
    status = draw(st.sampled_from(statuses))
    exemption = AppliedExemption(
        draw(NAMES), draw(TEXT), draw(TEXT), draw(st.sampled_from(["", "2027-03-31T23:59:59Z"]))
    )
    owner = results.ref(draw(st.sampled_from(["Pod", "Deployment", "="])), draw(TEXT), draw(TEXT))
    return results.finding(
        owner,
        draw(TEXT),
        draw(st.none() | st.booleans() | TEXT | st.lists(TEXT, max_size=2)),
        draw(TEXT),
        draw(TEXT),
        count=draw(st.integers(1, 3)),
        known=status == "known" or (draw(st.booleans()) and status == "exempt"),
        exemption=exemption if status == "exempt" else None,
    )


@st.composite
def check(draw: Any) -> CheckResult:
    verdict = draw(st.sampled_from(VERDICTS))
    statuses = ("open", "known", "exempt") if verdict in ("fail", "error") else ("known", "exempt")
    return results.check(
        draw(NAMES),
        draw(TEXT),
        draw(SEVERITY),
        verdict,
        reason=draw(TEXT),
        remediation=draw(TEXT),
        findings=tuple(draw(st.lists(finding(statuses), max_size=4))),
    )


@st.composite
def cluster(draw: Any) -> ClusterResult:
    return results.cluster(draw(NAMES), checks=tuple(draw(st.lists(check(), max_size=4))), exemptions=())


@settings(max_examples=examples(40))
@given(st.lists(cluster(), max_size=3))
def test_totals_are_equal_whatever_is_found(clusters: list[ClusterResult]) -> None:
    assert_consistent(results.scan(*clusters))


@pytest.mark.parametrize("verdicts", [("error",), ("error", "skip"), ("skip",), ()])
def test_without_an_evaluation_there_is_no_score_anywhere(verdicts: tuple[str, ...]) -> None:
    checks = tuple(results.check(f"a.c{i}", "T", "high", v, reason="gone") for i, v in enumerate(verdicts))
    cluster = results.cluster(checks=checks, frameworks=())
    result = results.scan(cluster)
    wire = result.to_wire()
    assert (wire["summary"]["score"], wire["clusters"][0]["summary"]["score"]) == (None, None)
    assert cluster.point(result.finished_at).score is None
    report = compliancereport.build(cluster, result.finished_at)
    assert report["spec"]["summary"].keys().isdisjoint({"score", "passRate"})
    for format_name in writer.FORMATS:
        text = writer.render(result, format_name).decode("utf-8", "replace")
        assert not re.search(r"(?i)score\W{1,12}0\.0|passRate", text), format_name
    assert "nothing to score" in terminal.render(result, 133, details=0)
    assert "score 0.0" in terminal.render(results.scan(results.cluster(checks=(FAILED,))), 133, details=0)


FAILED = results.check(
    "a.b", "T", "high", "fail", findings=(results.finding(results.ref("Job", "j"), "x", 1, "2"),)
)
