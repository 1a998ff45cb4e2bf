"""One specification on one cluster: what each of its checks sees, and what is known of the cluster.

What runs once and what lives for months use the same: a cluster that changes says so (`Examined.changed`), and what was
concluded from its former state is forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources.source import Source
from pytest_kspec.errors import SourceError
from pytest_kspec.evaluate import notes
from pytest_kspec.evaluate.context import CheckContext
from pytest_kspec.evaluate.findings import Grouping
from pytest_kspec.evaluate.scoped import ScopeView
from pytest_kspec.plan.frameworks import PlannedFramework
from pytest_kspec.plan.plan import Plan, Planned
from pytest_kspec.results import annotated
from pytest_kspec.results.exemptions import Exemptions
from pytest_kspec.results.identity import cluster_id
from pytest_kspec.spec.activation import inactive_reason
from pytest_kspec.spec.loading import LoadedSpec

if TYPE_CHECKING:
    from pytest_kspec.results.baseline import Baseline
    from pytest_kspec.results.finding import Finding
    from pytest_kspec.signatures.verify import SignatureVerifier


class NamedSource(Struct):
    """A cluster of a specification. name: as in node ids, unique within the specification."""

    name: str
    source: Source


class SpecRun(Struct):
    """A specification, what it asks for, and where."""

    plan: Plan
    targets: list[NamedSource]
    exemptions: Exemptions
    frameworks: tuple[PlannedFramework, ...] | None = None

    @property
    def spec(self) -> LoadedSpec:
        """The specification."""
        return self.plan.spec


class Examined:
    """A cluster that is examined, however many specifications ask. Each kind is listed once, until it changes.

    shared: as for `Inventory`
    """

    def __init__(self, source: Source, shared: Path | None = None) -> None:
        self.inventory = Inventory(source, shared)
        self.grouping = Grouping()
        self.changes = 0

    def changed(self, raw: Mapping[str, Any], *, gone: bool = False) -> None:
        """One object is another now, as `Inventory.changed`: what was concluded before does not hold."""
        self.inventory.changed(raw, gone=gone)
        self._forget()

    def relist(self, kind: str | None = None, group: str | None = None) -> None:
        """List this kind anew, or everything, as `Inventory.relist`."""
        self.inventory.relist(kind, group)
        self._forget()

    def renew(self) -> None:
        """Begin another look at everything, with the bounds of the cluster counted anew."""
        self.inventory.renew()
        self._forget()

    def close(self) -> None:
        """Release connections and files."""
        self.inventory.close()

    def _forget(self) -> None:
        self.grouping = Grouping()
        self.changes += 1


class ClusterScan:
    """What the checks of one specification see of one cluster, as of one moment."""

    def __init__(
        self,
        plan: Plan,
        exemptions: Exemptions,
        examined: Examined,
        moment: datetime,
        *,
        name: str = "",
        baseline: Baseline | None = None,
        verifier: Callable[[], SignatureVerifier] | None = None,
    ) -> None:
        """name: of the cluster in reports; its source's where it is not given. verifier: of the run, None: its own."""
        self._plan = plan
        self._exemptions = exemptions
        self._examined = examined
        self._moment = moment
        self._name = name or examined.inventory.source.name
        self._baseline = baseline
        self._verifier = verifier
        self._scope: ScopeView | None = None
        self._refused: tuple[str, ...] | None = None
        self._as_of = examined.changes

    def context(self, planned: Planned, name: str = "") -> CheckContext:
        """What one check sees. name: the requirement's with its parameters, where there are some."""
        inventory = self._examined.inventory
        requirement, check = planned.requirement, planned.entry.check
        knows: Callable[[Finding], bool] | None = None
        if self._baseline is not None:
            kind, cluster = inventory.source.kind, self._name
            knows = self._baseline.knows(
                lambda: cluster_id(inventory.info.uid, kind, cluster), cluster, name or requirement.id
            )
        asked = self._plan.spec.spec
        annotating = annotated.matcher(
            asked.annotation_exemptions, requirement.id, check.severity, self._moment
        )
        return CheckContext(
            inventory,
            self._examined.grouping,
            asked,
            requirement,
            self._exemptions,
            knows,
            None if check.cluster_wide else self.scope,
            self._verifier,
            annotating,
            check.reads,
        )

    @property
    def inactive(self) -> str:
        """Why the specification has no requirements at the moment of this scan, or ""."""
        return inactive_reason(self._plan.spec.spec.time_based_activation, self._moment)

    @property
    def scope(self) -> ScopeView | None:
        """`namespaceScope` on this cluster; None if the specification is about all of it."""
        self._keep_up()
        asked = self._plan.spec.spec.namespace_scope
        if self._scope is None and asked is not None:
            self._scope = ScopeView(asked, self._examined.inventory)
        return self._scope

    def facts(self) -> dict[str, str]:
        """What is known of the cluster beside the results, as plain data; `basic_facts` where it cannot be reached."""
        inventory = self._examined.inventory
        facts = basic_facts(self._name, inventory.source.kind)
        try:
            info = inventory.info
        except SourceError:
            return facts
        facts |= {"version": info.version, "uid": info.uid}
        recorded = getattr(inventory.source, "recorded", None)
        if recorded is not None:
            facts["sha256"] = inventory.source.sha256  # type: ignore[attr-defined]  # of a snapshot
            facts["recordedAt"] = recorded().recorded_at
        scope = None if self.inactive else self.scope
        facts["scope"] = scope.note() if scope is not None else ""
        facts["labels"] = notes.unlabelled(inventory, scope)
        of_files = getattr(inventory.source, "notes", None)
        texts: list[str] = []
        for note in of_files() if of_files is not None else ():
            key = "manifests" if note.hides else "files"
            facts[key] += note.text + "\n"
            texts.append(note.text)
        facts["templates"] = notes.unexamined(inventory, self._plan.spec.spec)
        facts["annotations"] = "\n".join(self._refused_annotations())
        facts["names"] = notes.all_names(
            facts["scope"], facts["labels"], facts["templates"], *texts, *self._refused_annotations()
        )
        return {key: str(value) for key, value in facts.items()}  # plain, to cross to other processes

    def _refused_annotations(self) -> tuple[str, ...]:
        """Annotations that mean to exempt and have no effect, and why."""
        self._keep_up()
        if self._refused is None:
            self._refused = notes.refused_annotations(self._plan, self._examined.inventory, self._moment)
        return self._refused

    def _keep_up(self) -> None:
        if self._as_of != self._examined.changes:
            self._scope = self._refused = None
            self._as_of = self._examined.changes


def basic_facts(name: str, kind: str) -> dict[str, str]:
    """What `ClusterScan.facts` says of a cluster that nothing was read of: it can be told where no check runs."""
    read = ("version", "uid", "sha256", "recordedAt", "scope", "labels", "templates", "names")
    said = ("files", "manifests", "annotations")
    return {"name": name, "source": kind, **dict.fromkeys((*read, *said), "")}
