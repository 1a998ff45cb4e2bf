"""ClusterProfiles of the cluster inventory API (multicluster.x-k8s.io) as targets.

A profile says how its cluster is reached, in `status.accessProviders`; which of these is used, and by which program or
token, only kspec's own file of credential providers says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from pytest_kspec import typed
from pytest_kspec.cluster.api.contexts import Cluster, Context, NamedExtension
from pytest_kspec.cluster.limits import Limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.errors import AccessDenied, KspecError, Malformed
from pytest_kspec.fleet.targets.described import described
from pytest_kspec.fleet.targets.hub import Hub
from pytest_kspec.fleet.targets.keeper import Keeper
from pytest_kspec.fleet.targets.model import ONLY_READ, Target, never

GROUP, KIND = "multicluster.x-k8s.io", "ClusterProfile"
_PARAMETER = re.compile(r"[A-Za-z]+")

_Text = str | None


class _Cluster(msgspec.Struct, rename="kebab"):
    """Of `k8s.io/client-go/tools/clientcmd/api/v1.Cluster`; certificate-authority, a path, is not read."""

    server: str
    tls_server_name: _Text = None
    insecure_skip_tls_verify: bool | None = None
    certificate_authority_data: _Text = None
    proxy_url: _Text = None
    disable_compression: bool | None = None
    extensions: list[NamedExtension] | None = None


class _Access(msgspec.Struct):
    name: str
    cluster: _Cluster


class _Property(msgspec.Struct):
    name: str
    value: str


class _Status(msgspec.Struct, rename="camel"):
    access_providers: list[_Access] | None = None
    credential_providers: list[_Access] | None = None
    properties: list[_Property] | None = None


def cluster_profiles(hub: Hub, namespace: str = "") -> list[Target]:
    """All of the hub, or of a namespace. Raises what reading the hub raises, NotServed where it has no profiles."""
    found = hub.access.do(
        lambda writer: writer.list(
            writer.served(GROUP, KIND) or f"{GROUP}/v1alpha1", KIND, namespace=namespace
        )
    )
    return [profile_target(hub, obj) for obj in found]


def find_profile(hub: Hub, namespace: str, name: str) -> Target:
    """Raises NotFound, NotServed and what else reading the hub raises."""
    return profile_target(
        hub,
        hub.access.do(
            lambda writer: writer.get(
                writer.served(GROUP, KIND) or f"{GROUP}/v1alpha1", KIND, name, namespace=namespace
            )
        ),
    )


def profile_target(hub: Hub, obj: Mapping[str, Any]) -> Target:
    """The target that a profile describes; one that no provider of ours knows has a problem.

    Its properties are labels too, where a label of this name is not there; names with a `/` are kept.
    """
    metadata = obj["metadata"]
    name = f"{metadata['namespace']}/{metadata['name']}"
    at = f"@{hub.ref}" if hub.ref else ""
    ref = f"clusterprofile:{name}{at}"
    labels: Mapping[str, str] | None = None
    try:
        status = _status(obj, name)
        labels = {one.name: one.value for one in status.properties or ()} | (metadata.get("labels") or {})
        access = _chosen(hub, status, name)
    except KspecError as error:
        return Target(name, ref, "clusterprofile", never(name, error), labels, problem=error)
    given = access.cluster
    parameters = {one.name: one.value for one in status.properties or () if _PARAMETER.fullmatch(one.name)}

    def load() -> Context:
        cluster = Cluster(
            server=given.server,
            tls_server_name=given.tls_server_name,
            insecure_skip_tls_verify=given.insecure_skip_tls_verify,
            certificate_authority_data=given.certificate_authority_data,
            proxy_url=given.proxy_url,
            disable_compression=given.disable_compression,
            extensions=given.extensions,
        )
        return described(name, cluster, hub.providers.user(access.name, parameters, given.server, where=name))

    keeper = Keeper(load)

    def opener(limits: Limits | None) -> LiveSource:
        return LiveSource(ref, credentials=keeper, name=name, limits=limits, no_policies=ONLY_READ)

    return Target(name, ref, "clusterprofile", opener, labels, given.server, keeper=keeper)


def _status(obj: Mapping[str, Any], name: str) -> _Status:
    try:
        return typed.convert(obj.get("status") or {}, _Status)
    except msgspec.ValidationError as error:
        raise Malformed(f"the status of the ClusterProfile is malformed: {error}.", where=name) from None


def _chosen(hub: Hub, status: _Status, name: str) -> _Access:
    """The first of our providers that the profile has; of one name, `accessProviders` before the older field."""
    offered: list[_Access] = [*(status.access_providers or ()), *(status.credential_providers or ())]
    for provider in hub.providers.names:
        for access in offered:
            if access.name == provider:
                return access
    known = ", ".join(sorted({access.name for access in offered})) or "none"
    raise AccessDenied(
        "no credential provider of kspec can access this cluster.",
        where=name,
        fix=f"The ClusterProfile has: {known}.",
    )
