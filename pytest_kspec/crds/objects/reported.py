"""A ComplianceReport read back: the ClusterResult that it says, with its totals, which are exact also where it is cut.

Reports of v0.3 have fewer fields, and may be written by anyone who may create them: nothing in one is relied on.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from pydantic import ValidationError

from pytest_kspec.crds.models.compliancereport import (
    ComplianceReportSpec,
    ReportedCheck,
    ReportedExemption,
    ReportedFinding,
    ReportedObject,
)
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.evidence import ExemptionUse
from pytest_kspec.results.finding import AppliedExemption, Finding
from pytest_kspec.results.result import CheckResult, ClusterResult
from pytest_kspec.results.verdict import Severity, Verdict

_VERDICTS = {"Pass": Verdict.PASS, "Fail": Verdict.FAIL, "Error": Verdict.ERROR, "Skip": Verdict.SKIP}


class NotAReport(Exception):
    """An object that is not a ComplianceReport as any version writes it; the text says why."""


class Reported(NamedTuple):
    """finished_at: RFC 3339; findings, exempt: exact, of each check; truncated: whether some are left out."""

    cluster: ClusterResult
    finished_at: str
    findings: tuple[int, ...]
    exempt: tuple[int, ...]
    truncated: bool


def read(report: dict[str, Any]) -> Reported:
    """Raises NotAReport."""
    try:
        spec = ComplianceReportSpec.model_validate(report.get("spec"))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise NotAReport(f"spec.{where}: {first['msg']}") from error
    checks = tuple(_check(one) for one in spec.results)
    uses: dict[tuple[str, str], list[Any]] = {}
    for check in checks:
        for finding in check.exempted_findings:
            exemption = finding.exemption
            assert exemption is not None
            uses.setdefault((exemption.name, exemption.reason), [exemption, 0])[1] += 1
    cluster = ClusterResult(
        spec.cluster_name,
        "live",
        spec.cluster_version,
        spec.cluster_uid,
        spec.cluster_spec_ref.name,
        spec.cluster_spec_ref.version,
        "",
        checks,
        exemptions=tuple(
            ExemptionUse(one.name, one.reason, one.approver, one.expires_at, "", "used", count)
            for one, count in uses.values()
        ),
        not_selected=(*spec.not_selected, *[""] * (spec.summary.not_selected - len(spec.not_selected))),
    )
    return Reported(
        cluster,
        str(spec.scan_time),
        tuple(
            max(one.findings_total, len(check.open_findings))
            for one, check in zip(spec.results, checks, strict=True)
        ),
        tuple(
            max(one.exempt_total, len(check.exempted_findings))
            for one, check in zip(spec.results, checks, strict=True)
        ),
        spec.truncated,
    )


def _check(one: ReportedCheck) -> CheckResult:
    verdict = _VERDICTS[one.status]
    severity = Severity(one.severity.lower()) if one.severity else Severity.MEDIUM
    return CheckResult(
        one.name,
        one.name,
        one.title or one.name,
        severity,
        verdict,
        remediation=one.remediation,
        reason=one.message if verdict in (Verdict.ERROR, Verdict.SKIP) else "",
        examined=one.examined,
        findings=tuple(_finding(found) for found in one.findings),
    )


def _finding(found: ReportedFinding) -> Finding:
    resource = _object(found.resource)
    return Finding(
        resource,
        _object(found.owner) if found.owner is not None else resource,
        found.path,
        found.actual,
        found.expected,
        found.message,
        found.container,
        found.count,
        _exemption(found.exemption),
        found.known,
    )


def _exemption(one: ReportedExemption | None) -> AppliedExemption | None:
    return None if one is None else AppliedExemption(one.name, one.reason, one.approver, one.expires_at)


def _object(one: ReportedObject) -> ResourceRef:
    return ResourceRef(one.api_version, one.kind, one.namespace, one.name)
