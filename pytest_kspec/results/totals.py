"""The counts that every report states, made once: a report that leaves findings out still has the exact ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from pytest_kspec.results.finding import FindingStatus
from pytest_kspec.results.order import WORST_SEVERITIES_FIRST
from pytest_kspec.results.result import CheckResult, ScanResult
from pytest_kspec.results.verdict import Severity, Verdict


class Totals(Struct, frozen=True):
    """Requirements by verdict; findings by status and severity (that of their requirement). Zeros are there.

    A finding that stands for 50 pods is one finding.
    """

    requirements: dict[Verdict, int]
    findings: dict[FindingStatus, dict[Severity, int]]

    @classmethod
    def of(cls, checks: Iterable[CheckResult]) -> Totals:
        """Count these results."""
        verdicts: Counter[Verdict] = Counter()
        found: Counter[tuple[FindingStatus, Severity]] = Counter()
        for check in checks:
            verdicts[check.verdict] += 1
            found.update((finding.status, check.severity) for finding in check.findings)
        return cls(
            {verdict: verdicts[verdict] for verdict in Verdict},
            {status: {s: found[status, s] for s in WORST_SEVERITIES_FIRST} for status in FindingStatus},
        )

    @classmethod
    def of_result(cls, result: ScanResult) -> Totals:
        """Over all clusters."""
        return cls.of(check for cluster in result.clusters for check in cluster.checks)

    def count(self, status: FindingStatus) -> int:
        """Findings of one status."""
        return sum(self.findings[status].values())

    @property
    def all_findings(self) -> int:
        """Findings of every status."""
        return sum(map(self.count, FindingStatus))

    def to_wire(self) -> dict[str, Any]:
        """{"requirements": {verdict: n}, "findings": {status: {severity: n}}}, keys as text."""
        return {
            "requirements": {verdict.value: count for verdict, count in self.requirements.items()},
            "findings": {
                status.value: {severity.value: count for severity, count in by_severity.items()}
                for status, by_severity in self.findings.items()
            },
        }
