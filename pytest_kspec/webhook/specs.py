"""Specifications of the webhook: from files and from custom resources, loaded again when they change.

A file that is wrong is never half in force: all stays as it was, and metric and log say so. A custom resource that is
wrong takes no other with it: what it said before stays in force, and it is named. One for another cluster is left out,
and so is one that is not to be enforced; both are named.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from pytest_kspec.cluster.watch.reflector import Key, Object, Reflector
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import GROUP, VERSION
from pytest_kspec.crds.objects import clusterspecification as resources
from pytest_kspec.enforce.decide import Policies
from pytest_kspec.enforce.modes import Mode, asked_engines
from pytest_kspec.enforce.policy import Policy
from pytest_kspec.errors import KspecError, SourceUnavailable, SpecError
from pytest_kspec.kube.resources import ResourceType
from pytest_kspec.plan.checkset import CheckSet, load_checks
from pytest_kspec.results.exemptions import Exemption, load_exemptions
from pytest_kspec.spec.document import SPEC_KIND
from pytest_kspec.spec.effective import Library
from pytest_kspec.spec.loading import LoadedSpec, find_specs, load_spec


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a policy is made of, as it can be handed to another process: sets of checks are code, and cannot."""

    spec: LoadedSpec
    checks: tuple[Path, ...]
    cluster: str
    version: str
    mode: Mode | None
    exemptions: tuple[Exemption, ...]

    def policy(self, checkset: CheckSet) -> Policy:
        """The policy. Raises what `Policy` raises."""
        return Policy(
            self.spec,
            checkset,
            cluster=self.cluster,
            version=self.version,
            mode=self.mode,
            more_exemptions=self.exemptions,
        )


@dataclass(frozen=True, slots=True)
class Work:
    """What the worker needs to decide as the webhook does. excluded: namespaces that are allowed unseen."""

    recipes: tuple[Recipe, ...]
    excluded: frozenset[str]

    def policies(self) -> Policies:
        """The policies, made anew."""
        checksets: dict[tuple[Path, ...], CheckSet] = {}
        return Policies([recipe.policy(_checkset(checksets, recipe.checks)) for recipe in self.recipes])


@dataclass(frozen=True, slots=True)
class Loaded:
    """Policies in force, what they are made of, and what was left out: (specification, reason).

    wrong: custom resources that could not be read, (name, why); what was in force of each stays
    """

    policies: Policies
    recipes: tuple[Recipe, ...]
    left_out: tuple[tuple[str, str], ...]
    wrong: tuple[tuple[str, str], ...] = ()


class _Made(NamedTuple):
    """What came of a custom resource. of: what it was made of; reason: why it has no policy"""

    of: Any
    recipe: Recipe | None
    policy: Policy | None
    reason: str


_BUILT_ON = {"policyInheritance", "policyTemplate"}
"""Keys of a specification that is made of others, too: those are read at each change of any."""

SPECIFICATIONS = ResourceType(GROUP, VERSION, SPEC_KIND, "clusterspecifications", False)


