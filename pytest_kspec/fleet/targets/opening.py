"""A target from its reference alone, in any process: `target:kspec-system/prod`, `argocd:…`, `clusterprofile:…`."""

from __future__ import annotations

import re
from collections.abc import Callable

from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.errors import UsageError
from pytest_kspec.fleet.targets import itself
from pytest_kspec.fleet.targets.argocd import DEFAULT_NAMESPACE, argocd_target
from pytest_kspec.fleet.targets.clusterprofiles import find_profile
from pytest_kspec.fleet.targets.clustertargets import find_cluster_target
from pytest_kspec.fleet.targets.hub import Hub, open_hub
from pytest_kspec.fleet.targets.model import Target

_OBJECT = re.compile(r"(?:(?P<namespace>[a-z0-9-]{1,63})/)?(?P<name>[a-z0-9.-]{1,253})(?:@(?P<hub>.+))?")

_FINDERS: dict[str, tuple[Callable[[Hub, str, str], Target], str]] = {
    "target": (find_cluster_target, NAMESPACE),
    "argocd": (argocd_target, DEFAULT_NAMESPACE),
    "clusterprofile": (find_profile, NAMESPACE),
}


def open_target(kind: str, rest: str, *, kubeconfig: str | None = None, hub: Hub | None = None) -> Target:
    """kind: target, argocd or clusterprofile. rest: [NAMESPACE/]NAME[@HUB]. Asks the hub for the object.

    kind hub: the hub itself, and rest as `itself` writes it.

    hub: that of a reference that names none; None: that of the environment. Raises UsageError for what is no
    reference, and what reading the hub raises.
    """
    if kind == itself.KIND:
        name, at = itself.parts(rest)
        if at or hub is None:
            hub = open_hub(at, kubeconfig)
        return itself.named(hub, name or hub.access.name, f"{kind}:{rest}")
    match = _OBJECT.fullmatch(rest)
    if match is None:
        raise UsageError(
            "this is not the name of an object of a hub.",
            where=f"{kind}:{rest}",
            fix=f"Write {kind}:NAMESPACE/NAME, or {kind}:NAMESPACE/NAME@HUB.",
        )
    find, default = _FINDERS[kind]
    if match["hub"] or hub is None:
        hub = open_hub(match["hub"] or "", kubeconfig)
    return find(hub, match["namespace"] or default, match["name"])


def of_any_hub(ref: str) -> str:
    """A reference to an object of a hub without the hub: for who has another way to it."""
    kind, colon, rest = ref.partition(":")
    return f"{kind}{colon}{rest.partition('@')[0]}" if kind in (*_FINDERS, itself.KIND) else ref


def target_source(rest: str, *, kubeconfig: str | None = None) -> LiveSource:
    """`--cluster target:NAME`: a ClusterTarget of the hub."""
    return open_target("target", rest, kubeconfig=kubeconfig).open()


def argocd_source(rest: str, *, kubeconfig: str | None = None) -> LiveSource:
    """`--cluster argocd:NAME`: a cluster Secret of Argo CD in the hub."""
    return open_target("argocd", rest, kubeconfig=kubeconfig).open()


def profile_source(rest: str, *, kubeconfig: str | None = None) -> LiveSource:
    """`--cluster clusterprofile:NAMESPACE/NAME`: a ClusterProfile of the hub."""
    return open_target("clusterprofile", rest, kubeconfig=kubeconfig).open()
