"""One request of an API server and all policies → one decision. No I/O: what it needs to know is handed in.

Rules, exemptions, scope and activation are those of a scan, so what is admitted is what a scan passes. All
violations of all policies are collected. A denial of one policy stands whatever the others say; a policy that
only audits never hides one that enforces.

A change that leaves the pod (or its template) as it is is not examined: an object that was there before the
policy can still be scaled, labelled, finished and deleted. What is being deleted is not examined either; what is
created with a mark for deletion is. A request that no API server sends is denied by all that enforce.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

import msgspec

from pytest_kspec.cluster.objects.shapes import Shapes, security_annotations
from pytest_kspec.enforce.admission import (
    BROKEN,
    AdmissionRequest,
    Subject,
    impossible,
    is_evaluated,
    shorten,
    subject,
    typed,
)
from pytest_kspec.enforce.decision import ALLOWED, Decision, Failure, Found
from pytest_kspec.enforce.names import spec_id
from pytest_kspec.enforce.plan import EnforcedRule
from pytest_kspec.enforce.policy import LabelsUnknown, Policy
from pytest_kspec.errors import Malformed
from pytest_kspec.evaluate.violations import judge_pod, judge_service, several
from pytest_kspec.kube.reference import ResourceRef, path_in
from pytest_kspec.kube.resources import PodShape
from pytest_kspec.results.exemptions import ExemptionMatcher
from pytest_kspec.results.finding import AppliedExemption, Finding, told
from pytest_kspec.rules.base import Violation

REMEMBERED_SHAPES = 4096
REMEMBERED_BYTES = 8 << 20  # decoded they take about ten times that
REMEMBERED_VIOLATIONS = 100_000
REMEMBERED_DECISIONS = 512
MOST_REMEMBERED = 400
"""Violations of one rule and one pod whose texts are remembered, and characters of each text."""
MOST_LISTED = 200
"""Violations of one rule that a decision lists, and as many exempted ones; the last listed counts the others."""
LONGEST_PATH, LONGEST_VALUE, MOST_ITEMS = 1_000, 4_000, 200
"""Of what a decision says: characters of a path and of a value, items of a list or map."""


class _Said(NamedTuple):
    """What a finding says of a violation, whichever object it is in: bounded, and without credentials."""

    path: str
    actual: Any
    expected: str
    message: str
    container: str


class _Outcome(NamedTuple):
    """What one rule says about one pod shape or Service.

    said: of the first violations, in objects of a kind with a prefix of paths; made when it is needed first
    """

    policy: int
    rule: int
    violations: Sequence[Violation]
    errors: tuple[str, ...]
    internal: bool
    said: dict[tuple[str, str], dict[int, _Said]]

    def says(self, index: int, kind: str, template_path: str) -> _Said:
        """Of the violation at this index."""
        known = self.said.setdefault((kind, template_path), {})
        found = known.get(index)
        if found is None:
            found = _said(self.violations[index], kind, template_path)
            if len(known) < MOST_REMEMBERED and len(found.message) < MOST_REMEMBERED:
                known[index] = found
        return found


class _Known:
    """What rules said of shapes; of an endless stream, what was added first is forgotten. Bounded in shapes, in bytes
    of their pod specs and in violations.
    """

    def __init__(self) -> None:
        self._by_id: OrderedDict[int, tuple[PodShape, tuple[_Outcome, ...], int, int]] = OrderedDict()
        self._bytes = 0
        self._violations = 0

    def of(self, shape: PodShape) -> tuple[_Outcome, ...] | None:
        """What is known of it; None: nothing."""
        known = self._by_id.get(id(shape))
        return None if known is None else known[1]

    def add(self, shape: PodShape, outcomes: tuple[_Outcome, ...], size: int) -> None:
        """size: bytes of its pod spec."""
        violations = sum(len(outcome.violations) for outcome in outcomes)
        if size > REMEMBERED_BYTES // 8 or violations > REMEMBERED_VIOLATIONS // 8:
            return  # nothing else would be left
        self._by_id[id(shape)] = (shape, outcomes, size, violations)
        self._bytes += size
        self._violations += violations
        while (
            len(self._by_id) > REMEMBERED_SHAPES
            or self._bytes > REMEMBERED_BYTES
            or self._violations > REMEMBERED_VIOLATIONS
        ):
            _, (_, _, size, violations) = self._by_id.popitem(last=False)
            self._bytes -= size
            self._violations -= violations


class Policies:
    """All policies of a webhook, with a bounded memory of what their rules say about pods seen before."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self.all = tuple(policies)
        self.by_id = {spec_id(policy.name): policy for policy in self.all}
        self.needs_labels = any(policy.needs_labels for policy in self.all)
        self._pod_rules = self._rules("pods")
        self._service_rules = self._rules("services")
        self._shapes = Shapes((REMEMBERED_SHAPES, REMEMBERED_BYTES))
        self._known = _Known()
        self._alike: OrderedDict[Hashable, tuple[tuple[_Outcome, ...], Any]] = OrderedDict()

    def _rules(self, target: str) -> tuple[tuple[int, int, EnforcedRule], ...]:
        return tuple(
            (number, index, rule)
            for number, policy in enumerate(self.all)
            for index, rule in enumerate(policy.rules)
            if rule.target == target
        )

    def of_pod(self, spec: bytes, annotations: Mapping[str, Any]) -> tuple[_Outcome, ...]:
        """What is not as it should be, by policy and rule. Raises what `Shapes.shape` raises."""
        shape = self._shapes.shape(spec, annotations)
        known = self._known.of(shape)
        if known is not None:
            return known
        found = _evaluate(self._pod_rules, shape)
        if not any(outcome.internal for outcome in found):  # it may go well the next time
            self._known.add(shape, found, len(spec))
        return found

    def alike(self, seen: Seen, moment: datetime) -> Hashable:
        """The same for objects about which plain decisions say the same, but for their names."""
        kind = seen.subject.kind
        stamps = tuple(policy.stamp(moment) for policy in self.all)
        return id(seen.outcomes), kind.group, kind.kind, seen.subject.namespace, stamps

    def told(self, key: Hashable, seen: Seen) -> Any:
        """What was remembered of a decision about an object like this one; None: nothing."""
        known = self._alike.get(key)
        return known[1] if known is not None and known[0] is seen.outcomes else None

    def remember(self, key: Hashable, seen: Seen, told: Any) -> None:
        """Keep something of a plain decision, for a while. The caller bounds its size."""
        self._alike[key] = seen.outcomes, told  # an id is another object's when its own is gone
        if len(self._alike) > REMEMBERED_DECISIONS:
            self._alike.popitem(last=False)

    def of_service(self, spec: bytes) -> tuple[_Outcome, ...]:
        """The same for the `spec` of a Service."""
        return _evaluate(self._service_rules, msgspec.json.decode(spec) if spec else None)


