"""The status of a ClusterSpecification. Its spec is `spec.ClusterSpecification`, the same as in a file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from pytest_kspec.crds.models.base import Count, Flag, Observed, Percent, Text, TimeStamp
from pytest_kspec.spec.twins import StrictModel


class SpecificationSummary(StrictModel):
    """Counts of the last evaluation, and of policies, each as far as it is known."""

    total_checks: Count | None = Field(None, description="Number of checks that were evaluated or skipped.")
    passed_checks: Count | None = Field(None, description="Number of checks that passed.")
    failed_checks: Count | None = Field(None, description="Number of checks that failed.")
    error_checks: Count | None = Field(None, description="Number of checks that could not be evaluated.")
    skipped_checks: Count | None = Field(None, description="Number of checks that had no objects to examine.")
    policies_enforced: Count | None = Field(
        None, description="Number of policies that are in force. Unset: not known."
    )
    drift_events: Count | None = Field(
        None, description="Number of policies that differ from what was applied. Unset: unknown."
    )


class EnforcedClusters(StrictModel):
    """Clusters of a specification that names or selects them, by what became of its policies. Each is counted once."""

    selected: Count = Field(0, description="Number of clusters that are selected.")
    allowed: Count = Field(0, description="Number of these that allow enforcement.")
    in_force: Count = Field(0, description="Number of clusters on which the policies are in force.")
    differ: Count = Field(0, description="Number of clusters whose policies were changed by others.")
    away: Count = Field(0, description="Number of clusters that do not answer.")
    failed: Count = Field(0, description="Number of clusters on which some policies could not be applied.")
    waiting: Count = Field(0, description="Number of clusters that were not tried yet.")


class EnforcementStatus(StrictModel):
    """Status of the enforcement."""

    active: Flag = Field(False, description="Whether policies are applied.")
    mode: str = Field("", description="Mode of the applied policies.")
    engines: list[str] = Field(default_factory=list, description="Engines whose policies are applied.")
    specification_digest: str = Field(
        "",
        description="Digest of the specification and its bases, and of the version of kspec, for which policies were "
        "applied.",
    )
    policies_generated: Count = Field(
        0, description="Number of policies that are generated from the specification."
    )
    last_enforcement_time: TimeStamp | None = Field(None, description="Time when policies were last applied.")
    clusters: EnforcedClusters | None = Field(
        None,
        description="Clusters by the state of their policies. Unset if the specification is for the cluster of the "
        "operator only.",
    )


class WebhookStatus(StrictModel):
    """Status of the admission webhook."""

    active: Flag = Field(False, description="Whether the webhook is registered.")
    certificate_ready: Flag = Field(False, description="Whether the webhook has a valid certificate.")
    error_rate: float | None = Field(
        None, description="Share of requests that could not be evaluated, 0 to 1. Unset if not known."
    )
    circuit_breaker_tripped: Flag | None = Field(
        None, description="Whether the circuit breaker is open. Unset if not known."
    )


class SelectedClusters(StrictModel):
    """Clusters of a specification that names or selects them."""

    selected: Count = Field(0, description="Number of ClusterTargets that were selected.")
    duplicates: Count = Field(
        0, description="Number of these that are another name of a cluster that was scanned."
    )
    scanned: Count = Field(0, description="Number of clusters that were scanned.")
    compliant: Count = Field(0, description="Number of scanned clusters that meet every requirement.")
    failing: Count = Field(0, description="Number of scanned clusters with a requirement that is not met.")
    not_evaluated: Count = Field(
        0,
        description="Number of scanned clusters with a requirement that could not be evaluated, and none that failed.",
    )
    unreachable: Count = Field(
        0, description="Number of clusters that did not answer or did not accept the credentials."
    )
    not_scanned: Count = Field(0, description="Number of clusters whose scan did not finish.")


class ClusterOutcome(StrictModel):
    """Result of one cluster."""

    name: Text = Field(description="Name of the ClusterTarget.")
    outcome: str = Field(
        "", description="scanned, unreachable, refused, failed or not-scanned, as in kspec fleet report."
    )
    compliance_score: Percent | None = Field(
        None, description="Score, rounded down. Unset unless the cluster was scanned."
    )
    failed_checks: Count = Field(0, description="Number of checks that failed.")
    error_checks: Count = Field(0, description="Number of checks that could not be evaluated.")
    unreachable_since: TimeStamp | None = Field(
        None, description="Time since when the cluster does not answer. Unset if it was scanned."
    )
    consecutive_failures: Count | None = Field(
        None, description="Number of connection attempts that failed since then, if known."
    )
    message: str = Field("", description="Reason why the cluster was not scanned.")


class ClusterSpecificationStatus(Observed):
    """Observed state of the specification."""

    phase: Literal["Pending", "Active", "Failed"] = Field(
        "Pending", description="Phase of the specification."
    )
    last_scan_time: TimeStamp | None = Field(None, description="Time of the last evaluation.")
    next_scan_time: TimeStamp | None = Field(None, description="Time of the next evaluation.")
    compliance_score: Percent | None = Field(
        None,
        description="Score, rounded down; 100 only if everything passed. Unset if no requirement applied.",
    )
    summary: SpecificationSummary | None = Field(None, description="Counts of the last evaluation.")
    clusters: SelectedClusters | None = Field(
        None,
        description="Clusters of the last evaluation by outcome. Unset if the specification is for the cluster of the "
        "operator only.",
    )
    worst_clusters: Annotated[list[ClusterOutcome], Field(max_length=10)] = Field(
        default_factory=list,
        description="Clusters that are not compliant: those that were not scanned, then those with the lowest scores.",
    )
    unreachable_since: TimeStamp | None = Field(
        None,
        description="Time since when at least one cluster of the specification does not answer. Unset if all do.",
    )
    run: str = Field(
        "", description="Id of the last run over these clusters, as in kspec fleet report --run."
    )
    enforcement: EnforcementStatus | None = Field(None, description="Status of the enforcement.")
    webhooks: WebhookStatus | None = Field(None, description="Status of the admission webhook.")
