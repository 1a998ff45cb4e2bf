"""The status of a ClusterSpecification. Its spec is `spec.ClusterSpecification`, the same as in a file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pytest_kspec.crds.models.base import Observed, Percent, TimeStamp
from pytest_kspec.spec.base import Count, Flag, SpecModel


class SpecificationSummary(SpecModel):
    """Counts of the last evaluation."""

    total_checks: Count = Field(0, description="Checks that were evaluated or skipped.")
    passed_checks: Count = Field(0, description="Checks that passed.")
    failed_checks: Count = Field(0, description="Checks that failed.")
    error_checks: Count = Field(0, description="Checks that could not be evaluated.")
    skipped_checks: Count = Field(0, description="Checks that had nothing to examine.")
    policies_enforced: Count = Field(0, description="Policies that are applied.")
    drift_events: Count = Field(0, description="Differences found at the last look.")


class EnforcementStatus(SpecModel):
    """What enforcement has come to."""

    active: Flag = Field(False, description="Whether policies are applied.")
    mode: str = Field("", description="Mode in which they are.")
    policies_generated: Count = Field(0, description="Policies that the specification gives.")
    last_enforcement_time: TimeStamp | None = Field(None, description="When they were last applied.")


class WebhookStatus(SpecModel):
    """How the admission webhook is."""

    active: Flag = Field(False, description="Whether it is registered.")
    certificate_ready: Flag = Field(False, description="Whether it has a valid certificate.")
    error_rate: float = Field(0, description="Share of requests that it could not decide, 0 to 1.")
    circuit_breaker_tripped: Flag = Field(False, description="Whether its circuit breaker is open.")


class ClusterSpecificationStatus(Observed):
    """What came of the specification."""

    phase: Literal["Pending", "Active", "Failed"] = Field("Pending", description="Where it stands.")
    last_scan_time: TimeStamp | None = Field(None, description="When it was last evaluated.")
    compliance_score: Percent | None = Field(
        None, description="Score, rounded down: 100 only if everything passed. Unset: nothing applied."
    )
    summary: SpecificationSummary | None = Field(None, description="Counts of the last evaluation.")
    enforcement: EnforcementStatus | None = Field(None, description="What enforcement has come to.")
    webhooks: WebhookStatus | None = Field(None, description="How the admission webhook is.")
