"""State of one run: plans, inventories, results. In the session's stash; each xdist worker has its own."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pytest_kspec
from pytest_kspec.clock import now
from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources import open as sources
from pytest_kspec.cluster.sources.source import Source
from pytest_kspec.errors import KspecError, SourceError, SpecError, UsageError
from pytest_kspec.evaluate.context import CheckContext, make_verifier
from pytest_kspec.evaluate.findings import Grouping
from pytest_kspec.evaluate.scoped import ScopeView
from pytest_kspec.kube.podkinds import pod_kinds
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.kube.resources import NAMES_SHOWN, Resource, unknown_labels
from pytest_kspec.plan.assess import assess
from pytest_kspec.plan.catalog import Catalog, Importer, load_catalog
from pytest_kspec.plan.frameworks import PlannedFramework, plan_frameworks
from pytest_kspec.plan.plan import STANDARDS, Plan, Planned, make_plan
from pytest_kspec.results import annotated
from pytest_kspec.results.evidence import Evidence, ExemptionUse
from pytest_kspec.results.exemptions import Exemptions, load_exemptions
from pytest_kspec.results.finding import AppliedExemption
from pytest_kspec.results.identity import cluster_id
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.results.verdict import Severity, Verdict
from pytest_kspec.rules.pods.podsecurity import newer_standards
from pytest_kspec.session import clusterspecs
from pytest_kspec.session.options import Options
from pytest_kspec.session.runby import run_by
from pytest_kspec.spec.activation import inactive_reason
from pytest_kspec.spec.effective import Library
from pytest_kspec.spec.loading import LoadedSpec, find_specs, load_spec
from pytest_kspec.spec.notes import NotEvaluated
from pytest_kspec.spec.requirement import Requirement

if TYPE_CHECKING:
    from pytest_kspec.signatures.verify import SignatureVerifier
    from pytest_kspec.spec.sections import ClusterSpecification, PodSecurity

KEY = pytest.StashKey["Run"]()
NOT_RUN = "not run: the run ended before its turn"


@dataclass
class Target:
    """One specification on one cluster. name: as in node ids, unique within the specification."""

    name: str
    source: Source


@dataclass
class SpecRun:
    """A specification, what it asks for, and where."""

    plan: Plan
    targets: list[Target]
    exemptions: Exemptions
    frameworks: tuple[PlannedFramework, ...] | None = None

    @property
    def spec(self) -> LoadedSpec:
        """The specification."""
        return self.plan.spec


@dataclass
class Run:
    """One pytest session with specifications.

    shared: folder where xdist workers share what they list; resources: where specifications of a cluster are laid;
    collected: some process knows what is to be run; ended: what ended the run, or a worker of it, before its time
    """

    options: Options
    rootpath: Path
    catalog: Catalog
    specs: dict[Path, SpecRun]
    shared: Path | None = None
    resources: Path | None = None
    started: datetime = field(default_factory=now)
    expected: dict[str, None] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    result: ScanResult | None = None
    collected: bool = False
    ended: str = ""

    @cached_property
    def _inventories(self) -> dict[str, tuple[Inventory, Grouping]]:
        return {}

    def context(self, spec: SpecRun, target: Target, planned: Planned, name: str) -> CheckContext:
        """What one check sees. A cluster has one inventory, however many specifications and checks.

        name: the item's, which has the parameters too
        """
        known = self._inventories.get(target.source.ref)
        if known is None:
            known = self._inventories[target.source.ref] = (Inventory(target.source, self.shared), Grouping())
        baseline = self.options.baseline
        knows = None
        if baseline is not None:
            inventory, kind = known[0], target.source.kind
            knows = baseline.knows(
                lambda: cluster_id(inventory.info.uid, kind, target.name), target.name, name
            )
        scope = None if planned.entry.check.cluster_wide else self._scope(spec, target)
        asked, requirement = spec.spec.spec, planned.requirement
        annotating = annotated.matcher(
            asked.annotation_exemptions, requirement.id, planned.entry.check.severity, self.started
        )
        return CheckContext(
            *known, asked, requirement, spec.exemptions, knows, scope, lambda: self._verifier, annotating
        )

    @cached_property
    def _verifier(self) -> SignatureVerifier:
        return make_verifier(self.shared)

    @cached_property
    def _scopes(self) -> dict[tuple[str, str], ScopeView]:
        return {}

    def _scope(self, spec: SpecRun, target: Target) -> ScopeView | None:
        scope = spec.spec.spec.namespace_scope
        known = self._inventories.get(target.source.ref)
        if scope is None or known is None:
            return None
        key = (spec.spec.path, target.source.ref)
        if key not in self._scopes:
            self._scopes[key] = ScopeView(scope, known[0])
        return self._scopes[key]

    def _refused_annotations(self, spec: SpecRun, target: Target, inventory: Inventory) -> tuple[str, ...]:
        """Annotations that mean to exempt and have no effect, and why."""
        key = (spec.spec.path, target.source.ref)
        if key not in self._annotations:
            allowed = spec.spec.spec.annotation_exemptions
            planned = spec.plan.planned
            asked = {item.requirement.id: item.entry.check.severity for item in planned}
            try:
                found = annotated.notes(_annotatable(spec, inventory), allowed, asked, self.started)
            except SourceError as error:
                found = (f"whether objects carry exemptions is unknown: {error.what}",) if allowed else ()
            self._annotations[key] = found
        return self._annotations[key]

    @cached_property
    def _annotations(self) -> dict[tuple[str, str], tuple[str, ...]]:
        return {}

    def inactive(self, spec: SpecRun) -> str:
        """Why the specification asks for nothing at the moment of this run, or ""."""
        return inactive_reason(spec.spec.spec.time_based_activation, self.started)

    def cluster_facts(self, spec: SpecRun, target: Target) -> dict[str, str]:
        """Name, source, version and uid, what was read of a snapshot, and what is out of scope, as far as known."""
        facts = {"name": target.name, "source": target.source.kind, "version": "", "uid": ""}
        facts |= {"sha256": "", "recordedAt": "", "scope": "", "labels": "", "templates": "", "files": ""}
        facts |= {"manifests": "", "annotations": ""}
        known = self._inventories.get(target.source.ref)
        if known is not None:
            try:
                info = known[0].info
            except SourceError:
                return facts
            facts |= {"version": info.version, "uid": info.uid}
            if target.source.kind == "snapshot":
                from pytest_kspec.cluster.sources.snapshot import SnapshotSource

                assert isinstance(target.source, SnapshotSource)
                facts["sha256"] = target.source.sha256
                facts["recordedAt"] = target.source.recorded().recorded_at
            scope = None if self.inactive(spec) else self._scope(spec, target)
            facts["scope"] = scope.note() if scope is not None else ""
            facts["labels"] = _unlabelled(known[0], scope)
            notes = getattr(target.source, "notes", None)
            for note in notes() if notes is not None else ():
                key = "manifests" if note.hides else "files"
                facts[key] += note.text + "\n"
            facts["templates"] = _unexamined(known[0], spec.spec.spec)
            facts["annotations"] = "\n".join(self._refused_annotations(spec, target, known[0]))
        return facts

    def forget(self, target: Target) -> None:
        """Give back the memory of a cluster, its connections and files. Asked for again, it is listed again."""
        ref = target.source.ref
        for key in [key for key in self._scopes if key[1] == ref]:
            del self._scopes[key]
        known = self._inventories.pop(ref, None)
        if known is not None:
            known[0].close()

    def close(self) -> None:
        """Give back connections and files."""
        if "_verifier" in self.__dict__:  # asked for by some check
            self._verifier.close()
        for spec in self.specs.values():
            for target in spec.targets:
                target.source.close()

    def name_of(self, path: Path) -> str:
        """What node ids begin with: the path from the root folder, or `cr:NAME`, which is the same in each run."""
        spec = self.specs.get(path.resolve())
        if spec is not None and clusterspecs.is_resource(spec.spec.path):
            return spec.spec.path
        # pytest's own id of a file outside the root folder can be empty.
        return os.path.relpath(path, self.rootpath).replace(os.sep, "/")

    def path_of(self, name: str) -> Path:
        """The inverse."""
        if clusterspecs.is_resource(name) and self.resources is not None:
            return (self.resources / f"{name.removeprefix(clusterspecs.PREFIX)}.yaml").resolve()
        return (self.rootpath / name).resolve()

    def resolve(self, nodeid: str) -> tuple[SpecRun, Target, str] | None:
        """Specification, cluster and requirement id of a node id; None if it is not ours."""
        parts = nodeid.split("::", 2)
        spec = self.specs.get(self.path_of(parts[0])) if len(parts) == 3 else None
        if spec is None:
            return None
        for target in spec.targets:
            if target.name == parts[1]:
                return spec, target, parts[2]
        return None

    def planned(self) -> list[str]:
        """Node ids of everything that is asked for; parameter sets, which only collecting finds, are one."""
        return [
            f"{self.name_of(path)}::{target.name}::{planned.requirement.id}"
            for path, spec in self.specs.items()
            for target in spec.targets
            for planned in spec.plan.planned
        ]

    def finish(self) -> ScanResult:
        """All results, with an error for every collected requirement that has none.

        Where the run ended before anything was collected, everything that is asked for is one.
        """
        if self.ended and not self.collected:
            self.expected.update(dict.fromkeys(self.planned()))
        reason = f"{NOT_RUN} ({self.ended})" if self.ended else NOT_RUN
        for nodeid in self.expected:
            if nodeid not in self.results and (missing := self.missing(nodeid, reason)) is not None:
                self.results[nodeid] = missing
        groups: dict[tuple[Path, str], list[dict[str, Any]]] = {}
        for nodeid, wire in self.results.items():
            found = self.resolve(nodeid)
            if found is None:
                # Dropped, it would be missing from a report that looks complete.
                raise KspecError("a result belongs to no specification of this run.", where=nodeid)
            path = self.path_of(nodeid.split("::", 1)[0])
            groups.setdefault((path, found[1].name), []).append(wire)
        clusters = [self._cluster(self.specs[path], name, wires) for (path, name), wires in groups.items()]
        clusters.sort(key=lambda c: (c.name, c.spec_name, c.spec_path))
        self.result = ScanResult(
            tool_version=pytest_kspec.__version__,
            started_at=_rfc3339(self.started),
            finished_at=_rfc3339(now()),
            clusters=tuple(clusters),
            run_by=run_by(self.options.run_by, os.environ),
        )
        return self.result

    def _cluster(self, spec: SpecRun, name: str, wires: Iterable[Mapping[str, Any]]) -> ClusterResult:
        facts: Mapping[str, str] = {}
        uses: dict[int, int] = {}
        checks = []
        for wire in wires:
            if not facts or sum(map(bool, wire["cluster"].values())) > sum(map(bool, facts.values())):
                facts = wire["cluster"]  # of a check that did not run, less is known
            for index, count in wire["uses"]:
                uses[index] = uses.get(index, 0) + count
            checks.append(CheckResult.from_wire(dict(wire["result"])))
        checks.sort(key=lambda c: (c.id, c.nodeid))
        names = [c.id for c in checks if c.verdict != Verdict.ERROR]
        complete = len(names) == len(checks) and all(
            any(name == p.requirement.id or name.startswith(f"{p.requirement.id}[") for name in names)
            for p in spec.plan.planned
        )
        left_out = tuple(self._left_out(spec, facts))
        made = ClusterResult(
            name=name,
            source=facts["source"],
            version=facts["version"],
            uid=facts["uid"],
            spec_name=spec.spec.name,
            spec_version=spec.spec.version,
            spec_path=spec.spec.path,
            checks=tuple(checks),
            exemptions=(
                *spec.exemptions.report(uses, complete=complete),
                *_namespace_levels(spec.spec),
                *_annotated(checks),
            ),
            not_evaluated=(*spec.plan.not_evaluated, *left_out),
            evidence=Evidence(
                next((t.source.ref for t in spec.targets if t.name == name), ""),
                facts["sha256"],
                facts["recordedAt"],
                spec.spec.sha256,
            ),
            frameworks=assess(
                self._frameworks(spec), spec.plan.planned, checks, (*spec.plan.left_out, *left_out)
            ),
        )
        baseline = self.options.baseline
        return made if baseline is None else replace(made, baseline=baseline.use(made))

    def _frameworks(self, spec: SpecRun) -> tuple[PlannedFramework, ...]:
        """The same on every cluster."""
        if spec.frameworks is None:
            spec.frameworks = plan_frameworks(spec.spec, self.catalog, spec.plan.planned)
        return spec.frameworks

    def _left_out(self, spec: SpecRun, facts: Mapping[str, str]) -> Iterator[NotEvaluated]:
        """What a scope, a time, a version that is too new or a foreign kind leaves out of this run."""
        asked = spec.spec.spec.pod_security
        unpinned = asked is not None and asked.enforce is not None and asked.version is None
        for key, why in (
            (STANDARDS, newer_standards(facts["version"]) if unpinned else ""),
            *((f"podSecurity.{mode}", facts["labels"]) for mode in _label_modes(asked)),
            ("namespaceScope", facts["scope"]),
            ("timeBasedActivation", self.inactive(spec)),
            ("workloads", facts["templates"]),
            *(("manifests", note) for note in facts["manifests"].splitlines()),
            *(("files", note) for note in facts["files"].splitlines()),
            *((annotated.KEY, note) for note in facts["annotations"].splitlines()),
        ):
            if why:
                yield NotEvaluated(key, why.removesuffix(" (timeBasedActivation)"), spec.spec.locate(key))

    def missing(self, nodeid: str, reason: str) -> dict[str, Any] | None:
        """What stands for the result of an item that has none; None if it is not ours."""
        from pytest_kspec.evaluate.verdict import make_result

        found = self.resolve(nodeid)
        if found is None:
            return None
        spec, target, name = found
        for planned in spec.plan.planned:
            id = planned.requirement.id
            if name == id or name.startswith(
                (f"{id}[", f"{id}@")
            ):  # parameters; `@GROUP` of --dist loadgroup
                made = make_result(
                    planned.entry.check, planned.requirement, None, nodeid=nodeid, reason=reason
                )
                result = made.to_wire() | {"id": name}
                return {"result": result, "uses": [], "cluster": self.cluster_facts(spec, target)}
        return None

    def under_threshold(self) -> bool:
        """True if something failed, nothing is an error, and no failure reaches --kspec-fail-on."""
        failed = False
        for wire in self.results.values():
            verdict = wire["result"]["verdict"]
            if verdict == Verdict.ERROR:
                return False
            if verdict == Verdict.FAIL:
                failed = True
                if Severity(wire["result"]["severity"]).rank >= self.options.fail_on.rank:
                    return False
        return failed


def make_run(options: Options, rootpath: Path, importer: Importer, resources: Path | None = None) -> Run:
    """Load everything that needs no cluster. Raises KspecError; specification errors come all at once.

    resources: the folder where `clusterspecs.fetch` laid specifications of a cluster, None without those
    """
    started = now()
    loaded: list[LoadedSpec] = []
    problems: list[str] = []
    files = [spec for spec in options.specs if not clusterspecs.is_resource(spec)]
    paths = find_specs(files)
    for path in paths:
        try:
            loaded.append(load_spec(path, Library(tuple(paths))))
        except SpecError as error:
            problems.extend(error.problems or [str(error)])
    of_cluster: dict[Path, LoadedSpec] = {}
    if resources is not None:
        try:
            of_cluster = clusterspecs.load(resources)
        except SpecError as error:
            problems.extend(error.problems or [str(error)])
    if problems:
        raise SpecError("the specification is not valid", problems=tuple(problems))
    extra = [exemption for path in options.exemptions for exemption in load_exemptions(path)]
    own = {path.resolve(): path for spec in loaded for path in spec.checks}
    checks = [*options.checks, *(p for r, p in own.items() if r not in {c.resolve() for c in options.checks})]
    catalog = load_catalog(checks, importer)
    opened: dict[str, Source] = {}
    specs = {
        path.resolve(): SpecRun(
            make_plan(spec, catalog, extra),
            _targets(spec, options, opened),
            Exemptions([*spec.exemptions, *extra], started),
        )
        for path, spec in [*((Path(spec.path), spec) for spec in loaded), *of_cluster.items()]
    }
    idle = [str(path) for path, run in specs.items() if not run.plan.planned]
    if idle and len(idle) < len(specs) and not options.allow_empty:
        # Alone, such a specification runs nothing, and is an error; beside others it would not be noticed.
        raise SpecError(
            "the specification asks for nothing",
            problems=tuple(f"{path}: nothing in the specification asks for a check." for path in idle),
        )
    return Run(options, rootpath, catalog, specs, started=started, resources=resources)


def _targets(spec: LoadedSpec, options: Options, opened: dict[str, Source]) -> list[Target]:
    refs: list[str] = []
    for given in options.clusters or (spec.cluster_ref,):
        if given == "all":
            refs.extend(sources.contexts(options.kubeconfig))
        else:
            refs.append(given or sources.default_ref(options.kubeconfig))
    targets: list[Target] = []
    for ref in dict.fromkeys(refs):
        if ref not in opened:
            opened[ref] = sources.open_source(ref, kubeconfig=options.kubeconfig)
        source = opened[ref]
        name = source.name.replace("::", ":") or "cluster"
        if any(target.name == name for target in targets):
            raise UsageError(
                f"two clusters are named '{name}'.", where="--kspec-cluster", fix="Name each cluster once."
            )
        targets.append(Target(name, source))
    return targets


def make_shared_folder() -> Path:
    """A folder of this user's only, where the workers of one run share raw pages."""
    return Path(tempfile.mkdtemp(prefix="kspec-"))


