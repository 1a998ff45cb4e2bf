"""Sections of a specification that say how it is put together, where and when it holds, and how it is enforced.

A value that could not mean what its author thinks is an error here. What a scan does not evaluate is listed in
`NOT_EVALUATED`, so that it says so. What scope and times mean is in `scope` and `activation`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from pytest_kspec.model.everything import matches_all
from pytest_kspec.model.globs import Globs, is_literal
from pytest_kspec.model.spec_base import Flag, Labels, NamespacePattern, SpecModel, Text
from pytest_kspec.model.spec_time import DayTime, Moment, TimeZone, zone

NOT_EVALUATED = {
    "enforcement": "enforcement is not part of a scan",
    "webhooks": "the webhook is not part of a scan",
    "clusterRef.namespace": "a scan looks up no ClusterTarget; its name is taken as a cluster reference",
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

    name: Text = Field(
        description="security-baseline, compliance-strict, a PolicyTemplate beside the specification or in templates/,"
        " or the path of its file."
    )
    parameters: dict[str, Any] = Field(default_factory=dict, description="Values of its parameters.")


class PolicyInheritance(SpecModel):
    """Specifications that this one builds on."""

    base_policies: Annotated[list[Text], Field(min_length=1)] = Field(
        description="Names of specifications in the same folder or in the same run, or paths of files."
    )
    merge_strategy: Literal["merge", "override", "append"] = Field(
        "merge",
        description="merge: this one's values hold, lists are joined. override: what is later holds, lists as a whole."
        " append: nothing inherited is changed.",
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

    match_labels: Labels = Field(default_factory=dict, description="Labels with these values.")
    match_expressions: list[LabelRequirement] = Field(
        default_factory=list, description="Expressions, all true."
    )


class NamespaceScope(SpecModel):
    """Namespaces that the specification speaks about. Objects that are in no namespace are always in scope."""

    include_namespaces: list[NamespacePattern] = Field(
        default_factory=list, description="Only these; `*` and `?` are wildcards. Empty: all."
    )
    exclude_namespaces: list[NamespacePattern] = Field(
        default_factory=list, description="Not these, whatever the others say; `*` and `?` are wildcards."
    )
    namespace_selector: LabelSelector | None = Field(
        None, description="Of those, only namespaces with these labels."
    )

    @model_validator(mode="after")
    def _some_namespace(self) -> NamespaceScope:
        if not self.exclude_namespaces:
            return self
        excluded = Globs(self.exclude_namespaces)
        names = self.include_namespaces or ["*"]
        none_of_them = all(is_literal(name) and excluded.match(name) for name in names)
        if none_of_them or matches_all(self.exclude_namespaces, "namespaces"):
            raise ValueError("excludeNamespaces leaves no namespace in scope.")
        return self


def _cron(value: str) -> str:
    from pytest_kspec.model import activation

    activation.cron(value)
    return value


def _duration(value: str) -> str:
    from pytest_kspec.model import activation

    activation.duration(value)
    return value


Schedule = Annotated[str, AfterValidator(_cron)]
Duration = Annotated[
    str,
    Field(
        json_schema_extra={
            "pattern": r"^(\d{1,3}d)?(\d{1,4}h)?(\d{1,5}m)?$",
            "not": {"pattern": "^(0+d)?(0+h)?(0+m)?$"},
        }
    ),
    AfterValidator(_duration),
]


class ActivePeriod(SpecModel):
    """A period in which the specification is active. An end before its start is on the next day."""

    start_time: DayTime | None = Field(None, description="HH:MM. Default: the whole day.")
    end_time: DayTime | None = Field(
        None, description="HH:MM, not included; before startTime: on the next day."
    )
    days_of_week: list[Day] = Field(
        default_factory=list, description="Days on which it starts. Empty: every day."
    )
    start_date: Moment | None = Field(None, description="First day or moment.")
    end_date: Moment | None = Field(None, description="Last day, to its end, or moment that ends it.")

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
    """When the specification is active. At other times it asks for nothing."""

    enabled: Flag = Field(False, description="Whether it is limited to these times. False: always active.")
    schedule: Schedule | None = Field(
        None, description="Cron schedule of five fields; each firing starts a period of `duration`."
    )
    duration: Duration | None = Field(
        None, description="How long it is active from each firing: 8h, 90m, 1d12h."
    )
    timezone: TimeZone = Field("UTC", description="IANA time zone of the schedule, times and dates.")
    active_periods: list[ActivePeriod] = Field(
        default_factory=list, description="Periods, of which one (or one of the schedule's) is enough."
    )

    @model_validator(mode="after")
    def _some_period(self) -> TimeBasedActivation:
        if self.schedule is not None and self.duration is None:
            raise ValueError(
                "schedule says when a period starts, but not how long it lasts: set duration, such as 8h."
            )
        if self.duration is not None and self.schedule is None:
            raise ValueError("duration has no effect without schedule.")
        if self.enabled and not self.active_periods and self.schedule is None:
            raise ValueError("enabled without activePeriods or schedule would never be active.")
        if self.active_periods:
            from pytest_kspec.model import activation

            here = zone(self.timezone)
            for index, period in enumerate(self.active_periods):
                if not activation.starts_at_all(period, here):
                    raise ValueError(
                        f"activePeriods[{index}]: no moment is in this period: look at its dates."
                    )
        return self
