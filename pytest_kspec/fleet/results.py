"""A run over a fleet as one result, for every report format: the full reports of its clusters, put together."""

from __future__ import annotations

from collections.abc import Iterator

from msgspec.structs import replace

from pytest_kspec.errors import UsageError
from pytest_kspec.fleet.report import FleetReport
from pytest_kspec.reports import json
from pytest_kspec.results.combine import combine
from pytest_kspec.results.frameworks import ControlResult, ControlStatus
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.results.result import ClusterResult, ScanResult
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.storage import fleetpages, objects
from pytest_kspec.storage.engine import Store


def full_result(store: Store, report: FleetReport) -> ScanResult:
    """All clusters of a run as one result. Raises UsageError where full reports were not kept, StoreError."""
    found = list(results_of(store, report))
    if not found:
        why = next((f" {row.name}: {row.reason}" for row in report.rows if row.reason), "")
        raise UsageError(f"no cluster of this run has a result yet.{why}", where=report.run.id)
    return combine([(report.run.id, one) for one in found])


def results_of(store: Store, report: FleetReport) -> Iterator[ScanResult]:
    """One after the other, so that one is in memory; at last those that no worker could make a result of.

    These have an error for each requirement. Raises UsageError where full reports were not kept, StoreError.
    """
    run = report.run.id
    parts = fleetpages.parts_of(store, run)
    if not all(place for place, _, _ in parts):
        raise UsageError(
            "the full reports of this run were not kept.",
            where=run,
            fix="Add --store-reports to 'kspec fleet scan'; 'kspec fleet report -o json' needs none.",
        )
    models: dict[str, ClusterResult] = {}
    last: ScanResult | None = None
    for place, digest, name in parts:
        last = json.parse(objects.get(place, digest), place)
        # It was scanned under another of its names, where this one is preferred.
        last = replace(last, clusters=tuple(replace(one, name=name) for one in last.clusters))
        for cluster in last.clusters:
            models.setdefault(cluster.spec_name, cluster)
        yield last
    missing = tuple(
        _unread(model, row.name, f"{row.outcome}: {row.reason}" if row.outcome else "no outcome yet.")
        for row in report.rows
        if row.result_id is None and row.outcome != Outcome.DUPLICATE
        for spec, model in sorted(models.items())
        if row.spec in ("", spec)  # one that no worker came to yet has no specification either
    )
    if missing and last is not None:
        yield replace(last, clusters=missing)


def _unread(model: ClusterResult, name: str, reason: str) -> ClusterResult:
    """The requirements of another cluster by the same specification, none of them evaluated."""
    checks = tuple(
        replace(
            check,
            verdict=Verdict.ERROR,
            reason=reason,
            findings=(),
            examined=0,
            nodeid="",
            duration_seconds=0.0,
        )
        for check in model.checks
    )
    frameworks = tuple(
        replace(one, controls=tuple(_unread_control(control, reason) for control in one.controls))
        for one in model.frameworks
    )
    head = replace(model, name=name, source="live", version="", uid="", checks=checks)
    return replace(head, exemptions=(), frameworks=frameworks, baseline=None)


def _unread_control(control: ControlResult, reason: str) -> ControlResult:
    if control.status is ControlStatus.MANUAL:
        return control
    return replace(control, status=ControlStatus.NOT_EVALUATED, reason=reason, remaining="")
