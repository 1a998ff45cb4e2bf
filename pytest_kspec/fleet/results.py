"""A run over a fleet as one result, for every report format: the full reports of its clusters, put together."""

from __future__ import annotations

from msgspec.structs import replace

from pytest_kspec.errors import UsageError
from pytest_kspec.fleet.report import FleetReport
from pytest_kspec.reports import json
from pytest_kspec.results.combine import combine
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.results.result import ClusterResult, ScanResult
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.storage import fleetpages, objects
from pytest_kspec.storage.engine import Store


def full_result(store: Store, report: FleetReport) -> ScanResult:
    """All clusters of a run. One that no worker could make a result of has an error for each requirement.

    Raises UsageError where full reports were not kept, StoreError.
    """
    run = report.run.id
    parts = fleetpages.parts_of(store, run)
    if not all(place for place, _ in parts):
        raise UsageError(
            "the full reports of this run were not kept.",
            where=run,
            fix="Add --store-reports to 'kspec fleet scan'; 'kspec fleet report -o json' needs none.",
        )
    if not parts:
        raise UsageError("no cluster of this run has a result yet.", where=run)
    found = [(place, json.parse(objects.get(place, digest), place)) for place, digest in parts]
    made = combine(found)
    models = {cluster.spec_name: cluster for cluster in made.clusters}
    missing = tuple(
        _unread(models[row.spec], row.name, f"{row.outcome or 'no outcome yet'}: {row.reason}")
        for row in report.rows
        if row.result_id is None and row.outcome != Outcome.DUPLICATE and row.spec in models
    )
    return replace(made, clusters=(*made.clusters, *missing))


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
    head = replace(model, name=name, source="live", version="", uid="", checks=checks)
    return replace(head, exemptions=(), frameworks=(), baseline=None)
