"""One order for every report: the same results give the same bytes, whatever order workers finished in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import groupby

from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.results.verdict import Verdict

_VERDICT_RANK = {Verdict.ERROR: 0, Verdict.FAIL: 1, Verdict.SKIP: 2, Verdict.PASS: 3}


def canonical(result: ScanResult) -> ScanResult:
    """Clusters by name and specification, checks by id, findings by owner, object, path."""
    clusters = sorted(result.clusters, key=lambda c: (c.name, c.spec_name, c.spec_path, c.source, c.uid))
    return replace(result, clusters=tuple(map(_cluster, clusters)))


def _cluster(cluster: ClusterResult) -> ClusterResult:
    return replace(
        cluster,
        checks=tuple(
            replace(check, findings=tuple(sorted(check.findings, key=_finding_key)))
            if check.findings
            else check
            for check in sorted(cluster.checks, key=lambda c: (c.id, c.nodeid))
        ),
        exemptions=tuple(sorted(cluster.exemptions, key=lambda e: (e.name, e.location, e.reason))),
        not_evaluated=tuple(sorted(cluster.not_evaluated, key=lambda n: (n.key, n.location, n.reason))),
    )


def _ref_key(ref: ResourceRef) -> tuple[str, str, str, str]:
    return ref.namespace, ref.kind, ref.name, ref.api_version


def _finding_key(finding: Finding) -> tuple[object, ...]:
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


def worst_first(checks: Iterable[CheckResult]) -> list[CheckResult]:
    """Errors, failures, skips, passes; each by severity, critical first, then by id."""
    return sorted(checks, key=lambda c: (_VERDICT_RANK[c.verdict], -c.severity.rank, c.id, c.nodeid))


def by_owner(findings: Iterable[Finding]) -> list[tuple[ResourceRef, list[Finding]]]:
    """Findings of canonical order, one group for each owner."""
    return [(owner, list(group)) for owner, group in groupby(findings, key=lambda f: f.owner)]


def titles(result: ScanResult) -> list[str]:
    """A unique title for each cluster result: "<spec>.<cluster>", with the file or a number where needed."""
    return unique(f"{spec}.{cluster}" for spec, cluster in _parts(result))


def class_names(result: ScanResult) -> list[str]:
    """The titles with this one dot only, unique: what follows the last dot is the class to Jenkins."""
    return unique(f"{undotted(spec)}.{undotted(cluster)}" for spec, cluster in _parts(result))


def undotted(name: str) -> str:
    """`prod.example.com` as `prod_example_com`."""
    return name.replace(".", "_")


def _parts(result: ScanResult) -> list[tuple[str, str]]:
    plain = [(c.spec_name, c.name) for c in result.clusters]
    counts = Counter(plain)
    return [
        (f"{c.spec_name} ({c.spec_path})" if counts[c.spec_name, c.name] > 1 else c.spec_name, c.name)
        for c in result.clusters
    ]


def unique(names: Iterable[str]) -> list[str]:
    """The names, with " #2", " #3" … behind those that came before."""
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, number = name, 1
        while candidate in taken:
            number += 1
            candidate = f"{name} #{number}"
        taken.add(candidate)
        result.append(candidate)
    return result
