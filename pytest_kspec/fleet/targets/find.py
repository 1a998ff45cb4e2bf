"""Which clusters are meant: by source, by name, by label."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple

from pytest_kspec.errors import UsageError
from pytest_kspec.fleet.targets.contexts import context_targets
from pytest_kspec.fleet.targets.model import Target
from pytest_kspec.kube.selectors import Selector, selects
from pytest_kspec.kube.selectortext import parse_selector

if TYPE_CHECKING:
    from pytest_kspec.fleet.targets.hub import Hub


SOURCES = ("context", "target", "argocd", "clusterprofile", "hub")
OBJECTS = ("target:", "argocd:", "clusterprofile:", "hub:")
"""Beginnings of references to a hub and its objects."""


class Wanted(NamedTuple):
    """Which targets.

    names:      exact names, patterns with `*` and `?`, or references (`Target.ref`); none: all
    selector:   labels as for `kubectl -l`; "": any
    labels:     the same as a specification has it (`clusterSelector`); None: any
    sources:    of SOURCES; none: ClusterTargets where a hub is given, else the contexts of the kubeconfig
    namespace:  of a hub's objects; "": all, of Argo CD `argocd`
    """

    names: tuple[str, ...] = ()
    selector: str = ""
    kubeconfig: str | None = None
    sources: tuple[str, ...] = ()
    namespace: str = ""
    labels: Selector | None = None


def find_targets(wanted: Wanted, hub: Hub | None = None) -> list[Target]:
    """The targets that are meant, in the order of their names. Nothing is connected to but the hub.

    Raises UsageError for a name or pattern that means none, and for a selector that cannot be read; what reading the
    hub raises, where that cannot say which there are. A target whose description is wrong is among them, with its
    problem, and so is one whose labels cannot be read: it is an error of that cluster, and must not be missing.
    """
    selector = parse_selector(wanted.selector)
    if wanted.names and all(name.startswith(OBJECTS) for name in wanted.names):
        return [
            _at(name, wanted, hub) for name in wanted.names
        ]  # one read each, where a list may hold a thousand
    known: list[Target] = []
    for source in wanted.sources or (("target",) if hub is not None else ("context",)):
        known += _of(source, wanted, hub)
    found = _named(_distinct(known), wanted.names)
    selectors = [selector, *([wanted.labels] if wanted.labels is not None else [])]
    meant = (
        target
        for target in found
        if target.labels is None or all(selects(one, target.labels) for one in selectors)
    )
    return sorted(meant, key=lambda target: target.name)


def _at(ref: str, wanted: Wanted, hub: Hub | None) -> Target:
    from pytest_kspec.fleet.targets.opening import open_target

    kind, _, rest = ref.partition(":")
    return open_target(kind, rest, kubeconfig=wanted.kubeconfig, hub=hub)


def _of(source: str, wanted: Wanted, hub: Hub | None) -> list[Target]:
    if source == "context":
        return context_targets(wanted.kubeconfig)
    if hub is None:
        raise UsageError(f"'{source}' needs a hub.", fix="Name its context.")
    from pytest_kspec.fleet.targets.argocd import argocd_targets
    from pytest_kspec.fleet.targets.clusterprofiles import cluster_profiles
    from pytest_kspec.fleet.targets.clustertargets import cluster_targets
    from pytest_kspec.fleet.targets.itself import hub_targets

    listing = {
        "target": cluster_targets,
        "argocd": argocd_targets,
        "clusterprofile": cluster_profiles,
        "hub": hub_targets,
    }
    return listing[source](hub, wanted.namespace)


def _distinct(targets: list[Target]) -> list[Target]:
    """Those of one name, which sources give that do not know each other, are called by their references."""
    count = Counter(target.name for target in targets)
    return [replace(target, name=target.ref) if count[target.name] > 1 else target for target in targets]


def _named(known: list[Target], names: Sequence[str]) -> list[Target]:
    if not names:
        return known
    chosen: dict[str, Target] = {}
    for name in names:
        meant = [target for target in known if name in (target.name, target.ref)]
        if not meant and any(letter in name for letter in "*?"):
            meant = [target for target in known if fnmatchcase(target.name, name)]
        if not meant:
            near = difflib.get_close_matches(name, [target.name for target in known], n=1)
            fix = f"Did you mean '{near[0]}'?" if near else "See 'kspec cluster list'."
            raise UsageError(f"'{name}' is not the name of a cluster.", fix=fix)
        chosen |= {target.ref: target for target in meant}
    return list(chosen.values())
