"""`namespaceScope` in a scan: which objects of a cluster a specification speaks about.

What a check is given (pods, namespaces, Services, …) holds objects in scope only, and a finding about any other object
does not count. What a check looks up by itself (`cluster.list`, `rbac`) is the whole cluster, so that a verdict about
an object in scope may rest on objects that are not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeVar

from pytest_kspec.errors import SourceError
from pytest_kspec.kube.listing import Listing, few
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.kube.resources import Resource
from pytest_kspec.spec.scope import in_scope

if TYPE_CHECKING:
    from pytest_kspec.cluster.inventory.inventory import Inventory
    from pytest_kspec.spec.operations import NamespaceScope

R = TypeVar("R", bound=Resource)


class ScopeView:
    """The scope of one specification on one cluster. Every answer is kept."""

    def __init__(self, scope: NamespaceScope, inventory: Inventory) -> None:
        self._scope = scope
        self._by_name = scope.model_copy(update={"namespace_selector": None})
        self._inventory = inventory
        self._known: dict[str, bool] = {"": True}
        self._selected: dict[int, tuple[Sequence[Resource], tuple[Resource, ...]]] = {}

    def covers(self, ref: ResourceRef) -> bool:
        """Whether the specification speaks about this object; a Namespace is in itself."""
        return self.covers_namespace(
            ref.name if ref.kind == "Namespace" and ref.api_version == "v1" else ref.namespace
        )

    def covers_namespace(self, name: str) -> bool:
        """Raises SourceError if it depends on labels that could not be read."""
        known = self._known.get(name)
        if known is None:
            known = self._known[name] = self._decide(name)
        return known

    def select(self, items: Sequence[R]) -> Sequence[R]:
        """Those in scope: for equal sequences the same one, since what is known of it is kept by identity."""
        known = self._selected.get(id(items))
        if known is None or known[0] is not items:
            chosen = tuple(item for item in items if self.covers(item.ref))
            known = self._selected[id(items)] = (items, chosen)
        return known[1]  # type: ignore[return-value]  # what was put in comes out

    def note(self) -> str:
        """How many namespaces are left out, and which; "" if none is."""
        try:
            names = self._names
            left_out = sorted(name for name in names if not self.covers_namespace(name))
        except SourceError as error:
            return f"objects out of scope are not examined; the number of these namespaces is unknown: {error.what}"
        if not left_out:
            return ""
        are = "namespace is" if len(names) == 1 else "namespaces are"
        return Listing(
            f"{len(left_out)} of {len(names)} {are} out of scope and not examined: {few(left_out)}", left_out
        )

    def _decide(self, name: str) -> bool:
        if self._scope.namespace_selector is None or not in_scope(self._by_name, name, {}):
            return in_scope(self._by_name, name, {})
        labels = self._inventory.namespace_labels.get(name)
        if labels is None:
            raise SourceError(
                f"whether namespace {name} is in scope depends on its labels, but the Namespace {name} does not exist.",
                where=self._inventory.source.name,
                fix="Add the Namespace object."
                if self._inventory.source.kind == "manifests"
                else "It was created while the cluster was read: scan again.",
            )
        return in_scope(self._scope, name, labels)

    @property
    def _names(self) -> set[str]:
        return {item.name for item in self._inventory.list("Namespace", "")}
