"""One specification as admission holds it: mode, failure policy, plan, scope, activation, exemptions.

Everything here that depends on the time (exemptions that expire, periods) is asked with a moment and made again
only when a boundary is passed, so that a request costs none of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from pytest_kspec.enforce.modes import Mode, asked_mode
from pytest_kspec.enforce.plan import EnforcedRule, EnforcementPlan, enforcement_plan
from pytest_kspec.plan.checkset import CheckSet
from pytest_kspec.plan.unknownids import refuse_all
from pytest_kspec.results import annotated
from pytest_kspec.results.annotated import AnnotationMatcher
from pytest_kspec.results.exemptions import Exemption, ExemptionMatcher, Exemptions
from pytest_kspec.spec.activation import ActivationClock
from pytest_kspec.spec.loading import LoadedSpec
from pytest_kspec.spec.scope import in_scope


def fails_closed(spec: LoadedSpec) -> bool:
    """Whether what cannot be evaluated is denied: `webhooks.failurePolicy: Fail`. Default: Ignore."""
    return spec.spec.webhooks is not None and spec.spec.webhooks.failure_policy == "Fail"


class LabelsUnknown(Exception):
    """The specification selects namespaces by their labels, and those of this namespace are not known."""


@dataclass(frozen=True, slots=True)
class _Timed:
    """What holds from `since` until just before `until`."""

    since: datetime
    until: datetime
    plan: EnforcementPlan
    matchers: tuple[ExemptionMatcher, ...]
    number: int


_NEVER = datetime.max.replace(tzinfo=UTC)


class Policy:
    """A specification with the rules that it enforces on one cluster.

    cluster: name of the cluster, as exemptions name it; version: gitVersion of its API server, "" if not known
    more_exemptions: beside those of the specification
    Raises CheckError, SpecError, SourceError where it cannot be planned.
    """

    def __init__(
        self,
        spec: LoadedSpec,
        checkset: CheckSet,
        *,
        cluster: str,
        version: str = "",
        mode: Mode | None = None,
        more_exemptions: Sequence[Exemption] = (),
        now: datetime | None = None,
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.mode = asked_mode(spec) if mode is None else mode
        self.fails_closed = fails_closed(spec)
        self.scope = spec.spec.namespace_scope
        self.needs_labels = self.scope is not None and self.scope.namespace_selector is not None
        self._checkset = checkset
        self._cluster = cluster
        self._version = version
        self._exemptions = [*spec.exemptions, *more_exemptions]
        refuse_all(spec, self._exemptions, checkset, ())
        self._annotations = spec.spec.annotation_exemptions
        self._clock = ActivationClock(spec.spec.time_based_activation)
        self._made = 0
        self._timed = self._at(now or datetime.now(UTC))

    @property
    def plan(self) -> EnforcementPlan:
        """As of the last moment that was asked for."""
        return self._timed.plan

    @property
    def rules(self) -> tuple[EnforcedRule, ...]:
        """The same at every moment, in the plan's order."""
        return self._timed.plan.rules

    @property
    def denies(self) -> bool:
        """Whether a violation is denied."""
        return self.mode is Mode.ENFORCE

    def applies(self, namespace: str, labels: Mapping[str, str] | None, moment: datetime) -> bool:
        """Whether it is active now and speaks about this namespace. Raises LabelsUnknown.

        labels: of the Namespace; None: not known
        """
        if not self._clock.is_active(moment):
            return False
        if labels is not None or not self.needs_labels or not namespace:
            return in_scope(self.scope, namespace, labels or {})
        assert self.scope is not None
        by_name = self.scope.model_copy(update={"namespace_selector": None})
        if in_scope(by_name, namespace, {}):
            raise LabelsUnknown
        return False

    def stamp(self, moment: datetime) -> int:
        """Equal at two moments at which rules and exemptions are the same; 0 while it is not active."""
        return self._now(moment).number if self._clock.is_active(moment) else 0

    def holds(self, index: int, namespace: str, moment: datetime) -> bool:
        """Whether the rule of this index holds in this namespace (Pod Security levels differ)."""
        plan = self._now(moment).plan
        return plan.holds(plan.rules[index], namespace)

    def matcher(self, index: int, moment: datetime) -> ExemptionMatcher:
        """The exemptions of the rule of this index."""
        return self._now(moment).matchers[index]

    def annotated(self, index: int, moment: datetime) -> AnnotationMatcher | None:
        """The exemptions that objects may carry themselves from the rule of this index; None: none."""
        if self._annotations is None:
            return None
        rule = self.rules[index]
        return annotated.matcher(self._annotations, rule.requirement.id, rule.check.severity, moment)

    def _now(self, moment: datetime) -> _Timed:
        if not self._timed.since <= moment < self._timed.until:
            self._timed = self._at(moment)
        return self._timed

    def _at(self, moment: datetime) -> _Timed:
        plan = enforcement_plan(self.spec, self._checkset, version=self._version, now=moment)
        exemptions = Exemptions(self._exemptions, moment)
        matchers = tuple(exemptions.for_check(rule.requirement.id, self._cluster) for rule in plan.rules)
        ends = [end for item in self._exemptions if (end := item.expires) is not None and end > moment]
        ends += [plan.boundary] if plan.boundary is not None else []
        self._made += 1
        return _Timed(moment, min(ends, default=_NEVER), plan, matchers, self._made)
