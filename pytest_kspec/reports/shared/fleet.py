"""Several clusters as one: what could not be looked at, by its reason, and what is found on many of them, said once.

A cluster that could not be looked at is neither badly configured nor good: it comes first, and is not ranked.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pytest_kspec.reports.shared.text import printable
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.frameworks import ControlResult, ControlStatus, FrameworkResult, FrameworkSummary
from pytest_kspec.results.identity import called
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult, Summary
from pytest_kspec.results.verdict import Verdict

_WORST = (
    ControlStatus.NOT_MET,
    ControlStatus.NOT_EVALUATED,
    ControlStatus.PARTLY_MET,
    ControlStatus.MANUAL,
    ControlStatus.MET,
)


class Reason(NamedTuple):
    """Why requirements could not be evaluated. requirements: how many, on all these clusters together."""

    text: str
    clusters: list[str]
    requirements: int


class Alike(NamedTuple):
    """The same finding on one or more clusters. times: how many findings it is, of all specifications."""

    finding: Finding
    clusters: list[str]
    times: int


class Common(NamedTuple):
    """One requirement that is not met, or not evaluated, on some clusters.

    check: of the first of them; failed, errors: clusters; asked: on how many results it is asked for;
    results: on how many it is not met or not evaluated
    """

    check: CheckResult
    failed: list[str]
    errors: list[str]
    reasons: list[Reason]
    asked: int
    results: int
    open: list[tuple[str, tuple[Finding, ...]]]

    @property
    def found(self) -> int:
        """Open findings, those of each cluster counted."""
        return sum(len(found) for _, found in self.open)

    def alike(self) -> list[Alike]:
        """Its open findings, each once; those of most clusters first."""
        groups: dict[tuple[object, ...], list[tuple[str, Finding]]] = {}
        for cluster, found in self.open:
            for finding in found:
                owner, said = finding.owner, finding.resource
                key = (
                    finding.message, finding.path, finding.expected, finding.container, repr(finding.actual),
                    owner.kind, owner.namespace, owner.name, said.kind, said.namespace, said.name,
                )  # fmt: skip
                groups.setdefault(key, []).append((cluster, finding))
        made = [
            Alike(same[0][1], list(dict.fromkeys(cluster for cluster, _ in same)), len(same))
            for same in groups.values()
        ]
        made.sort(key=lambda one: -len(one.clusters))
        return made


def names(result: ScanResult) -> list[str]:
    """How to call the cluster of each result: two clusters that share a name are told apart."""
    return [printable(name) for name in called([(cluster.id, cluster.name) for cluster in result.clusters])]


def rank(summary: Summary, name: str) -> tuple[object, ...]:
    """The order to read clusters in: those that could not be fully evaluated, least first; then the worst score."""
    if summary.errors:
        return 0, summary.evaluated / summary.applicable, name
    return 1, 101 if summary.score is None else summary.score, name


def reasons(clusters: Iterable[tuple[str, ClusterResult]]) -> list[Reason]:
    """Why requirements could not be evaluated, those that keep most from being so first. With names to call them by."""
    return _grouped(
        (name, check.reason.removeprefix(f"{cluster.name}: "))
        for name, cluster in clusters
        for check in cluster.checks
        if check.verdict is Verdict.ERROR
    )


def _grouped(found: Iterable[tuple[str, str]]) -> list[Reason]:
    """found: (cluster, reason), once for each requirement."""
    groups: dict[str, tuple[dict[str, None], list[None]]] = {}
    for name, text in found:
        clusters, count = groups.setdefault(text, ({}, []))
        clusters[name] = None
        count.append(None)
    made = [Reason(text, list(clusters), len(count)) for text, (clusters, count) in groups.items()]
    return sorted(made, key=lambda one: (-one.requirements, one.text))


def common(clusters: Iterable[tuple[str, ClusterResult]]) -> list[Common]:
    """Requirements that are not met somewhere: by severity, then those of most clusters."""
    first: dict[str, CheckResult] = {}
    bad: dict[str, list[tuple[str, ClusterResult, CheckResult]]] = {}
    asked: dict[str, int] = {}
    for name, cluster in clusters:
        for check in cluster.checks:
            asked[check.id] = asked.get(check.id, 0) + 1
            if check.verdict in (Verdict.FAIL, Verdict.ERROR):
                first.setdefault(check.id, check)
                bad.setdefault(check.id, []).append((name, cluster, check))
    made = [_common(first[check_id], asked[check_id], where) for check_id, where in bad.items()]
    return sorted(
        made, key=lambda one: (not one.failed, -one.check.severity.rank, -len(one.failed), one.check.id)
    )


def _common(check: CheckResult, asked: int, where: list[tuple[str, ClusterResult, CheckResult]]) -> Common:
    failed = dict.fromkeys(name for name, _, one in where if one.verdict is Verdict.FAIL)
    errors = [(name, cluster, one) for name, cluster, one in where if one.verdict is Verdict.ERROR]
    return Common(
        check,
        list(failed),
        list(dict.fromkeys(name for name, _, _ in errors)),
        _grouped((name, one.reason.removeprefix(f"{cluster.name}: ")) for name, cluster, one in errors),
        asked,
        len(where),
        [(name, found) for name, _, one in where if (found := one.open_findings)],
    )


class Framework(NamedTuple):
    """One framework over all clusters that ask for it; each control counts once, by its worst status."""

    first: FrameworkResult
    summaries: list[FrameworkSummary]
    controls: list[tuple[ControlResult, dict[ControlStatus, int]]]

    @property
    def counts(self) -> dict[ControlStatus, int]:
        """Controls by their worst status on any cluster."""
        counts = dict.fromkeys(ControlStatus, 0)
        for _, statuses in self.controls:
            counts[worst(statuses)] += 1
        return counts

    @property
    def name(self) -> str:
        """With its version."""
        return f"{self.first.name} {self.first.version}".strip()


def worst(statuses: dict[ControlStatus, int]) -> ControlStatus:
    """Of one control on several clusters: met only where it is met on each."""
    return next(status for status in _WORST if statuses.get(status))


def frameworks(clusters: Iterable[ClusterResult]) -> list[Framework]:
    """By id, name and version."""
    found: dict[tuple[str, str, str], list[FrameworkResult]] = {}
    for cluster in clusters:
        for framework in cluster.frameworks:
            found.setdefault((framework.id, framework.name, framework.version), []).append(framework)
    return [_framework(found[key]) for key in sorted(found)]


def _framework(results: list[FrameworkResult]) -> Framework:
    controls: dict[str, tuple[ControlResult, dict[ControlStatus, int]]] = {}
    for result in results:
        for control in result.controls:
            statuses = controls.setdefault(control.id, (control, {}))[1]
            statuses[control.status] = statuses.get(control.status, 0) + 1
    return Framework(results[0], [result.summary for result in results], list(controls.values()))


def spread(numbers: Iterable[float | None]) -> str:
    """`45.0`, `45.0 to 98.2`, or `none`; clusters without a number are said beside it."""
    given = list(numbers)
    known = sorted(number for number in given if number is not None)
    if not known:
        return "none"
    said = f"{known[0]:.1f}" if known[0] == known[-1] else f"{known[0]:.1f} to {known[-1]:.1f}"
    without = len(given) - len(known)
    return f"{said}, none on {without:,}" if without else said


def listed(clusters: list[str], most: int = 12) -> str:
    """`prod-eu, prod-us and 3 more`."""
    left = len(clusters) - most
    return ", ".join(clusters[:most]) + (f" and {left:,} more" if left > 0 else "")
