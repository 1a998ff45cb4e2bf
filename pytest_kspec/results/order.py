"""The order of results, for all that lists them.

The same results give the same bytes, whatever order workers finished in.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from msgspec.structs import replace

from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.results.verdict import Severity, Verdict

WORST_VERDICTS_FIRST = (Verdict.ERROR, Verdict.FAIL, Verdict.SKIP, Verdict.PASS)
WORST_SEVERITIES_FIRST = tuple(sorted(Severity, key=lambda severity: -severity.rank))


def canonical(result: ScanResult) -> ScanResult:
    """Clusters by name and specification, checks by id, findings by owner, object, path."""
    return replace(result, clusters=tuple(map(_cluster, sorted(result.clusters, key=cluster_key))))


def cluster_key(cluster: ClusterResult) -> tuple[str, ...]:
    """By name, then by specification."""
    return cluster.name, cluster.spec_name, cluster.spec_path, cluster.source, cluster.uid


def check_key(check: CheckResult) -> tuple[str, str]:
    """By id."""
    return check.id, check.nodeid


def _cluster(cluster: ClusterResult) -> ClusterResult:
    return replace(
        cluster,
        checks=tuple(
            replace(check, findings=tuple(sorted(check.findings, key=finding_key)))
            if check.findings
            else check
            for check in sorted(cluster.checks, key=check_key)
        ),
        exemptions=tuple(sorted(cluster.exemptions, key=lambda e: (e.name, e.location, e.reason))),
        not_evaluated=tuple(sorted(cluster.not_evaluated, key=lambda n: (n.key, n.location, n.reason))),
    )


def _ref_key(ref: ResourceRef) -> tuple[str, str, str, str]:
    return ref.namespace, ref.kind, ref.name, ref.api_version


def finding_key(finding: Finding) -> tuple[object, ...]:
    """By owner and object, each by namespace, kind and name; then by path."""
    return (
        _ref_key(finding.owner),
        _ref_key(finding.resource),
        finding.path,
        finding.container,
        finding.message,
        finding.expected,
        repr(finding.actual),
        finding.exemption.name if finding.exemption else "",
    )


def verdict_rank(verdict: Verdict) -> int:
    """0 for the worst."""
    return WORST_VERDICTS_FIRST.index(verdict)


def worst_first(checks: Iterable[CheckResult]) -> list[CheckResult]:
    """Errors, failures, skips, passes; each by severity, critical first, then by id."""
    return sorted(checks, key=lambda c: (verdict_rank(c.verdict), -c.severity.rank, check_key(c)))


def by_owner(findings: Iterable[Finding]) -> list[tuple[ResourceRef, list[Finding]]]:
    """Findings of canonical order, one group for each owner."""
    return [(owner, list(group)) for owner, group in groupby(findings, key=lambda f: f.owner)]
