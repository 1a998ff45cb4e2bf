"""DriftReport: what of a cluster is not as it was, or not as it was made, and what was done about it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pytest_kspec.crds.models.base import AnyValue, Count, Flag, Observed, SpecRef, Text, TimeStamp
from pytest_kspec.spec.twins import StrictModel

DriftKind = Literal["Policy", "Compliance", "Configuration"]
DriftSeverity = Literal["low", "medium", "high", "critical"]


class DriftedObject(StrictModel):
    """Object that differs."""

    api_version: str = Field("", description="apiVersion of the object.")
    kind: str = Field("", description="Kind of the object. Empty: the cluster itself.")
    namespace: str = Field("", description="Namespace of the object, if it has one.")
    name: str = Field("", description="Name of the object.")
    path: str = Field("", description="Path of the field that differs.")


class Remediation(StrictModel):
    """What was done, or is to be done."""

    action: Literal["create", "update", "delete", "report", "manual-required", "skip", "none"] = Field(
        description="Outcome of the correction. manual-required: a manual decision is needed."
    )
    status: Literal[
        "success", "failed", "pending", "manual-required", "detected", "remediated", "skipped"
    ] = Field("pending", description="Outcome of the correction.")
    applied_at: TimeStamp | None = Field(None, description="Time of the correction.")
    error: str = Field("", description="Error, if the correction failed.")
    details: str = Field("", description="Changes that were made, or that a dry run would make.")


class DriftEvent(StrictModel):
    """One difference."""

    type: DriftKind = Field(
        description="Type of drift. Policy: a generated policy. Compliance: a check "
        "that passed before. Configuration: an object."
    )
    severity: DriftSeverity | None = Field(None, description="Severity of the difference.")
    resource: DriftedObject | None = Field(None, description="Object that differs.")
    drift_type: Literal["deleted", "missing", "modified", "added", "extra", "violation"] = Field(
        description="Kind of difference. deleted and missing are synonyms, as are added and extra."
    )
    check: str = Field("", description="Id of the check, for Compliance events.")
    message: str = Field("", description="Human-readable description of the difference.")
    expected: AnyValue = Field(None, description="Expected value.")
    actual: AnyValue = Field(None, description="Actual value.")
    timestamp: TimeStamp | None = Field(None, description="Time when the difference was first detected.")
    remediation: Remediation | None = Field(None, description="Correction of the difference.")


class DriftReportSpec(StrictModel):
    """The differences that one comparison found in one cluster."""

    cluster_spec_ref: SpecRef = Field(description="The specification.")
    cluster_name: Text = Field(description="The cluster.")
    cluster_uid: str = Field(
        "", alias="clusterUID", description="UID of the namespace kube-system of the cluster."
    )
    detection_time: TimeStamp = Field(description="Time of the run.")
    drift_detected: Flag = Field(description="Whether there are differences.")
    severity: DriftSeverity | None = Field(None, description="Highest severity of the events.")
    events: Annotated[list[DriftEvent], Field(max_length=5000)] = Field(
        default_factory=list, description="The differences, or the first of them; see `truncated`."
    )
    truncated: Flag = Field(
        False, description="Whether events were truncated to limit the size of the object."
    )
    full_report: str = Field("", description="Location of all events, if they were truncated.")


class DriftReportStatus(Observed):
    """Status of the differences. Totals are exact even if events are truncated."""

    phase: Literal["Pending", "InProgress", "Completed", "Failed"] = Field(
        "Pending", description="Phase of the remediation."
    )
    total_events: Count = Field(0, description="All differences.")
    remediated_events: Count = Field(0, description="Number of corrected differences.")
    pending_events: Count = Field(0, description="Number of remaining differences.")
