"""What a run of a DriftConfig says: each difference once, by the requirement that it is about."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pytest_kspec.crds.models.driftconfig import DriftConfigSpec
from pytest_kspec.drift.events import Author, DriftEvent, DriftKind, DriftType
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.operator import driftsaid, status
from pytest_kspec.operator.driftsaid import Outcome, Run
from pytest_kspec.results.verdict import Severity

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
WEB = ResourceRef("apps/v1", "Deployment", "shop", "web")


def violation(check: str, **more: Any) -> DriftEvent:
    return DriftEvent(
        DriftType.COMPLIANCE, DriftKind.VIOLATION, Severity.HIGH, WEB, "", "", check=check, **more
    )


def drift(*events: DriftEvent) -> str:
    run = Run(NOW, [Outcome("prod", events, ())], (), "")
    said, _, _ = driftsaid.of(run, DriftConfigSpec(), "c", {})
    return next(one.message for one in said if one.type == status.DRIFT)


def test_a_requirement_is_named() -> None:
    author = Author("kubectl-edit", "2026-11-29T11:00:00Z")
    found = drift(violation("workloads.images.tags", author=author), violation("workloads.privileged"))
    assert found == (
        "Deployment shop/web: violation of workloads.images.tags, changed by kubectl-edit at "
        "2026-11-29T11:00:00Z; Deployment shop/web: violation of workloads.privileged."
    )


def test_several_findings_of_one_requirement_are_named_once() -> None:
    events = [violation("workloads.privileged", id=f"container-{number}") for number in range(9)]
    assert drift(*events) == "Deployment shop/web: violation of workloads.privileged."