def remove_shared_folder(path: Path) -> None:
    """Raw pages hold what the cluster holds: nothing of them is left behind."""
    shutil.rmtree(path, ignore_errors=True)


def _unexamined(inventory: Inventory, spec: ClusterSpecification) -> str:
    """Which pods in objects of foreign kinds no check is given, or ""."""
    try:
        found = inventory.unevaluated(pod_kinds(spec.pod_templates))
    except SourceError as error:
        return f"whether other kinds hold pod templates is unknown: {error.what}"
    if not found:
        return ""
    more = f" and {len(found) - NAMES_SHOWN} more" if len(found) > NAMES_SHOWN else ""
    return (
        "pods in kinds that are not Kubernetes' own were not evaluated (name their place in workloads.podTemplates, or "
        f"scan a cluster, which has their pods): {', '.join(found[:NAMES_SHOWN])}{more}"
    )


_PODS = {"workloads", "pods", "containers"}


def _annotatable(spec: SpecRun, inventory: Inventory) -> Iterator[Resource]:
    """Objects whose annotations may mean to exempt. Where that is not allowed, none are read for this alone."""
    allowed = spec.spec.spec.annotation_exemptions is not None
    if allowed or any(
        _PODS & signature(item.entry.check.func).parameters.keys() for item in spec.plan.planned
    ):
        for item in inventory.workloads(pod_kinds(spec.spec.spec.pod_templates)):
            if allowed or item.is_pod or inventory.source.kind == "manifests":
                yield item
    if allowed:
        yield from inventory.list("Service", "")


