"""DriftConfig: which clusters are watched for drift, when, and what is done about it.

Nothing is changed in a cluster unless `remediation.strategy` says `Apply`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pytest_kspec.crds.models.base import Age, Count, Flag, Interval, Observed, Text, TimeStamp
from pytest_kspec.crds.models.driftreport import DriftKind, DriftSeverity
from pytest_kspec.spec import times as declared
from pytest_kspec.spec.everything import matches_all
from pytest_kspec.spec.twins import StrictModel, pydantic_type

if TYPE_CHECKING:
    from pytest_kspec.spec.times import Schedule, TimeZone
else:
    Schedule, TimeZone = map(pydantic_type, (declared.Schedule, declared.TimeZone))


class IgnoredDrift(StrictModel):
    """Differences to ignore; all given fields must match."""

    kind: str = Field("", description="Kind of the object. Empty: any.")
    namespace: str = Field("", description="Namespace of the object; `*` and `?` are wildcards. Empty: any.")
    name: str = Field("", description="Name of the object; `*` and `?` are wildcards. Empty: any.")
    fields: list[Text] = Field(
        default_factory=list,
        description="Paths of fields; each includes its subfields. Empty: the whole object.",
    )
    reason: str = Field("", description="Reason why they are ignored.")

    @model_validator(mode="after")
    def _selects(self) -> IgnoredDrift:
        if not (self.kind or self.namespace or self.name or self.fields):
            raise ValueError(
                "an empty entry would ignore everything: name a kind, namespace, name or fields."
            )
        return self


def _some(entries: list[IgnoredDrift]) -> list[IgnoredDrift]:
    """Raises ValueError where entries by names alone match every name, each or together."""
    alike = [one for one in entries if not one.kind and not one.fields]
    by_name = [
        one.name
        for one in alike
        if one.name and (not one.namespace or matches_all([one.namespace], "namespaces"))
    ]
    by_namespace = [
        one.namespace
        for one in alike
        if one.namespace and (not one.name or matches_all([one.name], "objects"))
    ]
    if matches_all(by_name, "objects") or matches_all(by_namespace, "namespaces"):
        raise ValueError(
            "its patterns match every name, so this would ignore everything: name kinds or fields."
        )
    return entries


Ignored = Annotated[list[IgnoredDrift], AfterValidator(_some)]


class DriftRemediation(StrictModel):
    """What is done about a difference."""

    strategy: Literal["Report", "DryRun", "Apply"] = Field(
        "Report",
        description="Report: only report differences. DryRun: send corrections as "
        "dry runs. Apply: correct differences.",
    )
    types: list[DriftKind] = Field(
        default_factory=list,
        description="Types of drift to correct. Only Policy can be corrected. Empty: Policy.",
    )
    delete_extra: Flag = Field(
        False, description="Whether to delete policies that are not generated from any specification."
    )
    max_changes: Annotated[int, Field(strict=True, ge=1, le=1000)] = Field(
        20, description="Maximum number of corrections in one run. Further differences are only reported."
    )


class DriftRetention(StrictModel):
    """How many reports are kept, and for how long. What comes first counts."""

    max_reports: Annotated[int, Field(strict=True, ge=1, le=1000)] = Field(
        30, description="Number of reports to keep for each specification and cluster."
    )
    max_age: Age | None = Field(
        None,
        description="Age after which a report is deleted, such as 30d. "
        "Unset: reports are not deleted by age.",
    )


class SnapshotRef(StrictModel):
    """ConfigMap with a snapshot."""

    name: Text = Field(description="Name of the ConfigMap in the namespace of the DriftConfig.")
    key: str = Field("", description="Key in the binaryData of the ConfigMap. Empty: snapshot.tar.gz.")


LAST_GOOD_RUN = "LastGoodRun"


class RecordedObjects(StrictModel):
    """Objects that are compared with those of a snapshot, or of the last good run."""

    kinds: Annotated[list[Text], Field(min_length=1, max_length=100)] = Field(
        description="Kinds to compare, such as Deployment, Deployment.apps or deployments.apps."
    )
    baseline: Literal["Snapshot", "LastGoodRun"] = Field(
        "Snapshot",
        description="What objects are compared with. Snapshot: those in `snapshotRef`. LastGoodRun: those of the "
        "last run of the DriftConfig in which all its specifications were met; needs an operator with a store.",
    )
    snapshot_ref: SnapshotRef | None = Field(
        None,
        description="ConfigMap with a snapshot of these kinds (`kspec snapshot --kinds`). Required for the baseline "
        "Snapshot.",
    )

    @model_validator(mode="after")
    def _one_baseline(self) -> RecordedObjects:
        if (self.baseline == LAST_GOOD_RUN) == (self.snapshot_ref is not None):
            raise ValueError(
                "the baseline Snapshot needs snapshotRef, and LastGoodRun cannot be combined with it."
            )
        return self


class DriftConfigSpec(StrictModel):
    """What is compared, when, and what is done about differences."""

    enabled: Flag = Field(True, description="Whether drift detection is enabled.")
    cluster_specs: list[Text] = Field(
        default_factory=list,
        description="Names of ClusterSpecifications; `*` and `?` are wildcards. Empty: all.",
    )
    clusters: list[Text] = Field(
        default_factory=list,
        description="Names of clusters; `*` and `?` are wildcards. Empty: the clusters of the specifications.",
    )
    interval: Interval | None = Field(
        None,
        description="Interval between two runs, such as 5m: from 5s to a year. Cannot be combined with schedule.",
    )
    schedule: Schedule | None = Field(
        None, description="Cron schedule of five fields. Default: every 5 minutes."
    )
    timezone: TimeZone = Field("UTC", description="IANA time zone of the schedule.")
    types: list[DriftKind] = Field(
        default_factory=list,
        description="Types of drift to detect. Compliance needs an operator with a store, Configuration needs "
        "`configuration`. Empty: Policy.",
    )
    configuration: RecordedObjects | None = Field(
        None, description="Objects to compare, for drift of type Configuration."
    )
    min_severity: DriftSeverity = Field(
        "low", description="Minimum severity. Differences below it are not reported."
    )
    ignore: Ignored = Field(
        default_factory=list,
        description="Differences to ignore. A difference is ignored if it "
        "matches all fields that an entry sets.",
    )
    remediation: DriftRemediation | None = Field(
        None, description="How differences are corrected. Unset: they are only reported."
    )
    retention: DriftRetention | None = Field(None, description="How many reports are kept, and for how long.")

    @model_validator(mode="after")
    def _one_clock(self) -> DriftConfigSpec:
        if self.interval is not None and self.schedule is not None:
            raise ValueError("interval and schedule cannot be combined.")
        return self


class DriftConfigStatus(Observed):
    """Observed state: the last comparison."""

    last_run_time: TimeStamp | None = Field(None, description="Time of the run.")
    next_run_time: TimeStamp | None = Field(None, description="Time of the next run.")
    baseline_time: TimeStamp | None = Field(
        None,
        description="Time of the last run whose scans evaluated everything. The next run compares requirements with "
        "the last scan before it.",
    )
    good_run_time: TimeStamp | None = Field(
        None,
        description="Time of the last good run, with which objects are compared. Unset: there is none, or they are "
        "compared with a snapshot.",
    )
    drift_detected: Flag | None = Field(None, description="Whether there were differences.")
    total_events: Count | None = Field(None, description="Number of differences. Unset: not known.")
    remediated_events: Count | None = Field(
        None, description="Number of corrected differences. Unset: not known."
    )
