"""State of one run: plans, inventories, results. In the session's stash; each xdist worker has its own."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from msgspec import Struct, field

import pytest_kspec
from pytest_kspec.clock import now
from pytest_kspec.cluster.sources import open as sources
from pytest_kspec.cluster.sources.source import Source
from pytest_kspec.cluster.sources.unopened import UnopenedSource
from pytest_kspec.errors import KspecError, SpecError, UsageError
from pytest_kspec.evaluate.assemble import cluster_result
from pytest_kspec.evaluate.context import make_verifier
from pytest_kspec.evaluate.scan import ClusterScan, Examined, NamedSource, SpecRun, basic_facts
from pytest_kspec.evaluate.verdict import make_result
from pytest_kspec.plan.checkset import CheckSet, Importer, load_checks
from pytest_kspec.plan.plan import make_plan
from pytest_kspec.results.exemptions import Exemptions, load_exemptions
from pytest_kspec.results.order import cluster_key
from pytest_kspec.results.result import ScanResult
from pytest_kspec.results.verdict import Severity, Verdict
from pytest_kspec.runby import run_by
from pytest_kspec.session import clusterspecs
from pytest_kspec.session.options import Options
from pytest_kspec.spec.activation import inactive_reason
from pytest_kspec.spec.effective import Library
from pytest_kspec.spec.loading import LoadedSpec, find_specs, load_spec

if TYPE_CHECKING:
    from pytest_kspec.signatures.verify import SignatureVerifier

KEY = pytest.StashKey["Run"]()
NOT_RUN = "not run: the run ended before its turn"

_COLONS = re.compile(":{2,}")  # pytest takes node ids apart at two of them


class Run(Struct, dict=True):
    """One pytest session with specifications.

    shared: folder where xdist workers share what they list; resources: where specifications of a cluster are laid;
    made: names of the items that were collected, below their cluster; left_out: those of them that are not to be run
    collected: some process knows what is to be run; ended: what ended the run, or a worker of it, before its time;
    published, problems: lines about reports, and about those that could not be written
    """

    options: Options
    rootpath: Path
    checkset: CheckSet
    specs: dict[Path, SpecRun]
    shared: Path | None = None
    resources: Path | None = None
    started: datetime = field(default_factory=now)
    expected: dict[str, None] = field(default_factory=dict)
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    result: ScanResult | None = None
    made: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)
    collected: bool = False
    ended: str = ""
    published: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    @cached_property
    def asked(self) -> str:
        """A digest of specifications, exemptions and the baseline, which all processes of a run must have alike."""
        digest = hashlib.sha256(b"" if self.options.baseline is None else self.options.baseline.render())
        for path, run in sorted(self.specs.items()):
            digest.update(repr((str(path), run.spec.sha256, run.exemptions.all)).encode("utf-8", "replace"))
        return digest.hexdigest()

    @cached_property
    def _examined(self) -> dict[str, Examined]:
        """By the reference of their source: a cluster is listed once, however many specifications and checks."""
        return {}

    @cached_property
    def _scans(self) -> dict[tuple[str, str], ClusterScan]:
        return {}

    def scan(self, spec: SpecRun, target: NamedSource) -> ClusterScan:
        """One specification on one cluster. Touches no cluster."""
        ref = target.source.ref
        key = (spec.spec.path, ref)
        if key not in self._scans:
            if ref not in self._examined:
                self._examined[ref] = Examined(target.source, self.shared)
            self._scans[key] = ClusterScan(
                spec.plan,
                spec.exemptions,
                self._examined[ref],
                self.started,
                name=target.name,
                baseline=self.options.baseline,
                verifier=lambda: self._verifier,
            )
        return self._scans[key]

    @cached_property
    def _verifier(self) -> SignatureVerifier:
        return make_verifier(self.shared)

    def inactive(self, spec: SpecRun) -> str:
        """Why the specification has no requirements at the moment of this run, or ""."""
        return inactive_reason(spec.spec.spec.time_based_activation, self.started)

    def cluster_facts(self, spec: SpecRun, target: NamedSource) -> dict[str, str]:
        """What is known of the cluster; of one that no check of this process has looked at, its name."""
        if target.source.ref in self._examined:
            return self.scan(spec, target).facts()
        return basic_facts(target.name, target.source.kind)

    def forget(self, target: NamedSource) -> None:
        """Give back the memory of a cluster, its connections and files. Asked for again, it is listed again."""
        ref = target.source.ref
        for key in [key for key in self._scans if key[1] == ref]:
            del self._scans[key]
        examined = self._examined.pop(ref, None)
        if examined is not None:
            examined.close()

    def close(self) -> None:
        """Release connections and files."""
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
            return (self.resources / clusterspecs.file_name(name.removeprefix(clusterspecs.PREFIX))).resolve()
        return (self.rootpath / name).resolve()

    def resolve(self, nodeid: str) -> tuple[SpecRun, NamedSource, str] | None:
        """Specification, cluster and requirement id of a node id; None if it was not created by kspec."""
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
                raise KspecError("a result does not belong to any specification of this run.", where=nodeid)
            path = self.path_of(nodeid.split("::", 1)[0])
            groups.setdefault((path, found[1].name), []).append(wire)
        left_out: dict[tuple[Path, str], list[str]] = {}
        for made in self.left_out:
            file, name, id = made.split("::", 2)
            left_out.setdefault((self.path_of(file), name), []).append(id)
        clusters = [
            cluster_result(
                self.specs[path],
                name,
                wires,
                checkset=self.checkset,
                moment=self.started,
                baseline=self.options.baseline,
                left_out=left_out.get((path, name), ()),
            )
            for (path, name), wires in groups.items()
        ]
        clusters.sort(key=cluster_key)
        self.result = ScanResult(
            tool_version=pytest_kspec.__version__,
            started_at=_rfc3339(self.started),
            finished_at=_rfc3339(now()),
            clusters=tuple(clusters),
            run_by=run_by(self.options.run_by, os.environ),
        )
        return self.result

    def missing(self, nodeid: str, reason: str) -> dict[str, Any] | None:
        """What stands for the result of an item that has none; None if it was not created by kspec."""
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
                    planned.entry.check, planned.requirement, None, id=name, nodeid=nodeid, reason=reason
                )
                return {"result": made.to_wire(), "uses": [], "cluster": self.cluster_facts(spec, target)}
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


class Opened:
    """Sources that whoever starts a session has opened, by what names them. Handed over as a plugin of pytest."""

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = sources


def make_run(
    options: Options,
    rootpath: Path,
    importer: Importer,
    resources: Path | None = None,
    sources_of_caller: Mapping[str, Source] | None = None,
) -> Run:
    """Load everything that needs no cluster. Raises KspecError; specification errors come all at once.

    resources: the folder where `clusterspecs.fetch` laid specifications of a cluster, None without those
    sources_of_caller: those that are open already (`Opened`)
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
    checkset = load_checks(checks, importer)
    opened: dict[str, Source] = dict(sources_of_caller or {})
    failed: dict[str, KspecError] = {}
    specs = {
        path.resolve(): SpecRun(
            make_plan(spec, checkset, extra),
            _targets(spec, options, opened, failed),
            Exemptions([*spec.exemptions, *extra], started),
        )
        for path, spec in [*((Path(spec.path), spec) for spec in loaded), *of_cluster.items()]
    }
    if failed and len(failed) == len(opened):
        raise next(iter(failed.values()))  # nothing can be evaluated: what was typed is wrong
    idle = [str(path) for path, run in specs.items() if not run.plan.planned]
    if idle and len(idle) < len(specs) and not options.allow_empty:
        # Alone, such a specification runs nothing, and is an error; beside others it would not be noticed.
        raise SpecError(
            "the specification has no requirements",
            problems=tuple(f"{path}: the specification does not require any check." for path in idle),
        )
    return Run(options, rootpath, checkset, specs, started=started, resources=resources)


