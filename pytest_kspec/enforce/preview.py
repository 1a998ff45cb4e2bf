"""Which objects that are there today would be refused if they were created again.

The same rules and exemptions as admission, on the objects of any source. An owner is what admission would see: see
`enforce.owners`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, cast

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.objects.listed import owner_ref
from pytest_kspec.cluster.objects.whole import ListedWorkload
from pytest_kspec.enforce.owners import admitted_owner
from pytest_kspec.enforce.plan import EnforcedRule, EnforcementPlan
from pytest_kspec.errors import KspecError
from pytest_kspec.evaluate.violations import Judged, finding_of, in_object, judge_pod, judge_service
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.kube.resources import Resource, Workload, unknown_labels
from pytest_kspec.results import annotated
from pytest_kspec.results.annotated import AnnotationMatcher
from pytest_kspec.results.exemptions import ExemptionMatcher, Exemptions
from pytest_kspec.spec.scope import in_scope

_Rules = Sequence[tuple[EnforcedRule, ExemptionMatcher, AnnotationMatcher | None]]
_Judge = Callable[[EnforcedRule, Any], Judged]


class Refused(NamedTuple):
    """One owner whose objects would be denied.

    objects:    how many they are: pods of a Deployment, and its template
    violations: (requirement id, sentence), sorted
    """

    owner: ResourceRef
    objects: int
    violations: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """refused: sorted by owner. errors: what could not be examined, one line each.

    left_out: objects of the kinds that rules are about, which scope or engine leave out
    """

    refused: tuple[Refused, ...]
    examined: int
    errors: tuple[str, ...]
    left_out: int = 0

    @property
    def is_empty(self) -> bool:
        """Nothing is there that rules are about, in scope or out of it: a wrong cluster or path looks like this."""
        return not self.examined and not self.left_out and not self.errors


def preview(
    plan: EnforcementPlan, inventory: Inventory, cluster: str, excluded: Sequence[str] = ()
) -> Preview:
    """Look at all pods, templates and Services in the scope of the specification.

    cluster: its name, as exemptions name it; excluded: namespaces that the engine leaves out
    """
    exemptions = Exemptions(plan.exemptions, plan.moment)
    errors: list[str] = []
    scoped = _scope(plan, inventory, errors)
    allowed = plan.spec.spec.annotation_exemptions
    rules = [
        (
            rule,
            exemptions.for_check(rule.requirement.id, cluster),
            annotated.matcher(allowed, rule.requirement.id, rule.check.severity, plan.moment),
        )
        for rule in plan.rules
    ]
    pods = [pair for pair in rules if pair[0].target == "pods"]
    services = [pair for pair in rules if pair[0].target == "services"]
    found: dict[tuple[ResourceRef, tuple[tuple[str, str], ...]], list[ResourceRef]] = {}
    examined = left_out = 0
    kinds: list[tuple[Callable[[], Sequence[Resource]], _Rules, _Judge]] = [
        (inventory.workloads, pods, _of_pod),
        (partial(inventory.list, "Service", ""), services, _of_service),
    ]
    for listed, chosen, judge in kinds:
        if not chosen:
            continue
        try:
            there = listed()
            objects = [item for item in there if item.namespace not in excluded and scoped(item.namespace)]
        except KspecError as error:
            errors.append(str(error))
            continue
        examined += len(objects)
        left_out += len(there) - len(objects)
        known: dict[tuple[int, int], Judged] = {}
        for item in objects:
            violations = _violations(plan, item, chosen, judge, known, errors)
            if violations:
                found.setdefault((_owner(item), violations), []).append(item.ref)
    refused = [Refused(owner, len(refs), violations) for (owner, violations), refs in found.items()]
    return Preview(tuple(sorted(refused)), examined, tuple(errors), left_out)


def _violations(
    plan: EnforcementPlan,
    item: Resource,
    rules: _Rules,
    judge: _Judge,
    known: dict[tuple[int, int], Judged],
    errors: list[str],
) -> tuple[tuple[str, str], ...]:
    said = []
    owner = _owner(item)
    for index, (rule, matcher, annotating) in enumerate(rules):
        if not plan.holds(rule, item.namespace):
            continue
        key = (index, id(item.shape if isinstance(item, Workload) else item))
        if key not in known:
            known[key] = judge(rule, item)
        for what in known[key].errors:
            line = f"{item.ref}: {in_object(item, what) if isinstance(item, Workload) else what}"
            if line not in errors:
                errors.append(line)
        for violation in known[key].violations:
            if matcher and matcher.match(item.ref, owner, item.labels, violation.container):
                continue
            if annotating is not None and annotating.match(annotated.annotations_of(item), owner):
                continue
            path = item.path_of(violation.path) if isinstance(item, Workload) else violation.path
            said.append((rule.requirement.id, finding_of(item.ref, owner, path, violation).message))
    return tuple(sorted(set(said)))


def _of_pod(rule: EnforcedRule, item: Any) -> Judged:
    return judge_pod(rule.pod_rule, cast("Workload", item).shape)


def _of_service(rule: EnforcedRule, item: Any) -> Judged:
    return judge_service(rule.service_rule, item.raw.get("spec"))


def _owner(item: Resource) -> ResourceRef:
    controller = item.controller if isinstance(item, ListedWorkload) else None
    above = owner_ref(controller, item.namespace) if controller is not None else None
    return admitted_owner(item.ref, item.labels, above)


def _scope(plan: EnforcementPlan, inventory: Inventory, errors: list[str]) -> Callable[[str], bool]:
    scope = plan.spec.spec.namespace_scope
    if scope is None:
        return lambda namespace: True
    labels: Mapping[str, Mapping[str, str]] = {}
    if scope.namespace_selector is not None:
        try:
            labels = inventory.namespace_labels
            unknown = unknown_labels(inventory.unlabelled_namespaces)
        except KspecError as error:
            unknown = str(error)
        if unknown:
            errors.append(unknown)
    return lambda namespace: in_scope(scope, namespace, labels.get(namespace, {}))