def _evaluate(rules: Sequence[tuple[int, int, EnforcedRule]], data: Any) -> tuple[_Outcome, ...]:
    """data: a pod shape or the `spec` of a Service, as the target of these rules is."""
    outcomes = []
    for number, index, rule in rules:
        try:
            if rule.target == "services":
                violations, errors = judge_service(rule.service_rule, data)
            else:
                violations, errors = judge_pod(rule.pod_rule, data)
        except MemoryError:
            raise  # of the object, not of the rule
        except Exception as error:  # noqa: BLE001 - a rule that breaks must not take the webhook with it
            what = f"{rule.requirement.id} failed with {type(error).__name__}"  # its text may hold anything
            outcomes.append(_Outcome(number, index, (), (what,), True, {}))
        else:
            if violations or errors:
                outcomes.append(_Outcome(number, index, violations, errors, False, {}))
    return tuple(outcomes)


class Seen(NamedTuple):
    """An object that rules have something to say about."""

    subject: Subject
    outcomes: tuple[_Outcome, ...]


def decide(
    request: AdmissionRequest,
    policies: Policies,
    moment: datetime,
    namespace_labels: Mapping[str, str] | None = None,
) -> Decision:
    """What becomes of this request.

    moment: aware; namespace_labels: of the request's namespace, None where they are not known
    Raises MemoryError where the process is bounded and the object is too large for it.
    """
    seen = look(request, policies, moment, namespace_labels)
    return weigh(seen, policies, moment, namespace_labels) if isinstance(seen, Seen) else seen


