"""Sections of a specification that concern enforcement: webhook, scope, times. Validated here, not evaluated
by a scan.

The predecessor accepted these and ignored most of them in silence; here a value that could not mean what its
author thinks is an error, and a scan lists each such section as not evaluated (`NOT_EVALUATED`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from pytest_kspec.model.spec_base import Flag, SpecModel, Text
from pytest_kspec.model.spec_time import DayTime, Moment, TimeZone

NOT_EVALUATED = {
    "enforcement": "enforcement is not part of a scan",
    "webhooks": "the webhook is not part of a scan",
    "policyTemplate": "policy templates are not evaluated in this version",
    "policyInheritance": "policy inheritance is not evaluated in this version",
    "namespaceScope": "limits enforcement only; a scan examines every namespace",
    "timeBasedActivation": "limits enforcement only; a scan runs at any time",
    "workloads.images.requireSignatures": "image signatures are not evaluated in this version",
    "clusterRef.namespace": "a scan looks up no ClusterTarget; its name is taken as a cluster reference",
    "compliance.frameworks": "control mappings are not evaluated in this version",
}

Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]


class Enforcement(SpecModel):
    """Whether and how the specification is enforced."""

    enabled: Flag = Field(False, description="Whether policies are applied.")
    mode: Literal["monitor", "audit", "enforce"] = Field("monitor", description="What a violation leads to.")
    auto_remediate: Flag = Field(False, description="Whether drift is corrected.")


class Certificate(SpecModel):
    """Where the webhook's certificate comes from."""

    issuer: str = Field("", description="Name of the cert-manager issuer.")
    issuer_kind: Literal["ClusterIssuer", "Issuer"] = Field(
        "ClusterIssuer", description="Kind of the issuer."
    )


class Webhooks(SpecModel):
    """The admission webhook."""

    enabled: Flag = Field(False, description="Whether the webhook is registered.")
    failure_policy: Literal["Ignore", "Fail"] = Field(
        "Ignore", description="What happens when it does not answer."
    )
    timeout_seconds: Annotated[int, Field(strict=True, ge=1, le=30)] = Field(
        10, description="Seconds, 1 to 30."
    )
    certificate: Certificate | None = Field(None, description="Where its certificate comes from.")


class PolicyTemplate(SpecModel):
    """A template that policies start from."""

    name: Text = Field(description="Name of the template.")
    parameters: dict[str, Any] = Field(default_factory=dict, description="Values of its parameters.")


class PolicyInheritance(SpecModel):
    """Specifications that this one builds on."""

    base_policies: list[Text] = Field(default_factory=list, description="Names of specifications.")
    merge_strategy: Literal["merge", "override", "append"] = Field(
        "merge", description="How they are combined."
    )


class LabelRequirement(SpecModel):
    """One expression of a label selector."""

    key: Text = Field(description="Label.")
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"] = Field(description="How it is compared.")
    values: list[str] = Field(default_factory=list, description="Values for In and NotIn.")

    @model_validator(mode="after")
    def _values_fit(self) -> LabelRequirement:
        if (self.operator in ("In", "NotIn")) != bool(self.values):
            raise ValueError(
                f"operator {self.operator} takes {'no' if self.values else 'at least one of'} values."
            )
        return self


class LabelSelector(SpecModel):
    """A Kubernetes label selector."""

    match_labels: dict[str, str] = Field(default_factory=dict, description="Labels with these values.")
    match_expressions: list[LabelRequirement] = Field(
        default_factory=list, description="Expressions, all true."
    )


class NamespaceScope(SpecModel):
    """Namespaces that are enforced."""

    include_namespaces: list[Text] = Field(default_factory=list, description="Only these. Empty: all.")
    exclude_namespaces: list[Text] = Field(
        default_factory=list, description="Not these; wins over the others."
    )
    namespace_selector: LabelSelector | None = Field(None, description="Only namespaces with these labels.")


def _cron(value: str) -> str:
    fields = value.split()
    if len(fields) != 5 and not (len(fields) == 1 and value.startswith("@")):
        raise ValueError(f"{value!r} is no cron schedule: it has {len(fields)} fields instead of 5.")
    return value


class ActivePeriod(SpecModel):
    """A period in which the specification is enforced. An end before its start is on the next day."""

    start_time: DayTime | None = Field(None, description="HH:MM.")
    end_time: DayTime | None = Field(None, description="HH:MM; before startTime: on the next day.")
    days_of_week: list[Day] = Field(
        default_factory=list, description="Days on which it starts. Empty: every day."
    )
    start_date: Moment | None = Field(None, description="First moment.")
    end_date: Moment | None = Field(None, description="Last moment.")

    @model_validator(mode="after")
    def _both_times(self) -> ActivePeriod:
        if (self.start_time is None) != (self.end_time is None):
            raise ValueError("startTime and endTime belong together: set both or none.")
        if self.start_time is not None and self.start_time == self.end_time:
            raise ValueError("startTime and endTime are equal, so the period is empty.")
        if not self.model_fields_set:
            raise ValueError("an empty period says nothing: set times, days or dates.")
        return self


class TimeBasedActivation(SpecModel):
    """When the specification is enforced."""

    enabled: Flag = Field(False, description="Whether it is limited to the active periods.")
    schedule: Annotated[str, AfterValidator(_cron)] | None = Field(
        None, description="Cron schedule of five fields."
    )
    timezone: TimeZone = Field("UTC", description="IANA time zone of the times.")
    active_periods: list[ActivePeriod] = Field(
        default_factory=list, description="Periods, of which one is enough."
    )

    @model_validator(mode="after")
    def _some_period(self) -> TimeBasedActivation:
        if self.enabled and not self.active_periods and self.schedule is None:
            raise ValueError("enabled without activePeriods would never be active.")
        return self
