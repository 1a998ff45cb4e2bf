"""ComplianceReport: the result of one specification on one cluster, small enough to live in that cluster.

Totals are always exact. Findings are cut where they would make the object too large; then `truncated` says so
and `fullReport` where all of them are.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pytest_kspec.crds.models.base import AnyValue, Count, Flag, Observed, Percent, SpecRef, Text, TimeStamp
from pytest_kspec.spec.twins import StrictModel


class ReportedObject(StrictModel):
    """An object of the cluster; without a kind the cluster itself."""

    api_version: str = Field("", description="apiVersion of the object.")
    kind: str = Field("", description="Kind of the object.")
    namespace: str = Field("", description="Namespace of the object, if it has one.")
    name: str = Field("", description="Name of the object.")


class ReportedExemption(StrictModel):
    """The exemption that covers a finding."""

    name: Text = Field(description="Name of the exemption.")
    reason: str = Field("", description="Why the finding is accepted.")
    approver: str = Field("", description="Who accepted the findings.")
    expires_at: str = Field("", description="End of the exemption. Empty: no end.")


class ReportedFinding(StrictModel):
    """One violation, on one object or on all pods of one owner."""

    resource: ReportedObject = Field(description="Object that contains the field.")
    owner: ReportedObject | None = Field(None, description="Topmost controller of the object, if it has one.")
    count: Annotated[int, Field(strict=True, ge=1)] = Field(
        1, description="Number of objects that the finding stands for."
    )
    path: str = Field("", description="Path of the field in the object.")
    container: str = Field("", description="Name of the container, if the finding is about a container.")
    actual: AnyValue = Field(None, description="Actual value. Absent if the field is unset.")
    expected: str = Field("", description="Expected value.")
    message: str = Field("", description="Human-readable message with both values.")
    exemption: ReportedExemption | None = Field(None, description="Exemption that covers the finding.")
    known: Flag = Field(False, description="Whether the finding is in the baseline.")


class ReportedCheck(StrictModel):
    """Result of one requirement."""

    name: Text = Field(description="Id of the requirement, which is its key in the specification.")
    title: str = Field("", description="Title of the requirement.")
    category: str = Field("", description="Section of the specification.")
    status: Literal["Pass", "Fail", "Error", "Skip"] = Field(
        description="Verdict. Error: could not be evaluated. Skip: there were no objects to examine."
    )
    severity: Literal["Low", "Medium", "High", "Critical"] | None = Field(
        None, description="Severity of a violation."
    )
    message: str = Field("", description="The result in one line.")
    remediation: str = Field("", description="How to fix a violation.")
    examined: Count = Field(0, description="Number of objects that were examined.")
    findings_total: Count = Field(0, description="Number of violations that are not covered by an exemption.")
    exempt_total: Count = Field(0, description="Number of violations that are covered by an exemption.")
    findings: list[ReportedFinding] = Field(
        default_factory=list, description="The violations, or the first of them; see `truncated`."
    )
    details: AnyValue = Field(None, description="Evidence, in any form.")


class ReportSummary(StrictModel):
    """Counts of checks; findings are counted apart."""

    total: Count = Field(description="All checks.")
    passed: Count = Field(description="Number of checks that passed.")
    failed: Count = Field(description="Number of checks that failed.")
    pass_rate: Percent | None = Field(
        None,
        description="Percentage of passed checks among those that passed, failed or "
        "could not be evaluated. Unset: nothing "
        "was evaluated.",
    )
    errors: Count = Field(0, description="Number of checks that could not be evaluated.")
    skipped: Count = Field(0, description="Number of checks that had no objects to examine.")
    not_selected: Count = Field(
        0,
        description="Number of checks that the run did not select; 0 if it ran the whole specification.",
    )
    exempt: Count = Field(0, description="Number of findings that are covered by an exemption.")
    findings: Count = Field(0, description="Number of findings that are not covered by an exemption.")
    score: Annotated[float, Field(ge=0, le=100)] | None = Field(
        None, description="Score weighted by severity, 0 to 100. Unset: nothing was evaluated."
    )


class ComplianceReportSpec(StrictModel):
    """One specification on one cluster at one time."""

    cluster_spec_ref: SpecRef = Field(description="The specification.")
    cluster_name: Text = Field(description="Name of the cluster in the scan.")
    cluster_uid: str = Field(
        "", alias="clusterUID", description="UID of the namespace kube-system of the cluster."
    )
    cluster_version: str = Field("", description="Version of the API server.")
    scan_time: TimeStamp = Field(description="Time when the scan ended.")
    summary: ReportSummary = Field(description="Totals. They are exact even if findings are truncated.")
    results: list[ReportedCheck] = Field(default_factory=list, description="Result of each check, by name.")
    not_selected: list[str] = Field(
        default_factory=list,
        description="Requirements that the run did not select, the first 256. Their number is `summary.notSelected`.",
    )
    truncated: Flag = Field(
        False, description="Whether findings or evidence were truncated to limit the size of the object."
    )
    full_report: str = Field("", description="Location of the full result, if it was truncated.")
    tool: str = Field("", description="Program and version that wrote the report.")


class ComplianceReportStatus(Observed):
    """Whether the report is complete."""

    phase: Literal["Pending", "Completed", "Failed"] = Field(
        "Pending", description="Phase. Failed: something could not be evaluated."
    )
    report_url: str = Field("", alias="reportURL", description="URL of the full report, if it has one.")
