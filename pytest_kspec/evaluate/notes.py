"""What is not evaluated of a cluster although the specification may mean it, said in words."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from inspect import signature
from typing import TYPE_CHECKING

import msgspec

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.errors import SourceError
from pytest_kspec.evaluate.scoped import ScopeView
from pytest_kspec.kube.listing import Listing, few
from pytest_kspec.kube.podkinds import pod_kinds
from pytest_kspec.kube.resources import Resource, unknown_labels
from pytest_kspec.plan.plan import Plan
from pytest_kspec.results import annotated

if TYPE_CHECKING:
    from pytest_kspec.spec.sections import ClusterSpecification


def unexamined(inventory: Inventory, spec: ClusterSpecification) -> str:
    """Which pods in objects of foreign kinds no check is given, or ""."""
    try:
        found = inventory.unevaluated(pod_kinds(spec.pod_templates))
    except SourceError as error:
        return f"whether other kinds contain pod templates is unknown: {error.what}"
    if not found:
        return ""
    return Listing(
        "pods in kinds that are not Kubernetes' own were not evaluated (name their place in workloads.podTemplates, or "
        f"scan a cluster, which has their pods): {few(list(map(str, found)))}",
        (name for one in found for name in one.all),
    )


def all_names(*said: str) -> str:
    """Of sentences that name the first of many, all that they are about, as JSON by sentence; "" if none does."""
    found = {str(one): one.names for one in said if isinstance(one, Listing) and one.names}
    return msgspec.json.encode(found).decode() if found else ""


_PODS = {"workloads", "pods", "containers"}


def _annotatable(plan: Plan, inventory: Inventory) -> Iterator[Resource]:
    """Objects whose annotations may mean to exempt. Where that is not allowed, none are read for this alone."""
    allowed = plan.spec.spec.annotation_exemptions is not None
    if allowed or any(_PODS & signature(item.entry.check.func).parameters.keys() for item in plan.planned):
        for item in inventory.workloads(pod_kinds(plan.spec.spec.pod_templates)):
            if allowed or item.is_pod or inventory.source.kind == "manifests":
                yield item
    if allowed:
        yield from inventory.list("Service", "")


def unlabelled(inventory: Inventory, scope: ScopeView | None) -> str:
    """Why labels of namespaces in scope are not known, or ""."""
    try:
        found = inventory.unlabelled_namespaces
        return unknown_labels(name for name in found if scope is None or scope.covers_namespace(name))
    except SourceError:
        return ""  # an error of every check that asks for namespaces


def refused_annotations(plan: Plan, inventory: Inventory, moment: datetime) -> tuple[str, ...]:
    """Annotations that mean to exempt and have no effect, and why."""
    allowed = plan.spec.spec.annotation_exemptions
    asked = {item.requirement.id: item.entry.check.severity for item in plan.planned}
    try:
        return annotated.notes(_annotatable(plan, inventory), allowed, asked, moment)
    except SourceError as error:
        return (f"whether objects carry exemptions is unknown: {error.what}",) if allowed else ()
