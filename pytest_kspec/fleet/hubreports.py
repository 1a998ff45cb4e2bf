"""ComplianceReports of a fleet in its hub, within a budget of bytes for all of them: the rest is in the store.

Reports of thirty scans of 256 KiB, as a cluster keeps of itself, would be 7 GiB for a thousand clusters: more than etcd
takes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.objects import compliancereport
from pytest_kspec.errors import KspecError, NotServed
from pytest_kspec.fleet.report import FleetReport
from pytest_kspec.fleet.results import results_of
from pytest_kspec.publish.customresources import Kept, write_compliance
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.results.result import ScanResult
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.fleetpages import FleetRow

BUDGET = 64 << 20
"""Bytes of all reports of a fleet, as JSON."""
REPORTS, LARGEST, SMALLEST = 2, 32 << 10, 4 << 10
"""Kept of each cluster and specification; bytes of one at most, and at least, below which fewer clusters have one."""
_PLACE = (compliancereport.API_VERSION, compliancereport.KIND)


class Written(NamedTuple):
    """What came of it. left_out: clusters for which there is no room; problems: lines."""

    reports: int
    removed: int
    left_out: int
    problems: tuple[str, ...]


def share(results: int, budget: int) -> tuple[int, int]:
    """How many results have reports, and how large each of their reports may be."""
    fitting = min(results, budget // (REPORTS * SMALLEST))
    return fitting, min(LARGEST, budget // (REPORTS * fitting)) if fitting else 0


def write_reports(
    store: Store,
    report: FleetReport,
    writer: Writer,
    namespace: str,
    *,
    budget: int = BUDGET,
    say: Callable[[str], None] = lambda line: None,
    see: Callable[[ScanResult], None] = lambda result: None,
    is_kept: bool = True,
    owner: Mapping[str, Any] | None = None,
) -> Written:
    """A report of each cluster in the hub, those without a score and with the lowest ones first; others go.

    see: called with each result that is read. is_kept: the store outlives this, so that reports can point there.
    owner: an ownerReference of each: they go with it.
    Raises UsageError where full reports were not kept, StoreError, SourceError.
    """
    rows = [row for row in report.rows if row.outcome not in (Outcome.DUPLICATE, "")]
    rows.sort(key=_worst)
    count, most = share(len(rows), budget)
    wanted = {(row.name, row.spec) for row in rows[:count]}
    there = _there(writer, namespace, {row.spec for row in rows})
    pointer = f"kspec fleet report --run {report.run.id}" if is_kept else ""
    written, problems = 0, []
    for result in results_of(store, report):
        see(result)
        for cluster in result.clusters:
            if (cluster.name, cluster.spec_name) not in wanted:
                continue
            mine = there.get(cluster.spec_name, [])
            try:
                say(
                    write_compliance(
                        writer,
                        result,
                        cluster,
                        namespace,
                        pointer,
                        kept=Kept(REPORTS, most, (compliancereport.OF_FLEET,), owner),
                        there=mine,
                    )
                )
                written += 1
            except NotServed as error:
                fix = "Install it: kspec crds compliancereport | kubectl apply --server-side -f -"
                raise NotServed(error.what, where=error.where, fix=fix) from error
            except KspecError as error:
                problems.append(f"{cluster.name}: {error}")
    removed = 0
    kept = {(compliancereport.cluster_label(name), spec) for name, spec in wanted}
    for spec, reports in there.items():
        for one in reports:
            if (compliancereport.cluster_of(one), spec) not in kept:
                writer.delete(*_PLACE, one["metadata"]["name"], namespace=namespace)
                removed += 1
    return Written(written, removed, len(rows) - count, tuple(problems))


def _there(writer: Writer, namespace: str, specs: set[str]) -> dict[str, list[dict[str, Any]]]:
    """Reports that are in the hub, by specification: listed once, and not once a cluster."""
    found: dict[str, list[dict[str, Any]]] = {}
    for spec in sorted(specs):
        selector = compliancereport.fleet_selector(spec)
        found[spec] = list(writer.list(*_PLACE, namespace=namespace, label_selector=selector))
    return found


def _worst(row: FleetRow) -> tuple[bool, float, str, str]:
    return row.score is not None, row.score or 0.0, row.name, row.spec
