"""Specification × checks → what admission can keep out, and why the rest cannot be.

Everything is derived from `Check.rule`, the same data that a scan evaluates. A requirement is in `rules` or
in `not_enforceable`, never in neither. Engines add to the second what they cannot say.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal, NamedTuple, cast

from pytest_kspec.checks.body import made_rule
from pytest_kspec.checks.check import Check
from pytest_kspec.errors import CheckError
from pytest_kspec.kube.resources import AUTOMOUNT
from pytest_kspec.plan.checkset import CheckSet, Entry
from pytest_kspec.plan.plan import make_plan
from pytest_kspec.results.exemptions import Exemption
from pytest_kspec.rules.base import Rule, ServiceRule
from pytest_kspec.rules.pods.podsecurity import (
    LEVELS,
    NEWEST_MINOR,
    NamespaceLevels,
    PodSecurityControl,
    standards_minor,
)
from pytest_kspec.spec.loading import LoadedSpec
from pytest_kspec.spec.requirement import Requirement

RuleTarget = Literal["pods", "services"]
"""pods: Pods and the templates of controllers. services: Services."""

_NO_RULE = "its check has no rule (`rule=`), so only a scan can evaluate it"


class NotEnforceable(NamedTuple):
    """A requirement that is not kept out at admission, and why. location: "file:line:column" or ""."""

    requirement_id: str
    reason: str
    location: str = ""


@dataclass(frozen=True, slots=True)
class EnforcedRule:
    """One rule of one requirement.

    rule:   a `Rule` where the target is "pods", a `ServiceRule` where it is "services"
    levels: Pod Security levels of namespaces in which it holds (`EnforcementPlan.level_of`); () is all of them
    """

    requirement: Requirement
    check: Check
    rule: Rule | ServiceRule
    target: RuleTarget
    levels: tuple[str, ...] = ()

    @property
    def pod_rule(self) -> Rule:
        """`rule` of target "pods"."""
        return cast("Rule", self.rule)

    @property
    def service_rule(self) -> ServiceRule:
        """`rule` of target "services"."""
        return cast("ServiceRule", self.rule)


@dataclass(frozen=True, slots=True)
class EnforcementPlan:
    """What one specification keeps out.

    rules:           sorted by requirement id; one requirement may have several
    not_enforceable: sorted by requirement id
    level:           the asked Pod Security level, "" where none is asked
    levels:          which level a namespace is held to, by exemptions that are valid at `moment`
    exemptions:      those of the specification, expired ones included: `Exemptions` and engines judge them
    minor:           the Kubernetes minor whose Pod Security Standards hold
    moment:          the time for which this holds; `boundary` is when it has to be made again
    """

    spec: LoadedSpec
    rules: tuple[EnforcedRule, ...]
    not_enforceable: tuple[NotEnforceable, ...]
    level: str
    levels: NamespaceLevels
    exemptions: tuple[Exemption, ...]
    minor: int
    moment: datetime

    def level_of(self, namespace: str) -> str:
        """The Pod Security level that this namespace is held to, "" where none is asked."""
        return self.levels.of(namespace, self.level) if self.level else ""

    def holds(self, rule: EnforcedRule, namespace: str) -> bool:
        """Whether the rule holds in this namespace, by its Pod Security level."""
        return not rule.levels or self.level_of(namespace) in rule.levels

    @property
    def by_pod_alone(self) -> tuple[str, ...]:
        """Requirements that a scan decides with the ServiceAccount, which no admission request of a pod shows."""
        field = f"spec.{AUTOMOUNT[0]}"
        found = (item.requirement.id for item in self.rules if field in getattr(item.rule, "reads", ()))
        return tuple(dict.fromkeys(found))

    @property
    def boundary(self) -> datetime | None:
        """The next moment at which an exemption ends, so that this plan is no longer right; None: never."""
        asked = self.spec.spec.pod_security
        expiring = [*self.exemptions, *(asked.exemptions if asked else ())]
        ends = [end for item in expiring if (end := item.expires) is not None and end > self.moment]
        return min(ends, default=None)


def enforcement_plan(
    spec: LoadedSpec, checkset: CheckSet, *, version: str = "", now: datetime | None = None
) -> EnforcementPlan:
    """What this specification keeps out.

    version: gitVersion of the API server, for Pod Security Standards without a version of their own; "" (no
             cluster is known) means the newest standards
    now:     aware; default: the current time

    Raises CheckError, SourceError where the version could not be read, SpecError where the one asked for cannot.
    """
    moment = now or datetime.now(UTC)
    asked = spec.spec.pod_security
    minor = standards_minor(asked.version, version or None) if asked and asked.enforce else NEWEST_MINOR
    rules: list[EnforcedRule] = []
    left: list[NotEnforceable] = []
    for planned in make_plan(spec, checkset).planned:
        found = list(_rules(planned.requirement, planned.entry, spec, minor))
        rules += [item for item in found if isinstance(item, EnforcedRule)]
        left += [item for item in found if isinstance(item, NotEnforceable)]
    return EnforcementPlan(
        spec=spec,
        rules=tuple(rules),
        not_enforceable=tuple(sorted(left)),
        level=str(asked.enforce) if asked and asked.enforce else "",
        levels=NamespaceLevels(asked, moment) if asked else _NO_LEVELS,
        exemptions=tuple(spec.exemptions),
        minor=minor,
        moment=moment,
    )


def _rules(
    requirement: Requirement, entry: Entry, spec: LoadedSpec, minor: int
) -> Iterator[EnforcedRule | NotEnforceable]:
    check = entry.check
    rule = check.rule
    if rule is None:
        yield NotEnforceable(requirement.id, check.not_admission or _NO_RULE, requirement.location)
    elif isinstance(rule, PodSecurityControl):
        yield from _by_level(requirement, check, rule, spec, minor)
    else:
        yield from _concrete(requirement, check)


def _concrete(requirement: Requirement, check: Check) -> Iterator[EnforcedRule]:
    try:
        rule = made_rule(check.rule, requirement)
    except TypeError as error:
        raise CheckError(
            f"check {check.id!r}: {error}",
            where=f"{check.path}:{check.line}",
            fix="Use a rule, or a function that returns a rule for a requirement.",
        ) from error
    if isinstance(rule, Rule):
        yield EnforcedRule(requirement, check, rule, "pods")
    if isinstance(rule, ServiceRule):
        yield EnforcedRule(requirement, check, rule, "services")


def _by_level(
    requirement: Requirement, check: Check, control: PodSecurityControl, spec: LoadedSpec, minor: int
) -> Iterator[EnforcedRule | NotEnforceable]:
    """The control at each level that some namespace has; levels with equal rules share one."""
    if minor < control.revisions.since:
        reason = f"version v1.{minor} of the Pod Security Standards does not have this control"
        yield NotEnforceable(requirement.id, reason, requirement.location)
        return
    found: list[EnforcedRule] = []
    for level in LEVELS:
        rule = control.rule_for(level, minor)
        same = next((i for i, item in enumerate(found) if item.rule == rule), None)
        if rule is None:
            continue
        if same is not None:
            found[same] = replace(found[same], levels=(*found[same].levels, level))
        else:
            found.append(EnforcedRule(requirement, check, rule, "pods", (level,)))
    asked = spec.spec.pod_security
    levels = {str(asked.enforce), *(str(item.level) for item in asked.exemptions)} if asked else set()
    yield from (item for item in found if levels.intersection(item.levels))


class _NoLevels(NamespaceLevels):
    """For a specification that asks for no Pod Security level."""

    def __init__(self) -> None:
        self._exempt = []


_NO_LEVELS = _NoLevels()
