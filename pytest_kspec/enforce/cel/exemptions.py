"""Exemptions and Pod Security levels of namespaces as CEL.

CEL has no clock: what is expired when this is made is left out, and the plan says when it has to be made again.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kspec.enforce.owners import CRONJOB_SUFFIX, HASH_LABEL
from pytest_kspec.enforce.plan import EnforcementPlan
from pytest_kspec.errors import UsageError
from pytest_kspec.kube.globs import Globs, matches_check
from pytest_kspec.results.exemptions import Exemption, ResourceSelector
from pytest_kspec.rules.cel.text import (
    all_of,
    any_of,
    literal,
    matches_glob,
    matches_globs,
    one_of,
    parenthesised,
)

_OWNERS = "object.metadata.?ownerReferences.orValue([]).filter(r, r.?controller.orValue(false))"
_OWNER = 'variables.owners.size() > 0 && variables.owners[0].kind != "Node"'
_HASH = f'object.metadata.?labels[?{literal(HASH_LABEL)}].orValue("")'
_OF_DEPLOYMENT = (
    f'variables.controller.kind == "ReplicaSet" && {_HASH} != "" && '
    f'variables.controller.name.endsWith("-" + {_HASH})'
)
_OF_CRONJOB = (
    f'variables.controller.kind == "Job" && variables.controller.name.matches({literal(CRONJOB_SUFFIX)})'
)

SUBJECT = {
    "objectNamespace": 'object.metadata.?namespace.orValue("")',
    "name": (
        'object.metadata.?name.orValue("") != "" ? object.metadata.name : '
        'object.metadata.?generateName.orValue("")'
    ),
    "owners": _OWNERS,
    "controller": (
        f'{_OWNER} ? {{"kind": variables.owners[0].kind, "name": variables.owners[0].name}} : '
        '{"kind": object.kind, "name": variables.name}'
    ),
    "owner": (
        f'{_OF_DEPLOYMENT} ? {{"kind": "Deployment", "name": variables.controller.name.substring(0, '
        f"variables.controller.name.size() - {_HASH}.size() - 1)}} : "
        f'{_OF_CRONJOB} ? {{"kind": "CronJob", "name": variables.controller.name.substring(0, '
        'variables.controller.name.lastIndexOf("-"))} : variables.controller'
    ),
}
"""Variables about the object: as `pytest_kspec.enforce.owners` sees them."""


def chosen(plan: EnforcementPlan, requirement_id: str, cluster: str | None) -> list[Exemption]:
    """Exemptions that are valid at the plan's moment and may cover findings of this requirement.

    cluster: name of the cluster, None if it is not known. Raises UsageError where an exemption asks for it.
    """
    found = []
    for exemption in plan.exemptions:
        if exemption.is_expired(plan.moment) or not matches_check(Globs(exemption.checks), requirement_id):
            continue
        clusters = Globs(exemption.clusters)
        if cluster is None and not clusters.matches_all:
            raise UsageError(
                f"exemption {exemption.name!r} applies to clusters {', '.join(exemption.clusters)}, "
                f"but the name of this cluster is not known.",
                where=exemption.location,
                fix="Name it with --cluster-name.",
            )
        if clusters.match(cluster or ""):
            found.append(exemption)
    return found


def object_condition(exemption: Exemption) -> str:
    """Whether an exemption covers the object, whatever container it is about."""
    conditions = []
    if exemption.namespaces:
        conditions.append(matches_globs("variables.objectNamespace", exemption.namespaces))
    if exemption.resources:
        conditions.append(any_of([_selects(selector) for selector in exemption.resources]))
    return all_of([condition for condition in conditions if condition != "true"])


def container_condition(exemption: Exemption, name: str) -> str:
    """Whether it covers the container of this name (CEL)."""
    return matches_globs(name, exemption.containers)


def level_variable(plan: EnforcementPlan) -> str:
    """The Pod Security level that the object's namespace is held to."""
    text = literal(plan.level)
    asked = plan.spec.spec.pod_security
    for exemption in reversed(asked.exemptions if asked else []):
        if not exemption.is_expired(plan.moment):
            namespace = matches_glob("variables.objectNamespace", exemption.namespace)
            text = f"{namespace} ? {literal(str(exemption.level))} : {text}"
    return text


def in_levels(levels: Sequence[str]) -> str:
    """Whether the namespace has one of these levels."""
    return one_of("variables.level", levels)


def _selects(selector: ResourceSelector) -> str:
    labels = [
        f"object.metadata.?labels[?{literal(key)}].optMap(x, x == {literal(value)}).orValue(false)"
        for key, value in sorted(selector.label_selector.items())
    ]
    if selector.namespace is not None:
        labels.append(matches_glob("variables.objectNamespace", selector.namespace))
    refs = []
    for kind, name in (
        ("object.kind", "variables.name"),
        ("variables.owner.kind", "variables.owner.name"),
    ):
        conditions = [f"{kind} == {literal(selector.kind)}"] if selector.kind else []
        if selector.name:
            conditions.append(matches_glob(name, selector.name))
        conditions = [condition for condition in conditions if condition != "true"]
        if not conditions:
            return all_of(labels)
        refs.append(all_of(conditions))
    return all_of([*labels, parenthesised(any_of(refs))])
