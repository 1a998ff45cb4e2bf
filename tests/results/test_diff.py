"""New, fixed, unchanged; and what nobody can know is never fixed."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from pytest_kspec.results.diff import ResultDiff, State, compare
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.fingerprint import fingerprint
from pytest_kspec.results.result import CheckResult, ClusterResult
from pytest_kspec.results.verdict import NOTHING_TO_EXAMINE, Verdict
from tests.reports.results import AGENT, check, cluster, finding, ref, scan

APP = finding(ref("Deployment", "web"), "spec.template.spec.containers[app].image", "nginx:1", "a digest")
SIDE = finding(ref("Deployment", "web"), "spec.template.spec.containers[side].image", "envoy:1", "a digest")

PASS = check("images", "Images have digests", "high", "pass")
ERROR = check("images", "Images have digests", "high", "error", reason="may not list pods")
BLIND = check("images", "Images have digests", "high", "skip", reason="manifests have no API server")
EMPTY = check("images", "Images have digests", "high", "skip", reason=NOTHING_TO_EXAMINE)
OTHER = check("other", "Something else", "low", "pass")


def fail(*findings: Finding, verdict: str = "fail") -> CheckResult:
    return check("images", "Images have digests", "high", verdict, findings=findings)


def diff(before: CheckResult, after: CheckResult) -> ResultDiff:
    return compare(scan(on("a", before)), scan(on("a", after)))


def on(name: str, *checks: CheckResult, **more: object) -> ClusterResult:
    return replace(cluster(name, checks=checks), **more)


def states(found: ResultDiff) -> list[str]:
    return [change.state.value for cluster in found.clusters for change in cluster.findings]


def exempted(one: Finding) -> CheckResult:
    return fail(one.exempted_by(AGENT), verdict="pass")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (fail(APP), fail(APP), ["unchanged"]),
        (fail(APP), fail(replace(APP, actual="nginx:2", count=9)), ["unchanged"]),
        (fail(APP), fail(replace(APP, known=True), verdict="pass"), ["unchanged"]),
        (PASS, fail(APP), ["new"]),
        (fail(APP), fail(APP, SIDE), ["new", "unchanged"]),
        (fail(APP, SIDE), fail(SIDE), ["unchanged", "fixed"]),
        (fail(APP), PASS, ["fixed"]),
        (fail(APP), EMPTY, ["unknown"]),  # nothing at all was examined
        (EMPTY, fail(APP), ["unknown"]),
        (OTHER, fail(APP), ["new"]),
        (fail(APP), OTHER, ["dropped"]),
        (fail(APP), ERROR, ["unknown"]),
        (fail(APP), BLIND, ["unknown"]),
        (ERROR, fail(APP), ["unknown"]),
        (BLIND, fail(APP), ["unknown"]),
        (replace(ERROR, findings=(APP,)), fail(APP), ["unchanged"]),
        (PASS, replace(ERROR, findings=(APP,)), ["new"]),
        (fail(APP), exempted(APP), ["exempted"]),
        (exempted(APP), fail(APP), ["new"]),
        (exempted(APP), exempted(APP), []),
        (exempted(APP), PASS, []),
    ],
)
def test_the_fate_of_a_finding(before: CheckResult, after: CheckResult, expected: list[str]) -> None:
    assert states(diff(before, after)) == expected


def test_nothing_to_examine_is_a_fact_where_something_else_was() -> None:
    found, nothing = scan(on("a", fail(APP), OTHER)), scan(on("a", EMPTY, OTHER))
    assert states(compare(found, nothing)) == ["fixed"]
    assert states(compare(nothing, found)) == ["new"]


def test_what_a_run_did_not_select_is_unknown() -> None:
    before, after = on("a", fail(APP), OTHER), on("a", OTHER, not_selected=("images",))
    there = compare(scan(before), scan(after))
    assert (states(there), there.is_complete, there.clusters[0].checks) == (["unknown"], False, ())
    reason = there.clusters[0].findings[0].reason
    assert reason == "cannot be evaluated now: the run did not select it"
    back = compare(scan(after), scan(before))
    assert (states(back), back.has_new, back.clusters[0].checks) == (["unknown"], False, ())


def test_every_finding_has_one_fate_and_the_counts_agree() -> None:
    found = diff(fail(APP, SIDE), fail(SIDE, replace(APP, container="x")))
    assert sum(found.counts.values()) == len(states(found)) == 3
    assert len({change.id for change in found.clusters[0].findings}) == 3


def test_two_findings_of_one_fingerprint_are_one() -> None:
    """Some pods of an owner are exempted, others not: open as long as one is."""
    both = fail(APP.exempted_by(AGENT), APP)
    assert states(diff(both, fail(APP))) == ["unchanged"]
    assert states(diff(exempted(APP), both)) == ["new"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (fail(APP), ERROR, (Verdict.FAIL, Verdict.ERROR, "may not list pods")),
        (ERROR, fail(APP), (Verdict.ERROR, Verdict.FAIL, "")),
        (PASS, BLIND, (Verdict.PASS, Verdict.SKIP, "manifests have no API server")),
    ],
)
def test_verdicts_that_changed(before: CheckResult, after: CheckResult, expected: tuple[object, ...]) -> None:
    (change,) = diff(before, after).clusters[0].checks
    assert (change.before, change.after, change.reason) == expected


def test_requirements_that_came_and_went_are_verdicts_that_changed() -> None:
    changes = diff(PASS, OTHER).clusters[0].checks
    assert [(c.check, c.before, c.after) for c in changes] == [
        ("images", Verdict.PASS, None),
        ("other", None, Verdict.PASS),
    ]
    assert diff(PASS, PASS).clusters[0].checks == ()


@pytest.mark.parametrize(
    ("before", "after", "new", "complete"),
    [
        (PASS, PASS, False, True),
        (fail(APP), fail(APP), False, True),
        (PASS, fail(APP), True, True),
        (fail(APP), ERROR, False, False),
        (PASS, ERROR, False, False),  # nobody knows whether there is something new
        (ERROR, PASS, False, True),
        (ERROR, fail(APP), False, False),
        (PASS, BLIND, False, True),
    ],
)
def test_what_a_gate_asks(before: CheckResult, after: CheckResult, new: bool, complete: bool) -> None:
    found = diff(before, after)
    assert (found.has_new, found.is_complete) == (new, complete)


def test_clusters_that_came_and_went() -> None:
    before = scan(on("gone", fail(APP), uid="u0"), on("stays", fail(APP)))
    after = scan(on("stays", fail(APP)), on("young", fail(APP)))
    found = compare(before, after)
    assert [(c.name, c.came, c.went) for c in found.clusters] == [
        ("gone", False, True),
        ("stays", False, False),
        ("young", True, False),
    ]
    assert states(found) == ["unchanged", "new"]
    assert found.is_complete


def test_nothing_in_common_is_not_complete() -> None:
    assert not compare(scan(on("a", PASS)), scan()).is_complete
    assert not compare(scan(), scan()).is_complete


def test_the_same_cluster_under_another_name() -> None:
    before, after = on("old", fail(APP), uid="u1"), on("new", fail(APP), uid="u1")
    (found,) = compare(scan(before), scan(after)).clusters
    assert (found.name_before, found.name, found.counts[State.UNCHANGED]) == ("old", "new", 1)


def test_two_clusters_that_the_user_named_are_compared_whatever_their_names() -> None:
    before, after = on("one", fail(APP), uid=""), on("two", fail(APP), uid="")
    assert len(compare(scan(before), scan(after)).clusters) == 2
    (found,) = compare(scan(before), scan(after), pair=True).clusters
    assert found.counts[State.UNCHANGED] == 1


def test_specifications_are_compared_with_their_like() -> None:
    before = scan(on("a", fail(APP), spec_name="x"), on("a", PASS, spec_name="y", spec_version="1"))
    after = scan(on("a", PASS, spec_name="x"), on("a", PASS, spec_name="y", spec_version="2"))
    x, y = compare(before, after).clusters
    assert (x.spec, x.counts[State.FIXED]) == ("x", 1)
    assert (y.spec_version_before, y.spec_version) == ("1", "2")


def test_the_wire_is_plain_and_stable() -> None:
    """Every key is there for programs that read `kspec diff -o json`; findings keep the identity of baselines."""
    before = on("old", fail(APP), OTHER, uid="u1", spec_version="1")
    after = on("new", fail(SIDE), uid="u1", spec_version="2")
    counts = {"new": 1, "unknown": 0, "unchanged": 0, "fixed": 1, "exempted": 0, "dropped": 0}
    assert compare(scan(before), replace(scan(after), finished_at="2026-12-01T00:00:00Z")).to_wire() == {
        "apiVersion": "kspec.io/v1alpha1",
        "kind": "ResultDiff",
        "before": scan().finished_at,
        "after": "2026-12-01T00:00:00Z",
        "complete": True,
        "counts": counts,
        "clusters": [
            {
                "nameBefore": "old",
                "name": "new",
                "clusterId": "u1",
                "spec": after.spec_name,
                "specVersionBefore": "1",
                "specVersion": "2",
                "came": False,
                "went": False,
                "errors": 0,
                "counts": counts,
                "checks": [
                    {"check": "other", "severity": "low", "before": "pass", "after": None, "reason": ""}
                ],
                "findings": [
                    {
                        "state": state,
                        "check": "images",
                        "severity": "high",
                        "id": fingerprint("u1", "images", one),
                        "reason": "",
                        "finding": one.to_wire(),
                    }
                    for state, one in (("new", SIDE), ("fixed", APP))
                ],
            }
        ],
    }
    (change,) = compare(scan(after), scan(before)).clusters[0].checks
    assert (change.to_wire()["before"], change.to_wire()["after"]) == (None, "pass")


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        (PASS, fail(APP), ""),
        (fail(APP), fail(APP), ""),
        (fail(APP), PASS, ""),
        (fail(APP), exempted(APP), ""),
        (exempted(APP), fail(APP), "was exempted"),
        (OTHER, fail(APP), "was not required"),
        (fail(APP), OTHER, "is no longer required"),
        (ERROR, fail(APP), "was not evaluated before: may not list pods"),
        (fail(APP), ERROR, "cannot be evaluated now: may not list pods"),
    ],
)
def test_why_a_finding_has_its_fate(before: CheckResult, after: CheckResult, reason: str) -> None:
    (change,) = diff(before, after).clusters[0].findings
    assert (change.check, change.title, change.reason) == ("images", "Images have digests", reason)


def test_what_exemptions_cover_hides_no_finding_behind_it() -> None:
    before = fail(APP.exempted_by(AGENT), verdict="pass")
    after = fail(APP.exempted_by(AGENT), SIDE)
    assert states(diff(before, after)) == ["new"]
    assert states(diff(after, before)) == ["fixed"]


def test_an_empty_result_can_be_one_that_was_wanted() -> None:
    """`--allow-empty`: of an empty folder nothing is unknown."""
    found, nothing = scan(on("a", fail(APP))), scan(on("a", EMPTY))
    assert states(compare(found, nothing)) == ["unknown"]
    assert states(compare(found, nothing, allow_empty=True)) == ["fixed"]
    assert states(compare(nothing, found, allow_empty=True)) == ["new"]


def test_two_clusters_of_one_name_are_not_compared() -> None:
    found = compare(scan(on("a", fail(APP), uid="one")), scan(on("a", PASS, uid="two")))
    assert [(c.name, c.came, c.went) for c in found.clusters] == [("a", True, False), ("a", False, True)]
    assert not found.counts[State.FIXED]


def test_by_name_only_where_a_uid_is_not_known() -> None:
    found = compare(scan(on("a", fail(APP), uid="")), scan(on("a", PASS, uid="two")))
    assert states(found) == ["fixed"]
    named = compare(scan(on("a", fail(APP), uid="one")), scan(on("a", PASS, uid="two")), pair=True)
    assert states(named) == ["fixed"]
