"""ComplianceReport: the result of one specification on one cluster, small enough to live in that cluster.

Totals are always exact. Findings are cut where they would make the object too large; then `truncated` says so
and `fullReport` where all of them are.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pytest_kspec.crds.models.base import AnyValue, Observed, Percent, SpecRef, TimeStamp
from pytest_kspec.spec.base import Count, Flag, SpecModel, Text


class ReportedObject(SpecModel):
    """An object of the cluster; without a kind the cluster itself."""

    api_version: str = Field("", description="apiVersion of the object.")
    kind: str = Field("", description="Kind of the object.")
    namespace: str = Field("", description="Its namespace, if it is in one.")
    name: str = Field("", description="Its name.")


class ReportedExemption(SpecModel):
    """The exemption that covers a finding."""

    name: Text = Field(description="Name of the exemption.")
    reason: str = Field("", description="Why the finding is accepted.")
    approver: str = Field("", description="Who accepted it.")
    expires_at: str = Field("", description="Until when; empty: without end.")


class ReportedFinding(SpecModel):
    """One violation, on one object or on all pods of one owner."""

    resource: ReportedObject = Field(description="The object that holds the field.")
    owner: ReportedObject | None = Field(None, description="Its topmost controller, if it has one.")
    count: Annotated[int, Field(strict=True, ge=1)] = Field(1, description="How many objects it stands for.")
    path: str = Field("", description="Path of the field in the object.")
    container: str = Field("", description="Name of the container, if it is about one.")
    actual: AnyValue = Field(None, description="What is there; absent: the field is unset.")
    expected: str = Field("", description="What should be there.")
    message: str = Field("", description="Both, for people.")
    exemption: ReportedExemption | None = Field(None, description="The exemption that covers it.")
    known: Flag = Field(False, description="Whether the baseline has it.")


class ReportedCheck(SpecModel):
    """What became of one requirement."""

    name: Text = Field(description="Id of the requirement, which is its key in the specification.")
    title: str = Field("", description="What is asked.")
    category: str = Field("", description="Section of the specification.")
    status: Literal["Pass", "Fail", "Error", "Skip"] = Field(
        description="Error: it could not be evaluated. Skip: there was nothing to examine."
    )
    severity: Literal["Low", "Medium", "High", "Critical"] | None = Field(
        None, description="How much a violation matters."
    )
    message: str = Field("", description="The result in one line.")
    remediation: str = Field("", description="What to do about a violation.")
    examined: Count = Field(0, description="How many objects were looked at.")
    findings_total: Count = Field(0, description="Violations that no exemption covers.")
    exempt_total: Count = Field(0, description="Violations that an exemption covers.")
    findings: list[ReportedFinding] = Field(
        default_factory=list, description="The violations, or the first of them: see `truncated`."
    )
    details: AnyValue = Field(None, description="Evidence of any shape.")


class ReportSummary(SpecModel):
    """Counts of checks; findings are counted apart."""

    total: Count = Field(description="All checks.")
    passed: Count = Field(description="Checks that passed.")
    failed: Count = Field(description="Checks that failed.")
    pass_rate: Percent | None = Field(
        None,
        description="Passed checks of those that passed, failed or could not be evaluated, in percent. Unset: nothing "
        "was evaluated.",
    )
    errors: Count = Field(0, description="Checks that could not be evaluated.")
    skipped: Count = Field(0, description="Checks that had nothing to examine.")
    exempt: Count = Field(0, description="Findings that an exemption covers.")
    findings: Count = Field(0, description="Findings that no exemption covers.")
    score: Annotated[float, Field(ge=0, le=100)] | None = Field(
        None, description="Score weighted by severity, 0 to 100. Unset: nothing was evaluated."
    )


class ComplianceReportSpec(SpecModel):
    """One specification on one cluster at one time."""

    cluster_spec_ref: SpecRef = Field(description="The specification.")
    cluster_name: Text = Field(description="The cluster, as it was named for the scan.")
    cluster_uid: str = Field("", alias="clusterUID", description="UID of its namespace kube-system.")
    cluster_version: str = Field("", description="Version of its API server.")
    scan_time: TimeStamp = Field(description="When the scan ended.")
    summary: ReportSummary = Field(description="Totals; exact also where findings are cut.")
    results: list[ReportedCheck] = Field(default_factory=list, description="Each check, by name.")
    truncated: Flag = Field(False, description="Whether something was cut to keep the object small.")
    full_report: str = Field("", description="Where everything is, if something was cut.")
    tool: str = Field("", description="Program and version that wrote it.")


class ComplianceReportStatus(Observed):
    """Whether the report is whole."""

    phase: Literal["Pending", "Completed", "Failed"] = Field(
        "Pending", description="Failed: something could not be evaluated."
    )
    report_url: str = Field(
        "", alias="reportURL", description="Where the full report is, if it has an address."
    )