def _annotated(checks: Iterable[CheckResult]) -> list[ExemptionUse]:
    """Exemptions that objects carry themselves, as far as they cover findings."""
    found: dict[AppliedExemption, tuple[ResourceRef, int]] = {}
    for check in checks:
        for finding in check.findings:
            applied = finding.exemption
            if applied is not None and applied.name.startswith(annotated.NAME):
                found[applied] = (finding.resource, found.get(applied, (finding.resource, 0))[1] + 1)
    return [
        ExemptionUse(
            applied.name,
            applied.reason,
            "",
            applied.expires_at,
            annotated.location(applied, ref),
            "used",
            count,
        )
        for applied, (ref, count) in sorted(
            found.items(), key=lambda item: (item[0].name, item[0].expires_at)
        )
    ]


def _unlabelled(inventory: Inventory, scope: ScopeView | None) -> str:
    """Why labels of namespaces in scope are not known, or ""."""
    try:
        found = inventory.unlabelled_namespaces
        return unknown_labels(name for name in found if scope is None or scope.covers_namespace(name))
    except SourceError:
        return ""  # an error of every check that asks for namespaces


def _label_modes(section: PodSecurity | None) -> Iterator[str]:
    """The keys of the Pod Security labels that a specification asks for."""
    if section is not None:
        yield from (mode for mode in ("enforce", "audit", "warn") if getattr(section, mode) is not None)


def _namespace_levels(spec: LoadedSpec) -> Iterator[ExemptionUse]:
    """Namespaces held to another Pod Security level: exemptions too, so that every report shows them."""
    section = spec.spec.pod_security
    for index, entry in enumerate(section.exemptions if section is not None else ()):
        yield ExemptionUse(
            name=f"podSecurity.exemptions: namespace {entry.namespace} at level {entry.level}",
            reason=entry.reason,
            approver="",
            expires_at=entry.expires_text,
            location=spec.locate(f"podSecurity.exemptions[{index}]"),
            state="expired" if entry.is_expired(now()) else "used",
            matched=0,
        )


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


__all__ = ["KEY", "Requirement", "Run", "SpecRun", "Target", "make_run", "make_shared_folder", "now"]