@dataclass(slots=True)
class Specs:
    """Where specifications come from.

    cluster:     name of this cluster; a specification with another `clusterRef` is not for it
    access:      the cluster whose ClusterSpecification resources count, too; None: files only
    mode:        instead of the mode of each specification
    any_cluster: those with another `clusterRef` are for this one, too
    """

    paths: Sequence[str]
    cluster: str
    version: str = ""
    checks: Sequence[Path] = ()
    exemptions: Sequence[str] = ()
    access: Access | None = None
    mode: Mode | None = None
    any_cluster: bool = False
    _checksets: dict[tuple[Path, ...], CheckSet] = field(default_factory=dict)
    _seen: Any = None
    _read: Sequence[str] = ()  # also bases and templates
    _reflector: Reflector | None = None
    _good: dict[str, _Made] = field(default_factory=dict)  # of custom resources, as they were read last

    def follow(self, changed: Callable[[], None]) -> None:
        """Watch the custom resources from now on. changed: called in another thread, when one is another one."""
        if self.access is None or self._reflector is not None:
            return

        def told(_key: Key, before: Object | None, now: Object | None) -> None:
            if _part(before) != _part(now):
                changed()

        self._reflector = Reflector(self.access.open, SPECIFICATIONS, told)
        threading.Thread(target=self._reflector.run, name="kspec-watch", daemon=True).start()

    def close(self) -> None:
        """Watch no longer."""
        if self._reflector is not None:
            self._reflector.stop()

    def changed(self) -> bool:
        """Whether anything is not as it was when it was last asked. Raises KspecError."""
        now = self._state()
        changed = bool(now != self._seen)
        self._seen = now
        return changed

    def load(self) -> Loaded:
        """Read everything. Raises KspecError with what is wrong in files; nothing is in force by this alone."""
        exemptions: list[Exemption] = []
        for path in self.exemptions:
            exemptions += load_exemptions(path)
        self._seen = None  # what changes from here on is seen the next time
        recipes: list[Recipe] = []
        left_out: list[tuple[str, str]] = []
        names: dict[str, str] = {}
        for spec in self._files():
            other = names.setdefault(spec.name, spec.path)
            if other != spec.path:
                raise SpecError(
                    f"a specification named {spec.name!r} already exists: {other}.", where=spec.path
                )
            self._sort(spec, exemptions, recipes, left_out)
        policies = [recipe.policy(_checkset(self._checksets, recipe.checks)) for recipe in recipes]
        wrong = self._resources(names, exemptions, recipes, left_out, policies)
        self._seen = self._state()  # now with the bases; what changed meanwhile is seen the next time but one
        return Loaded(Policies(policies), tuple(recipes), tuple(left_out), tuple(wrong))

    def check_files(self) -> None:
        """Raise KspecError where files that were named are missing or wrong: no waiting mends that.

        Of the cluster nothing is read: what it does not answer yet is asked for again.
        """
        replace(self, access=None).load()

    def _sort(
        self,
        spec: LoadedSpec,
        exemptions: Sequence[Exemption],
        recipes: list[Recipe],
        left_out: list[tuple[str, str]],
    ) -> None:
        reason = self._reason_against(spec)
        if reason:
            left_out.append((spec.name, reason))
            return
        checks = (*self.checks, *spec.checks)
        recipes.append(Recipe(spec, checks, self.cluster, self.version, self.mode, tuple(exemptions)))

    def _resources(
        self,
        names: Mapping[str, str],
        exemptions: Sequence[Exemption],
        recipes: list[Recipe],
        left_out: list[tuple[str, str]],
        policies: list[Policy],
    ) -> list[tuple[str, str]]:
        """Those of the cluster, each by itself. (name, why) of those that are wrong. Raises SourceError."""
        objects = self._objects()
        parts = {
            name: spec if isinstance(spec := item.get("spec"), dict) else {} for name, item in objects.items()
        }
        wrong: list[tuple[str, str]] = []
        good: dict[str, _Made] = {}
        for name, item in sorted(objects.items()):
            if name in names:
                left_out.append((f"{resources.PREFIX}{name}", f"there is a file of that name: {names[name]}"))
                continue
            made = self._good.get(name)
            if made is None or made.of != (_part(item), tuple(exemptions)) or _BUILT_ON & parts[name].keys():
                try:
                    made = self._make(item, parts, exemptions)
                except KspecError as error:
                    wrong.append((name, str(error)))
            if made is None:
                continue
            good[name] = made
            if made.recipe is not None and made.policy is not None:
                recipes.append(made.recipe)
                policies.append(made.policy)
            else:
                left_out.append((name, made.reason))
        self._good = good
        return wrong

    def _make(self, item: Object, parts: Mapping[str, Any], exemptions: Sequence[Exemption]) -> _Made:
        name = item["metadata"]["name"]
        if not isinstance(item.get("spec") or {}, dict):
            raise SpecError("spec must be an object.", where=f"{resources.PREFIX}{name}")
        spec = resources.load(resources.document(item), name, parts)
        recipes: list[Recipe] = []
        left_out: list[tuple[str, str]] = []
        self._sort(spec, exemptions, recipes, left_out)
        of = (_part(item), tuple(exemptions))
        if not recipes:
            return _Made(of, None, None, left_out[0][1])
        (recipe,) = recipes
        return _Made(of, recipe, recipe.policy(_checkset(self._checksets, recipe.checks)), "")

    def _reason_against(self, spec: LoadedSpec) -> str:
        if not self.any_cluster and not spec.is_for(self.cluster):
            of = (
                "other clusters (clusterSelector)"
                if spec.spec.cluster_selector
                else f"the cluster {spec.cluster_ref}"
            )
            return f"it is for {of}; this is {self.cluster}"
        if self.mode is None:
            if spec.spec.enforcement is None or not spec.spec.enforcement.enabled:
                return "enforcement.enabled is not true"
            hooks = spec.spec.webhooks
            if hooks is not None and not hooks.enabled and "webhook" not in asked_engines(spec):
                return "webhooks.enabled is not true"
        return ""

    def _files(self) -> list[LoadedSpec]:
        paths = find_specs(self.paths) if self.paths else []
        found = [load_spec(path, Library(tuple(paths))) for path in paths]
        self._read = sorted({path for spec in found for path in spec.files if os.path.exists(path)})
        return found

    def _objects(self) -> dict[str, Object]:
        """The custom resources by name, as last seen. Raises SourceUnavailable where they were never listed."""
        if self.access is None:
            return {}
        if self._reflector is None:
            self.follow(lambda: None)
        assert self._reflector is not None
        if not self._reflector.listed:
            raise SourceUnavailable(
                f"the specifications are not known yet: {self._reflector.problem}.", where=self.access.name
            )
        return {name: item for (_, name), item in self._reflector.objects.items()}

    def _state(self) -> Any:
        files = [*(str(path) for path in find_specs(self.paths))] if self.paths else []
        stats = [(path, *_identity(path)) for path in sorted({*files, *self.exemptions, *self._read})]
        return stats, {name: _part(item) for name, item in self._objects().items()}


def _part(item: Object | None) -> Any:
    """What counts of an object: not its status."""
    if item is None:
        return None
    metadata = item["metadata"]
    return item.get("spec"), metadata.get("labels"), metadata.get("annotations")


def _checkset(known: dict[tuple[Path, ...], CheckSet], paths: tuple[Path, ...]) -> CheckSet:
    if paths not in known:
        known[paths] = load_checks(list(dict.fromkeys(paths)))
    return known[paths]


def _identity(path: str) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino
