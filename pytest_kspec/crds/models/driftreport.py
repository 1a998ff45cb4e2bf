"""DriftReport: what of a cluster is not as it was, or not as it was made, and what was done about it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pytest_kspec.crds.models.base import AnyValue, Observed, SpecRef, TimeStamp
from pytest_kspec.spec.base import Count, Flag, SpecModel, Text

DriftKind = Literal["Policy", "Compliance", "Configuration"]
DriftSeverity = Literal["low", "medium", "high", "critical"]


class DriftedObject(SpecModel):
    """The object that differs."""

    api_version: str = Field("", description="apiVersion of the object.")
    kind: str = Field("", description="Kind of the object; empty: the cluster itself.")
    namespace: str = Field("", description="Its namespace, if it is in one.")
    name: str = Field("", description="Its name.")
    path: str = Field("", description="Path of the field that differs.")


class Remediation(SpecModel):
    """What was done, or is to be done."""

    action: Literal["create", "update", "delete", "report", "manual-required", "skip", "none"] = Field(
        description="manual-required: a person must decide."
    )
    status: Literal[
        "success", "failed", "pending", "manual-required", "detected", "remediated", "skipped"
    ] = Field("pending", description="What came of it.")
    applied_at: TimeStamp | None = Field(None, description="When it was done.")
    error: str = Field("", description="Why it failed.")
    details: str = Field("", description="What would be, or was, changed.")


class DriftEvent(SpecModel):
    """One difference."""

    type: DriftKind = Field(
        description="Policy: a generated policy. Compliance: a check that passed before. Configuration: an object."
    )
    severity: DriftSeverity | None = Field(None, description="How much it matters.")
    resource: DriftedObject | None = Field(None, description="The object that differs.")
    drift_type: Literal["deleted", "missing", "modified", "added", "extra", "violation"] = Field(
        description="How it differs; deleted and missing say the same, and so do added and extra."
    )
    check: str = Field("", description="Id of the check, of Compliance events.")
    message: str = Field("", description="The difference, for people.")
    expected: AnyValue = Field(None, description="What should be there.")
    actual: AnyValue = Field(None, description="What is there.")
    timestamp: TimeStamp | None = Field(None, description="When it was seen first.")
    remediation: Remediation | None = Field(None, description="What was done about it.")


class DriftReportSpec(SpecModel):
    """The differences of one look at one cluster."""

    cluster_spec_ref: SpecRef = Field(description="The specification.")
    cluster_name: Text = Field(description="The cluster.")
    cluster_uid: str = Field("", alias="clusterUID", description="UID of its namespace kube-system.")
    detection_time: TimeStamp = Field(description="When it was looked at.")
    drift_detected: Flag = Field(description="Whether there is any difference.")
    severity: DriftSeverity | None = Field(None, description="The highest severity of its events.")
    events: Annotated[list[DriftEvent], Field(max_length=5000)] = Field(
        default_factory=list, description="The differences, or the first of them: see `truncated`."
    )
    truncated: Flag = Field(False, description="Whether events were cut to keep the object small.")
    full_report: str = Field("", description="Where all events are, if some were cut.")


class DriftReportStatus(Observed):
    """What came of the differences. Totals are exact also where events are cut."""

    phase: Literal["Pending", "InProgress", "Completed", "Failed"] = Field(
        "Pending", description="Where the remediation stands."
    )
    total_events: Count = Field(0, description="All differences.")
    remediated_events: Count = Field(0, description="Differences that were corrected.")
    pending_events: Count = Field(0, description="Differences that are still there.")
