"""Several results as one: a fleet that was scanned by parallel jobs is reported as if one run had scanned it."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kspec.errors import UsageError
from pytest_kspec.results.result import ScanResult


def combine(results: Sequence[tuple[str, ScanResult]]) -> ScanResult:
    """One result of at least one (where it comes from, result); all clusters, from the first start to the last end.

    A trend belongs to one run: it is left out where there are several. Raises UsageError if two hold the same cluster
    and specification, or were made by different versions, whose checks may differ.
    """
    (first, result), *others = results
    if not others:
        return result
    seen: dict[tuple[str, ...], str] = {}
    for where, other in results:
        if other.tool_version != result.tool_version:
            what = f"was made by pytest-kspec {other.tool_version}, {first} by {result.tool_version}."
            raise UsageError(what, where=where, fix="Scan all clusters with the same version.")
        for cluster in other.clusters:
            key = (cluster.name, cluster.uid, cluster.spec_name, cluster.spec_path)
            if key in seen:
                what = f"contains cluster {cluster.name} by {cluster.spec_path}, as {seen[key]} does."
                raise UsageError(what, where=where, fix="Use one result for each cluster and specification.")
            seen[key] = where
    runs = [run for _, run in results]
    return ScanResult(
        tool_version=result.tool_version,
        started_at=min(run.started_at for run in runs),
        finished_at=max(run.finished_at for run in runs),
        clusters=tuple(cluster for run in runs for cluster in run.clusters),
        run_by=", ".join(sorted({run.run_by for run in runs if run.run_by})),
    )
