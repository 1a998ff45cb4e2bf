"""/api/summary, /api/clusters, /api/failures as v0.3 had them: the same keys, for scripts that read them.

What was wrong there is right here: an answer is always JSON, an error has the status of one, a cluster of which nothing
could be read is not reachable, and failures are those of the newest results.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from pytest_kspec.dashboard.asked import BadRequest
from pytest_kspec.dashboard.source import Known
from pytest_kspec.storage import lasting, listing
from pytest_kspec.storage.cut import Cut
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.rows import Standing
from pytest_kspec.storage.visible import Visible

MOST_CLUSTERS = 20_000
MOST_FAILURES = 100_000
LOCAL = "local"
"""What v0.3 called the cluster that its manager ran in."""


class NoSpecification(Exception):
    """There is no result of any specification, or of this one. The text is the answer."""


def spec_of(pairs: Iterable[tuple[str, str]]) -> str:
    """The value of `cluster_spec`; "" for the first specification. Raises BadRequest."""
    found = [value for name, value in pairs if name == "cluster_spec"]
    if len(found) > 1 or (found and len(found[0]) > 256):
        raise BadRequest("'cluster_spec' must be given once.")
    return found[0] if found else ""


def summary(store: Store, visible: Visible, spec: str) -> dict[str, Any]:
    """Raises NoSpecification, StoreError."""
    rows = _rows(store, visible, spec)
    healthy = sum(_reachable(row) and not (row.failed or row.errors or row.left_out) for row in rows)
    drift = lasting.drifted(store, visible, _spec(store, visible, spec))
    return {
        "TotalClusters": len(rows),
        "HealthyClusters": healthy,
        "UnhealthyClusters": len(rows) - healthy,
        "TotalChecks": sum(map(_total, rows)),
        "PassedChecks": sum(row.passed for row in rows),
        "FailedChecks": sum(row.failed for row in rows),
        # null: no look for drift is known of any cluster, which is not that there is none.
        "ClustersWithDrift": sum(count > 0 for count in drift.values()) if drift else None,
        "TotalDriftEvents": sum(drift.values()) if drift else None,
        "LastUpdated": max((row.finished_at for row in rows), default=""),
    }


def clusters(store: Store, visible: Visible, spec: str) -> list[dict[str, Any]]:
    """Raises NoSpecification, StoreError."""
    rows = _rows(store, visible, spec)
    drift = lasting.drifted(store, visible, _spec(store, visible, spec))
    return [
        {
            "ClusterName": row.cluster,
            "ClusterUID": row.cluster_id,
            "IsLocal": row.cluster == LOCAL,
            "LastScanTime": row.finished_at,
            "TotalChecks": _total(row),
            "PassedChecks": row.passed,
            "FailedChecks": row.failed,
            "HasDrift": drift[row.cluster_id] > 0 if row.cluster_id in drift else None,
            "DriftEventCount": drift.get(row.cluster_id),
            # Of what applies: v0.3 counted skipped checks as not passed.
            "ComplianceScore": row.score or 0.0,
            "platform": "Local" if row.cluster == LOCAL else "Unknown",
            "nodes": 0,
            "reachable": _reachable(row),
            "version": row.version,
        }
        for row in rows
    ]


def failures(store: Store, visible: Visible, spec: str) -> dict[str, list[dict[str, Any]]]:
    """Failed checks by name of the cluster; without clusters that have none. Raises NoSpecification, StoreError."""
    spec = _spec(store, visible, spec)
    rows = listing.requirement_results(
        store, visible, spec=spec, verdict="fail", cut=Cut(1, MOST_FAILURES)
    ).rows
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row.cluster, []).append(
            {
                "name": row.check,
                "category": row.check.partition(".")[0],
                "status": "Fail",
                "severity": row.severity.capitalize(),
                "message": f"{row.findings} finding{'' if row.findings == 1 else 's'}",
            }
        )
    return found


ROUTES: dict[str, Callable[[Store, Visible, str], Any]] = {
    "summary": summary,
    "clusters": clusters,
    "failures": failures,
}


def document(known: Known) -> bytes:
    """The answer; `stale` stands beside the keys of an object while the store is away."""
    value = known.value
    if known.problem and isinstance(value, dict) and "TotalClusters" in value:
        value = value | {"stale": known.problem, "asOf": known.as_of.strftime("%Y-%m-%dT%H:%M:%SZ")}
    return msgspec.json.encode(value)


def error(text: str) -> bytes:
    """What went wrong, under the key that v0.3 had for it."""
    return msgspec.json.encode({"error": text})


def _spec(store: Store, visible: Visible, spec: str) -> str:
    known = listing.specs(store, visible)
    if not known:
        raise NoSpecification("No ClusterSpecifications found")
    if spec and spec not in known:
        raise NoSpecification("There are no results of this specification")
    return spec or known[0]


def _rows(store: Store, visible: Visible, spec: str) -> list[Standing]:
    spec = _spec(store, visible, spec)
    return list(listing.standings(store, visible, spec=spec, order="name", cut=Cut(1, MOST_CLUSTERS)).rows)


def _total(row: Standing) -> int:
    return row.passed + row.failed + row.errors + row.skipped


def _reachable(row: Standing) -> bool:
    """Whether anything could be read; where everything is an error, nothing could."""
    return row.evaluated > 0 or not row.errors
