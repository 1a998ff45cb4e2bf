"""One order of results: it does not depend on how they came, and every part that lists them uses it."""

from __future__ import annotations

import random
from typing import Any

from msgspec.structs import replace

from pytest_kspec.crds.objects import compliancereport, policyreport
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.finding import Finding, FindingStatus
from pytest_kspec.results.observation import State
from pytest_kspec.results.order import (
    WORST_SEVERITIES_FIRST,
    WORST_VERDICTS_FIRST,
    canonical,
    finding_key,
    worst_first,
)
from pytest_kspec.results.result import ScanResult
from pytest_kspec.results.verdict import Severity, Verdict
from tests.reports import results


def shuffled(result: ScanResult, seed: int) -> ScanResult:
    chance = random.Random(seed)

    def mixed(items: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(chance.sample(items, len(items)))

    return replace(
        result,
        clusters=mixed(
            tuple(
                replace(
                    cluster,
                    checks=mixed(
                        tuple(replace(check, findings=mixed(check.findings)) for check in cluster.checks)
                    ),
                    exemptions=mixed(cluster.exemptions),
                    not_evaluated=mixed(cluster.not_evaluated),
                )
                for cluster in result.clusters
            )
        ),
    )


def test_the_order_does_not_depend_on_how_results_came() -> None:
    for result in (results.one(), results.fleet(3, 12, 2)):
        assert len({str(canonical(shuffled(result, seed))) for seed in range(5)}) == 1
        assert canonical(canonical(result)) == canonical(result)


def test_findings_are_ordered_by_namespace_before_kind() -> None:
    refs = [ResourceRef("v1", "Pod", "a", "z"), ResourceRef("apps/v1", "Deployment", "b", "a")]
    found = [Finding(ref, ref, "spec", None, "", "m") for ref in refs]
    assert finding_key(found[0]) < finding_key(found[1])


def test_worst_first() -> None:
    assert [*WORST_VERDICTS_FIRST] == [Verdict.ERROR, Verdict.FAIL, Verdict.SKIP, Verdict.PASS]
    assert [*WORST_SEVERITIES_FIRST] == [Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM, Severity.LOW]
    checks = [
        results.check("a", "A", "low", "error"),
        results.check("a", "A", "critical", "fail"),
        results.check("b", "B", "critical", "fail"),
        results.check("c", "C", "high", "fail"),
        results.check("a", "A", "critical", "pass"),
    ]
    assert worst_first(reversed(checks)) == checks


def test_states_of_findings() -> None:
    assert sorted(FindingStatus, key=lambda s: s.rank) == ["open", "known", "exempt"]
    assert [s.rank for s in (State.OPEN, State.KNOWN, State.EXEMPT, State.UNKNOWN, State.FIXED)] == [
        0,
        0,
        0,
        1,
        2,
    ]


def test_custom_resources_have_this_order() -> None:
    fleet = results.fleet(1, 12, 2)
    (ordered,) = canonical(fleet).clusters
    made = set()
    for seed in range(3):
        mixed = replace(
            ordered, checks=tuple(random.Random(seed).sample(ordered.checks, len(ordered.checks)))
        )
        report = compliancereport.build(mixed, "2026-06-01T00:00:00Z")
        made.add(str((report, policyreport.build(mixed, policyreport.APIS[0]))))
    assert len(made) == 1