def _targets(
    spec: LoadedSpec, options: Options, opened: dict[str, Source], failed: dict[str, KspecError]
) -> list[NamedSource]:
    """opened: sources by what names them; failed: why some could not be. Both are filled."""
    refs: list[str] = []
    for given in options.clusters or (spec.own_cluster,):
        if given == "all":
            refs.extend(sources.contexts(options.kubeconfig))
        else:
            refs.append(given or sources.default_ref(options.kubeconfig))
    targets: list[NamedSource] = []
    named: dict[str, str] = {}
    for ref in dict.fromkeys(refs):
        if ref not in opened:
            try:
                opened[ref] = sources.open_source(ref, kubeconfig=options.kubeconfig)
            except KspecError as error:
                failed[ref] = error
                opened[ref] = UnopenedSource(ref, error)
        source = opened[ref]
        name = _COLONS.sub(":", source.name) or "cluster"
        if named.setdefault(name, ref) != ref:
            raise UsageError(
                f"{named[name]} and {ref} are both called '{name}': tests and reports need two names.",
                where="--kspec-cluster",
                fix=_two_names(source, ref),
            )
        targets.append(NamedSource(name, source))
    return targets


def _two_names(source: Source, ref: str) -> str:
    if source.kind == "manifests":
        return f"Give one another name: --cluster NAME={ref.rpartition('=')[2]}."
    return "Scan each in a run of its own. 'kspec diff' compares two snapshots of one cluster."


def make_shared_folder() -> Path:
    """A folder of this user's only, where the workers of one run share raw pages."""
    return Path(tempfile.mkdtemp(prefix="kspec-"))


def remove_shared_folder(path: Path) -> None:
    """Raw pages hold what the cluster holds: nothing of them is left behind."""
    shutil.rmtree(path, ignore_errors=True)


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
