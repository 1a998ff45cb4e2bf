"""A look at one cluster, or at many at once: whether it answers, as which, and what it is."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated, Literal

import msgspec

from pytest_kspec import typed
from pytest_kspec.cluster.limits import MIB, Limits
from pytest_kspec.cluster.objects.items import BROKEN_JSON
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.errors import AccessDenied, KspecError, SourceUnavailable, without_credentials
from pytest_kspec.fleet.targets.model import Target

LOOK = Limits(
    connect_timeout_s=5.0,
    read_timeout_s=10.0,
    retries=1,
    backoff_s=0.2,
    retry_after_max_s=2.0,
    list_pages=20,
    request_s=15.0,
    list_s=20.0,
    cluster_s=30.0,
    request_bytes=16 * MIB,
    list_bytes=64 * MIB,
    cluster_bytes=128 * MIB,
)
"""A dead cluster is known as that within half a minute."""

AT_ONCE = 16
UNKNOWN, NOT_AT_REST = "unknown", "no"
_NODE_LABELS = {
    "eks.amazonaws.com/nodegroup": "eks",
    "cloud.google.com/gke-nodepool": "gke",
    "kubernetes.azure.com/cluster": "aks",
    "node.openshift.io/os_id": "openshift",
}
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


@dataclass(frozen=True)
class Look:
    """reachable: the API server accepted the credentials. valid: False where it refused them, None: not known.

    loaded: whether there were credentials to try with
    platform: eks, gke, aks, openshift, vanilla or unknown. nodes: None where they may not be listed
    at_rest: whether Secrets are encrypted at rest, as `secrets_at_rest`, where that was asked
    """

    target: Target
    reachable: bool
    valid: bool | None
    version: str = ""
    uid: str = ""
    platform: str = ""
    nodes: int | None = None
    expires: float | None = None
    seconds: float = 0.0
    loaded: bool = True
    at_rest: str = UNKNOWN
    problem: KspecError | None = field(default=None, compare=False)


def look_at(target: Target, limits: Limits = LOOK, *, at_rest: bool = False) -> Look:
    """Ask the cluster; what goes wrong is in the result. at_rest: also how Secrets are kept, by one more request."""
    started = time.monotonic()
    try:
        source = target.open(limits)
        try:
            info = source.info()
            version, uid = info.version, info.uid
            nodes, labels = _nodes(source)
            platform = platform_of(version, target.server, labels, _groups(source))
            kept = secrets_at_rest(source) if at_rest else UNKNOWN
        finally:
            source.close()
    except KspecError as error:
        return _failed(target, started, error)
    except Exception as error:  # noqa: BLE001 - a fault of ours concerns this cluster only
        text = without_credentials(f"an internal error of kspec: {type(error).__name__}: {error}")
        return _failed(target, started, SourceUnavailable(text, where=target.name))
    seconds = time.monotonic() - started
    return Look(target, True, True, version, uid, platform, nodes, _expires(target), seconds, at_rest=kept)


def _failed(target: Target, started: float, problem: KspecError) -> Look:
    return Look(
        target,
        False,
        False if isinstance(problem, AccessDenied) else None,
        expires=_expires(target),
        seconds=time.monotonic() - started,
        loaded=target.problem is None and (target.keeper is None or target.keeper.holds),
        problem=problem,
    )


def look_at_all(targets: Sequence[Target], limits: Limits = LOOK, *, at_rest: bool = False) -> list[Look]:
    """All at once, AT_ONCE at a time, in the order of the targets."""
    if not targets:
        return []
    with ThreadPoolExecutor(min(AT_ONCE, len(targets))) as pool:
        return list(pool.map(lambda target: look_at(target, limits, at_rest=at_rest), targets))


def platform_of(version: str, server: str, labels: Sequence[str] | None, groups: Sequence[str]) -> str:
    """labels: names of labels that nodes have; None where nodes could not be read. groups: API groups."""
    if "config.openshift.io" in groups:
        return "openshift"
    if "-eks-" in version:
        return "eks"
    if "-gke." in version:
        return "gke"
    host = server.partition("://")[2].partition("/")[0].rpartition(":")[0].lower()
    if host.endswith(".azmk8s.io"):
        return "aks"
    for name in labels or ():
        if name in _NODE_LABELS:
            return _NODE_LABELS[name]
    return "unknown" if labels is None else "vanilla"


def secrets_at_rest(source: LiveSource) -> str:
    """Whether the cluster encrypts Secrets at rest: "no", or "unknown". Never yes: no API tells the configuration.

    "no" where API servers are pods that can be read and none of which was started with such a configuration.
    """
    path = "/api/v1/namespaces/kube-system/pods"
    answer = source.connection.get(path, {"labelSelector": "component=kube-apiserver", "limit": "50"})
    if answer.status != 200:
        return UNKNOWN
    try:
        found = typed.from_json(answer.body, _Pods)
    except BROKEN_JSON:
        return UNKNOWN
    containers = [one for pod in found.items or () for one in pod.spec.containers]
    words = [word for one in containers for word in (*(one.command or ()), *(one.args or ()))]
    servers = any(word.rpartition("/")[2] == "kube-apiserver" for word in words)
    configured = any(word.startswith("--encryption-provider-config") for word in words)
    return NOT_AT_REST if servers and not configured else UNKNOWN


def _expires(target: Target) -> float | None:
    return target.keeper.life.expires if target.keeper is not None else None


class _Container(msgspec.Struct):
    command: list[str] | None = None
    args: list[str] | None = None


class _PodSpec(msgspec.Struct):
    containers: list[_Container]


class _Pod(msgspec.Struct):
    spec: _PodSpec


class _Pods(msgspec.Struct):
    kind: Literal["PodList"]
    items: list[_Pod] | None


class _Metadata(msgspec.Struct):
    labels: dict[str, str] | None = None


class _Node(msgspec.Struct):
    metadata: _Metadata


class _Rest(msgspec.Struct):
    left: Annotated[int, msgspec.Meta(ge=0, le=1 << 32)] | None = msgspec.field(
        default=None, name="remainingItemCount"
    )


class _Nodes(msgspec.Struct):
    """Metadata of nodes, or nodes of a server that knows no metadata alone."""

    kind: Literal["PartialObjectMetadataList", "NodeList"]
    metadata: _Rest
    items: list[_Node] | None


class _Group(msgspec.Struct):
    name: str


class _Groups(msgspec.Struct):
    kind: Literal["APIGroupList"]
    groups: list[_Group]


def _nodes(source: LiveSource) -> tuple[int | None, list[str] | None]:
    """How many, and the labels of the first; None where they may not be listed. One page is read."""
    answer = source.connection.get("/api/v1/nodes", {"limit": "1"}, accept=_METADATA_LIST)
    if answer.status != 200:
        return None, None
    try:
        found = typed.from_json(answer.body, _Nodes)
    except BROKEN_JSON:  # something else: it says nothing of nodes
        return None, None
    items = found.items or []
    return len(items) + (found.metadata.left or 0), list(items[0].metadata.labels or {}) if items else []


def _groups(source: LiveSource) -> list[str]:
    answer = source.connection.get("/apis")
    try:
        found = typed.from_json(answer.body, _Groups) if answer.status == 200 else None
    except BROKEN_JSON:
        found = None
    return [group.name for group in found.groups] if found is not None else []
