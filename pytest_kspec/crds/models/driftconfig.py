"""DriftConfig: which clusters are watched for drift, when, and what is done about it.

Nothing is changed in a cluster unless `remediation.strategy` says `Apply`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pytest_kspec.crds.models.base import Interval, Observed, TimeStamp
from pytest_kspec.crds.models.driftreport import DriftKind, DriftSeverity
from pytest_kspec.spec.base import Count, Flag, SpecModel, Text
from pytest_kspec.spec.times import Schedule, TimeZone


class IgnoredDrift(SpecModel):
    """Differences that are none; all that is given must match."""

    kind: str = Field("", description="Kind of the object; empty: any.")
    namespace: str = Field("", description="Its namespace; `*` and `?` are wildcards; empty: any.")
    name: str = Field("", description="Its name; `*` and `?` are wildcards; empty: any.")
    fields: list[Text] = Field(
        default_factory=list, description="Paths of fields, with all below them. Empty: the whole object."
    )
    reason: str = Field("", description="Why.")

    @model_validator(mode="after")
    def _selects(self) -> IgnoredDrift:
        if not (self.kind or self.namespace or self.name or self.fields):
            raise ValueError(
                "an empty entry would ignore everything: name a kind, namespace, name or fields."
            )
        return self


class DriftRemediation(SpecModel):
    """What is done about a difference."""

    strategy: Literal["Report", "DryRun", "Apply"] = Field(
        "Report",
        description="Report: nothing. DryRun: ask the API server what a correction would do. Apply: correct it.",
    )
    types: list[DriftKind] = Field(
        default_factory=list,
        description="Types that are corrected; of Compliance drift a person decides. Empty: Policy.",
    )
    delete_extra: Flag = Field(False, description="Whether policies that no specification gives are deleted.")
    max_changes: Annotated[int, Field(strict=True, ge=1, le=1000)] = Field(
        20, description="Most corrections of one run; more than that are left, and reported."
    )


class DriftRetention(SpecModel):
    """How long reports are kept. What comes first counts."""

    max_reports: Annotated[int, Field(strict=True, ge=1, le=1000)] = Field(
        30, description="Newest reports that are kept, for each specification and cluster."
    )
    max_age: Interval | None = Field(None, description="Age after which a report goes: 30d. Unset: none.")


class DriftConfigSpec(SpecModel):
    """What is watched, when, and what is done."""

    enabled: Flag = Field(True, description="Whether it is in force.")
    cluster_specs: list[Text] = Field(
        default_factory=list, description="ClusterSpecifications; `*` and `?` are wildcards. Empty: all."
    )
    clusters: list[Text] = Field(
        default_factory=list,
        description="Clusters; `*` and `?` are wildcards. Empty: those of the specifications.",
    )
    interval: Interval | None = Field(None, description="Time between two looks: 5m. Not with a schedule.")
    schedule: Schedule | None = Field(
        None, description="Cron schedule of five fields. Default: every 5 minutes."
    )
    timezone: TimeZone = Field("UTC", description="IANA time zone of the schedule.")
    types: list[DriftKind] = Field(default_factory=list, description="Types that are looked for. Empty: all.")
    min_severity: DriftSeverity = Field("low", description="Differences below it are not reported.")
    ignore: list[IgnoredDrift] = Field(default_factory=list, description="Differences that are none.")
    remediation: DriftRemediation | None = Field(None, description="What is done. Unset: they are reported.")
    retention: DriftRetention | None = Field(None, description="How long reports are kept.")

    @model_validator(mode="after")
    def _one_clock(self) -> DriftConfigSpec:
        if self.interval is not None and self.schedule is not None:
            raise ValueError("interval and schedule contradict each other: set one of them.")
        return self


class DriftConfigStatus(Observed):
    """The last look."""

    last_run_time: TimeStamp | None = Field(None, description="When it was.")
    next_run_time: TimeStamp | None = Field(None, description="When the next one is due.")
    drift_detected: Flag | None = Field(None, description="Whether there was any difference.")
    total_events: Count = Field(0, description="How many differences there were.")
    remediated_events: Count = Field(0, description="How many of them were corrected.")
