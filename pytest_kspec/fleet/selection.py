"""Which clusters specifications themselves name: the ClusterTarget of `clusterRef`, or those of `clusterSelector`."""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.errors import UsageError
from pytest_kspec.fleet.targets.find import OBJECTS, Wanted
from pytest_kspec.spec.loading import LoadedSpec


def wanted_by(specs: Sequence[LoadedSpec], kubeconfig: str | None = None) -> Wanted | None:
    """What they all mean; None where none of them says anything. Raises UsageError where they mean different clusters.

    A selector is about ClusterTargets of one namespace, those that belong to whoever looks after the hub: who may
    create one in another namespace must not come into the report of a fleet.
    """
    meant = [_wanted(spec, kubeconfig) for spec in specs]
    if any(one != meant[0] for one in meant):
        raise UsageError(
            "the specifications are for different clusters (clusterRef, clusterSelector).",
            where=", ".join(spec.path for spec in specs),
            fix="Begin a run for each of them, or name the clusters.",
        )
    return meant[0] if meant else None


def _wanted(spec: LoadedSpec, kubeconfig: str | None) -> Wanted | None:
    if (selector := spec.spec.cluster_selector) is not None:
        return Wanted(kubeconfig=kubeconfig, sources=("target",), namespace=NAMESPACE, labels=selector)
    if not (ref := spec.cluster_ref):
        return None
    if ref.startswith(OBJECTS):
        return Wanted((ref,), kubeconfig=kubeconfig, sources=("target",))
    return Wanted((f"context:{ref}",), kubeconfig=kubeconfig, sources=("context",))
