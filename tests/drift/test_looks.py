"""What a look says is gone, and what it compares with the last run."""

from __future__ import annotations

from dataclasses import replace

from pytest_kspec.drift.compliance import compare
from pytest_kspec.drift.events import DriftEvent, DriftKind, DriftType, Look
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.verdict import Severity
from pytest_kspec.storage.drift import LastRun
from tests.results.test_diff import fail, on

NOW = "2026-11-29T12:00:00Z"
EVENT = DriftEvent(
    DriftType.COMPLIANCE,
    DriftKind.VIOLATION,
    Severity.HIGH,
    ResourceRef("v1", "Service", "shop", "web"),
    "a finding",
    NOW,
    check="services",
    id="mark",
)
LOOK = Look(NOW, "prod", "1", "eu", "uid", (DriftType.COMPLIANCE,), ())


def test_gone_is_what_was_looked_for_and_is_not_there() -> None:
    assert LOOK.cleared([EVENT]) == (EVENT,)
    assert replace(LOOK, events=(EVENT,)).cleared([EVENT]) == ()
    assert replace(LOOK, looked=(DriftType.POLICY,)).cleared([EVENT]) == ()
    assert replace(LOOK, problems=("403",)).cleared([EVENT]) == ()


def test_a_finding_that_a_newer_run_has_is_no_drift_any_more_and_not_gone() -> None:
    assert replace(LOOK, still=frozenset({EVENT.key})).cleared([EVENT]) == ()


def test_a_requirement_that_the_last_run_did_not_have_was_not_compared() -> None:
    """The specification is another one of the same version: "no drift" would be said of nothing."""
    now = on("eu", fail(verdict="pass"))
    last = LastRun("1", NOW, "1", now.spec_version, {"another": (True, "")}, frozenset())
    made = compare(last, now, "1", NOW)
    assert made.events == ()
    assert made.problems == (
        f"{now.checks[0].id} was not required in the last run. Store a current run: kspec scan --store.",
    )
    assert compare(replace(last, checks={now.checks[0].id: (True, "")}), now, "1", NOW).problems == ()


def test_a_specification_that_requires_nothing_has_no_drift_and_not_none() -> None:
    now = on("eu")
    last = LastRun("1", NOW, "1", now.spec_version, {}, frozenset())
    (problem,) = compare(last, now, "1", NOW).problems
    assert problem.endswith("it requires nothing now, so nothing was compared.")
