"""Specifications of the webhook: from files and from custom resources, loaded again when they change.

What is wrong is never half in force: if anything cannot be loaded, all stays as it was, and metric and log say
so. A specification for another cluster is left out, and so is one that is not to be enforced; both are named.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.enforce.decide import Policies
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.policy import Policy
from pytest_kspec.errors import Malformed, SpecError
from pytest_kspec.plan.checkset import CheckSet, load_checks
from pytest_kspec.results.exemptions import Exemption, load_exemptions
from pytest_kspec.spec.document import RESOURCE_VERSION, SPEC_KIND
from pytest_kspec.spec.effective import Library
from pytest_kspec.spec.loading import LoadedSpec, find_specs, load_spec, spec_from_text


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
    """Policies in force, what they are made of, and what was left out: (specification, reason)."""

    policies: Policies
    recipes: tuple[Recipe, ...]
    left_out: tuple[tuple[str, str], ...]


@dataclass(slots=True)
class Specs:
    """Where specifications come from.

    cluster:     name of this cluster; a specification with another `clusterRef` is not for it
    access:      the cluster whose ClusterSpecification resources count, too; None: files only
    mode:        instead of the mode of each specification
    """

    paths: Sequence[str]
    cluster: str
    version: str = ""
    checks: Sequence[Path] = ()
    exemptions: Sequence[str] = ()
    access: Access | None = None
    mode: Mode | None = None
    _checksets: dict[tuple[Path, ...], CheckSet] = field(default_factory=dict)
    _seen: Any = None
    _read: Sequence[str] = ()  # also bases and templates

    def changed(self) -> bool:
        """Whether anything is not as it was when it was last asked. Raises KspecError."""
        now = self._state()
        changed = bool(now != self._seen)
        self._seen = now
        return changed

    def load(self) -> Loaded:
        """Read everything. Raises KspecError with what is wrong; nothing is in force by this alone."""
        exemptions: list[Exemption] = []
        for path in self.exemptions:
            exemptions += load_exemptions(path)
        recipes: list[Recipe] = []
        left_out: list[tuple[str, str]] = []
        names: dict[str, str] = {}
        for spec in self._specs():
            other = names.setdefault(spec.name, spec.path)
            if other != spec.path:
                raise SpecError(
                    f"a specification named {spec.name!r} already exists: {other}.", where=spec.path
                )
            reason = self._reason_against(spec)
            if reason:
                left_out.append((spec.name, reason))
                continue
            checks = (*self.checks, *spec.checks)
            recipes.append(Recipe(spec, checks, self.cluster, self.version, self.mode, tuple(exemptions)))
        policies = [recipe.policy(_checkset(self._checksets, recipe.checks)) for recipe in recipes]
        self._seen = self._state()  # now with the bases; what changed meanwhile is seen the next time but one
        return Loaded(Policies(policies), tuple(recipes), tuple(left_out))

    def check_files(self) -> None:
        """Raise KspecError where files that were named are missing or wrong: no waiting mends that.

        Of the cluster nothing is read: what it does not answer yet is asked for again.
        """
        replace(self, access=None).load()

    def _reason_against(self, spec: LoadedSpec) -> str:
        if spec.cluster_ref and spec.cluster_ref != self.cluster:
            return f"it is for the cluster {spec.cluster_ref}; this is {self.cluster}"
        if self.mode is None:
            if spec.spec.enforcement is None or not spec.spec.enforcement.enabled:
                return "enforcement.enabled is not true"
            if spec.spec.webhooks is not None and not spec.spec.webhooks.enabled:
                return "webhooks.enabled is not true"
        return ""

    def _specs(self) -> list[LoadedSpec]:
        paths = find_specs(self.paths) if self.paths else []
        found = [load_spec(path, Library(tuple(paths))) for path in paths]
        resources = self._resources()
        # Bases of custom resources are custom resources: no file is read for them.
        library = Library(parts={item["metadata"]["name"]: item["spec"] for item in resources})
        for item in resources:
            where = f"{SPEC_KIND}/{item['metadata']['name']}"
            found.append(spec_from_text(json.dumps(item), where, library))
        self._read = sorted({path for spec in found for path in spec.files if os.path.exists(path)})
        return found

    def _resources(self) -> list[dict[str, Any]]:
        if self.access is None:
            return []
        items = self.access.do(lambda writer: writer.list(RESOURCE_VERSION, SPEC_KIND))
        for item in items:
            if not isinstance(item.get("spec"), dict | None):
                name = item["metadata"]["name"]
                raise Malformed("spec is not an object.", where=f"{SPEC_KIND}/{name}")
        return [
            {
                "apiVersion": RESOURCE_VERSION,
                "kind": SPEC_KIND,
                "metadata": {"name": item["metadata"]["name"]},
                "spec": item.get("spec") or {},
            }
            for item in items
        ]

    def _state(self) -> Any:
        files = [*(str(path) for path in find_specs(self.paths))] if self.paths else []
        stats = [(path, *_identity(path)) for path in sorted({*files, *self.exemptions, *self._read})]
        return stats, self._resources()


def _checkset(known: dict[tuple[Path, ...], CheckSet], paths: tuple[Path, ...]) -> CheckSet:
    if paths not in known:
        known[paths] = load_checks(list(dict.fromkeys(paths)))
    return known[paths]


def _identity(path: str) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_size, found.st_ino