def look(
    request: AdmissionRequest,
    policies: Policies,
    moment: datetime,
    namespace_labels: Mapping[str, str] | None,
) -> Decision | Seen:
    """The first half of `decide`: what rules say, or the decision where that decides nothing."""
    try:
        given, before = request.new, request.old
        if wrong := impossible(request, given is not None, before is not None):
            raise Malformed(f"{wrong}.")
        if given is None:
            return ALLOWED  # a DELETE, or a CONNECT
        if not is_evaluated(request):
            typed(request, given)
            return ALLOWED
        new = subject(request, given)
        # Only of an UPDATE there is an old object, and only the API server marks what is stored for deletion.
        old = subject(request, before) if before is not None else None
        if old is not None and (_same(old, new) or (old.deleting and new.deleting)):
            return ALLOWED
        outcomes = _outcomes(new, policies)
        if not outcomes:
            return ALLOWED
        if old is not None and _equal(old, new):
            return ALLOWED
    except (Malformed, *BROKEN) as error:
        what = error.what if isinstance(error, Malformed) else f"the object could not be read: {error}"
        return unreadable(request, policies, moment, namespace_labels, what)
    return Seen(new, outcomes)


def not_evaluated(
    request: AdmissionRequest,
    policies: Policies,
    moment: datetime,
    namespace_labels: Mapping[str, str] | None,
    what: str,
    *,
    internal: bool,
) -> Decision:
    """The decision where nothing can be evaluated: each policy that may concern the request does as its
    failure policy says.
    """
    failures = []
    for policy in policies.all:
        try:
            # Without the namespace that it should have, a request may be about any.
            known = request.namespace or not is_evaluated(request)
            if known and not policy.applies(request.namespace, namespace_labels, moment):
                continue
        except LabelsUnknown:
            pass  # it may concern it
        failures.append(Failure(policy, "", what, internal, policy.denies and policy.fails_closed))
    denied = any(failure.denies for failure in failures)
    ref = ResourceRef(request.kind.api_version, request.kind.kind, request.namespace, request.name)
    return Decision(not denied, (), tuple(failures), ref)


def unreadable(
    request: AdmissionRequest,
    policies: Policies,
    moment: datetime,
    namespace_labels: Mapping[str, str] | None,
    what: str,
) -> Decision:
    """An object that Kubernetes does not allow: nobody can say that it violates nothing, so who enforces
    denies it.
    """
    made = not_evaluated(request, policies, moment, namespace_labels, what, internal=False)
    failures = tuple(replace(f, denies=f.policy is not None and f.policy.denies) for f in made.failures)
    return replace(made, allowed=not any(f.denies for f in failures), failures=failures)


def _outcomes(new: Subject, policies: Policies) -> tuple[_Outcome, ...]:
    if new.template_path is not None:
        return policies.of_pod(new.spec or b"null", new.annotations)
    if new.kind.kind == "Service" and new.kind.api_version == "v1":
        return policies.of_service(new.spec)
    return ()


def _same(old: Subject, new: Subject) -> bool:
    """Whether what rules look at is equal, byte for byte: the API server writes both the same way."""
    return old.spec == new.spec and (
        old.annotations == new.annotations
        or security_annotations(old.annotations) == security_annotations(new.annotations)
    )


def _equal(old: Subject, new: Subject) -> bool:
    """The same, whatever the order of keys."""
    return security_annotations(old.annotations) == security_annotations(new.annotations) and bool(
        old.spec and new.spec and msgspec.json.decode(old.spec) == msgspec.json.decode(new.spec)
    )


def weigh(seen: Seen, policies: Policies, moment: datetime, labels: Mapping[str, str] | None) -> Decision:
    """The second half of `decide`: what each policy makes of it."""
    new, outcomes = seen
    ref, owner = new.ref, new.owner
    is_plain = not policies.needs_labels
    found: list[Found] = []
    failures: list[Failure] = []
    concerned: dict[int, bool] = {}
    for outcome in outcomes:
        policy = policies.all[outcome.policy]
        if outcome.policy not in concerned:
            try:
                concerned[outcome.policy] = policy.applies(ref.namespace, labels, moment)
            except LabelsUnknown:
                concerned[outcome.policy] = False
                what = f"the labels of the namespace {ref.namespace} are not known"
                failures.append(Failure(policy, "", what, True, policy.denies and policy.fails_closed))
        if not concerned[outcome.policy] or not policy.holds(outcome.rule, ref.namespace, moment):
            continue
        rule = policy.rules[outcome.rule]
        if outcome.errors:
            denies = policy.denies and (policy.fails_closed or not outcome.internal)
            what = _sentence(outcome, new.template_path or "")
            failures.append(Failure(policy, rule.requirement.id, what, outcome.internal, denies))
        matcher = policy.matcher(outcome.rule, moment)
        annotated = policy.annotated(outcome.rule, moment)
        carried = annotated.match(new.annotations, owner) if annotated is not None else None
        is_plain = is_plain and not matcher and annotated is None
        found += _listed(
            new, (ref, owner), policy, rule, outcome, matcher.fresh() if matcher else None, carried
        )
    if not found and not failures:
        return ALLOWED
    denied = any(failure.denies for failure in failures) or any(
        item.policy.denies and item.finding.exemption is None for item in found
    )
    return Decision(not denied, tuple(found), tuple(failures), ref, is_plain=is_plain and not failures)


def _sentence(outcome: _Outcome, template_path: str) -> str:
    if outcome.internal:
        return outcome.errors[0]
    return several(path_in(template_path, what) for what in outcome.errors)


def _listed(
    new: Subject,
    place: tuple[ResourceRef, ResourceRef],
    policy: Policy,
    rule: EnforcedRule,
    outcome: _Outcome,
    matcher: ExemptionMatcher | None,
    carried: AppliedExemption | None,
) -> list[Found]:
    """The first open and the first exempted ones. All are asked for: one that no exemption covers denies.

    place: the object and its owner
    """
    exemptions: dict[str, AppliedExemption | None] = {}  # by container: nothing else of a violation counts
    listed: tuple[list[Found], list[Found]] = ([], [])
    more = [0, 0]
    (ref, owner), labels = place, new.labels
    kind, template_path = ref.kind, new.template_path or ""
    for index, violation in enumerate(outcome.violations):
        name = violation.container
        if matcher is None:
            exemption = carried
        elif name in exemptions:
            exemption = exemptions[name]
        else:
            by_spec = matcher.match(ref, owner, labels, name)
            exemption = exemptions[name] = carried if by_spec is None else by_spec
        exempted = exemption is not None
        if len(listed[exempted]) == MOST_LISTED:
            more[exempted] += 1
            continue
        finding = Finding(ref, owner, *outcome.says(index, kind, template_path))
        listed[exempted].append(Found(policy, rule, finding.exempted_by(exemption) if exemption else finding))
    for found, number in zip(listed, more, strict=True):
        if number:
            found[-1] = replace(found[-1], more=number)
    return [*listed[0], *listed[1]]


def _said(violation: Violation, kind: str, template_path: str) -> _Said:
    path, actual, expected, container = violation
    path = shorten(path_in(template_path, path), LONGEST_PATH)
    shown = told(kind, path, _bounded(actual), shorten(expected, LONGEST_VALUE))
    return _Said(path, *shown, shorten(container, LONGEST_PATH))


def _bounded(value: Any, room: list[int] | None = None) -> Any:
    """As much of a value as is ever shown: it may be all of an object of megabytes. room: characters that are left."""
    room = [2 * LONGEST_VALUE] if room is None else room
    if type(value) is str:
        made = shorten(value, LONGEST_VALUE)
        room[0] -= len(made)
        return made
    if type(value) is list:
        return [_bounded(item, room) for item in value[:MOST_ITEMS] if room[0] > 0]
    if type(value) is dict:
        return {key: _bounded(value[key], room) for key in islice(value, MOST_ITEMS) if room[0] > 0}
    return value
