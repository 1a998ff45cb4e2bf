"""What a status says of a result, and which Events a change makes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from pytest_kspec.crds.models.clusterspecification import ClusterSpecificationStatus
from pytest_kspec.errors import SourceError, SpecError
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.operator import status
from pytest_kspec.operator.status import Said
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.result import CheckResult, ClusterResult
from pytest_kspec.results.verdict import Severity, Verdict
from pytest_kspec.spec.notes import NotEvaluated

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
POD = ResourceRef("v1", "Pod", "a", "p")


def cluster(*verdicts: Verdict, known: bool = False) -> ClusterResult:
    checks = tuple(
        CheckResult(
            f"a.c{n}",
            f"n{n}",
            "",
            Severity.HIGH,
            verdict,
            findings=(Finding(POD, POD, "spec", 1, "2", "m", known=True),) if known and n == 0 else (),
        )
        for n, verdict in enumerate(verdicts)
    )
    return ClusterResult("prod", "live", "v1.37.2", "u", "s", "", "cr:s", checks)


PASS, FAIL, ERROR, SKIP = Verdict.PASS, Verdict.FAIL, Verdict.ERROR, Verdict.SKIP


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ((PASS, PASS, SKIP), ("True", status.PASSED, "2 of 2 checks passed.")),
        ((PASS, FAIL), ("False", status.FAILED, "1 of 2 checks passed, 1 failed: a.c1.")),
        (
            (PASS, FAIL, ERROR),
            (
                "False",
                status.FAILED,
                "1 of 3 checks passed, 1 failed: a.c1; 1 could not be evaluated: a.c2.",
            ),
        ),
        (
            (PASS, ERROR),
            ("Unknown", status.NOT_EVALUATED, "1 of 2 checks passed, 1 could not be evaluated: a.c1."),
        ),
        ((SKIP,), ("Unknown", status.NOT_EVALUATED, "There was nothing to evaluate.")),
        ((), ("Unknown", status.NOT_EVALUATED, "There was nothing to evaluate.")),
        (
            (FAIL,) * 7,
            (
                "False",
                status.FAILED,
                "0 of 7 checks passed, 7 failed: a.c0, a.c1, a.c2, a.c3, a.c4 and 2 more.",
            ),
        ),
    ],
)
def test_ready_is_true_only_where_all_was_evaluated_and_met(
    verdicts: tuple[Verdict, ...], expected: tuple[str, str, str]
) -> None:
    ready, fields = status.scanned(cluster(*verdicts))
    assert ready == Said("Ready", *expected)
    summary = fields["summary"]
    assert [summary[key] for key in ("passedChecks", "failedChecks", "errorChecks", "skippedChecks")] == [
        verdicts.count(verdict) for verdict in (PASS, FAIL, ERROR, SKIP)
    ]


def test_what_passes_by_a_baseline_only_is_not_ready() -> None:
    ready, fields = status.scanned(cluster(PASS, PASS, known=True))
    assert (ready.status, ready.reason) == ("False", status.FAILED)
    assert fields["complianceScore"] == 50


def test_a_status_is_what_its_model_says_and_stays_as_it_is() -> None:
    ready, fields = status.scanned(cluster(PASS))
    first = status.merged({}, 3, NOW, [ready], fields)
    ClusterSpecificationStatus.model_validate(first)
    later = NOW + timedelta(hours=1)
    assert status.merged(first, 3, later, [ready], fields) == first
    failed, _ = status.scanned(cluster(FAIL))
    second = status.merged(first, 4, later, [failed], {"complianceScore": None})
    assert "complianceScore" not in second
    condition = status.condition(second, "Ready")
    assert (condition["lastTransitionTime"], condition["observedGeneration"]) == (status.stamp(later), 4)
    assert status.merged(second, 4, later + timedelta(hours=1), [failed], {}) == second


def test_what_others_wrote_stays_and_what_is_malformed_is_left_out() -> None:
    other = {"type": "Theirs", "status": "True"}
    before: dict[str, Any] = {"conditions": [other, 5, {"status": "x"}], "phase": "Pending"}
    after = status.merged(before, 1, NOW, [Said("Ready", "True", "R", "m")], {})
    assert [one.get("type") for one in after["conditions"]] == ["Ready", "Theirs"]
    assert status.condition({"conditions": "none"}, "Ready") == {}


def moved(*verdicts: Verdict, before: dict[str, Any] | None = None) -> dict[str, Any]:
    ready, fields = status.scanned(cluster(*verdicts))
    return status.merged(before or {}, 1, NOW, [ready], fields)


def test_events_are_of_changes() -> None:
    def reasons(before: dict[str, Any], after: dict[str, Any]) -> list[tuple[str, str]]:
        return [(note.type, note.reason) for note in status.notes(before, after)]

    passed, failed, more = moved(PASS, PASS), moved(PASS, FAIL), moved(FAIL, FAIL)
    assert reasons({}, passed) == [("Normal", "ScanCompleted")]
    assert reasons(passed, passed) == []
    assert reasons(passed, failed) == [("Warning", "ComplianceFailed")]
    assert reasons(failed, more) == [("Normal", "ScanCompleted")]
    assert reasons(more, passed) == [("Normal", "ComplianceRestored")]
    broken = status.merged(passed, 1, NOW, [status.not_scanned(SourceError("killed."))], {})
    assert reasons(passed, broken) == [("Warning", "ScanFailed")]
    invalid = status.merged(passed, 1, NOW, [status.invalid(SpecError("x"))], {})
    assert reasons(passed, invalid) == [("Warning", "InvalidSpecification")]
    drift = status.merged(passed, 1, NOW, [Said("DriftDetected", "True", "DriftFound", "m")], {})
    clear = status.merged(passed, 1, NOW, [Said("DriftDetected", "False", "NoDrift", "m")], {})
    assert reasons(passed, drift) == [("Warning", "DriftDetected")]
    assert reasons(drift, clear) == [("Normal", "DriftCleared")]
    assert reasons(passed, clear) == []


def test_a_message_is_bounded() -> None:
    assert len(status.invalid(SpecError("x" * 5000)).message) == status.LONGEST_MESSAGE


def test_one_that_is_not_active_now_says_so() -> None:
    made = msgspec.structs.replace(
        cluster(SKIP), not_evaluated=(NotEvaluated("timeBasedActivation", "not active now"),)
    )
    ready, _ = status.scanned(made)
    assert (ready.status, ready.reason) == ("Unknown", status.NOT_EVALUATED)
    assert "not active now" in ready.message


def test_a_list_says_how_many_there_are_beside_what_it_names() -> None:
    assert status.listed(["a", "b"]) == "a; b"
    assert status.listed(["a"] * 7) == "a; a; a; a; a; and 2 more"
    assert status.listed(["x" * 300] * 7) == "; ".join(["x" * 300] * 3) + "; and 4 more"
    long = status.listed(["x" * 5000] * 2)
    assert (len(long), long[-14:]) == (1023, "x…; and 1 more")
    assert status.listed([]) == ""
