"""What a scan puts into the audit log: itself, and the exemptions that it used or found at their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kspec.audit.trail import emit
from pytest_kspec.reports.shared.text import plural
from pytest_kspec.reports.shared.words import as_selected
from pytest_kspec.results.result import ClusterResult, ScanResult

if TYPE_CHECKING:
    from pytest_kspec.audit.record import Outcome

_STATES = {"used": "info", "expired": "warning"}


def scanned(result: ScanResult) -> None:
    """Records of a scan: one for each specification on each cluster, and one for each of these exemptions."""
    for cluster in result.clusters:
        summary = cluster.summary
        about = {
            "actor": result.run_by,
            "cluster": cluster.name,
            "cluster_id": cluster.id,
            "spec": cluster.spec_name,
        }
        counts = f"{summary.passed} passed, {summary.failed} failed, {summary.errors} not evaluated"
        left_out = len(cluster.not_selected)
        if left_out:
            counts = f"{counts} ({as_selected(len(cluster.checks), left_out)})"
        emit(
            "compliance_scan",
            "scan",
            _outcome(cluster),
            f"{cluster.spec_name} on {cluster.name}: {counts}",
            severity="warning" if summary.failed or summary.errors else "info",
            details={
                **summary.to_wire(),
                "specVersion": cluster.spec_version,
                **({"leftOut": left_out} if left_out else {}),
            },
            **about,
        )
        for use in cluster.exemptions:
            if use.state in _STATES:
                emit(
                    "exemption",
                    use.state,
                    "success",
                    f"the exemption {use.name} {'accepts' if use.state == 'used' else 'has ended; it matches'} "
                    + plural(use.matched, "finding"),
                    severity=_STATES[use.state],
                    resource=use.name,
                    details={"approver": use.approver, "expiresAt": use.expires_at, "matched": use.matched},
                    **about,
                )


def _outcome(cluster: ClusterResult) -> Outcome:
    summary = cluster.summary
    if summary.failed:
        return "failure"
    if summary.errors or not summary.evaluated or cluster.is_partial:
        return "unknown"
    return "success"
