"""ClusterTargets of a hub as targets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic import ValidationError

from pytest_kspec.cluster.api.contexts import Cluster, Context, User
from pytest_kspec.cluster.limits import Limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.crds.models.base import SecretKeyRef
from pytest_kspec.crds.models.clustertarget import ClusterTargetSpec
from pytest_kspec.crds.names import GROUP, NAMESPACE, VERSION
from pytest_kspec.errors import KspecError, Malformed, SourceUnavailable, UsageError
from pytest_kspec.fleet.targets.described import certificate_user, described, stored_context
from pytest_kspec.fleet.targets.hub import Hub
from pytest_kspec.fleet.targets.keeper import Keeper
from pytest_kspec.fleet.targets.model import Target, never
from pytest_kspec.secretstores.reference import reference_of
from pytest_kspec.secretstores.sealed import Sealed
from pytest_kspec.spec.problems import field_problems

API_VERSION, KIND = f"{GROUP}/{VERSION}", "ClusterTarget"

Object = Mapping[str, Any]


def cluster_targets(hub: Hub, namespace: str = "") -> list[Target]:
    """All of the hub, or of a namespace; one that is wrong has a problem. Raises what reading the hub raises."""
    found = hub.access.do(lambda writer: writer.list(API_VERSION, KIND, namespace=namespace))
    return [target_of(hub, obj) for obj in found]


def find_cluster_target(hub: Hub, namespace: str, name: str) -> Target:
    """Raises NotFound, NotServed and what else reading the hub raises."""
    return target_of(
        hub, hub.access.do(lambda writer: writer.get(API_VERSION, KIND, name, namespace=namespace))
    )


def target_of(hub: Hub, obj: Object) -> Target:
    """The target that an object describes; its credentials are read when it is opened."""
    metadata, status = obj["metadata"], obj.get("status")
    name, namespace = metadata["name"], metadata["namespace"]
    shown = name if namespace == NAMESPACE else f"{namespace}/{name}"
    status = status if isinstance(status, dict) else {}
    at = f"@{hub.ref}" if hub.ref else ""
    ref = f"target:{namespace}/{name}{at}"
    uid = status.get("uid")
    uid = uid if isinstance(uid, str) and uid else None
    labels = metadata.get("labels") or {}
    try:
        spec = read_spec(obj, shown)
    except KspecError as error:
        return Target(shown, ref, "target", never(shown, error), labels, uid=uid, seen=status, problem=error)
    keeper = Keeper(lambda: load(hub, spec, namespace, shown))

    def opener(limits: Limits | None) -> LiveSource:
        denied = (
            "" if spec.allow_enforcement else f"allowEnforcement of the ClusterTarget {shown} is not set."
        )
        return LiveSource(ref, credentials=keeper, name=shown, limits=limits, no_policies=denied)

    return Target(
        shown,
        ref,
        "target",
        opener,
        labels,
        spec.api_server_url,
        uid,
        suspended=spec.suspend,
        allow_enforcement=spec.allow_enforcement,
        seen=status,
        keeper=keeper,
    )


def read_spec(obj: Object, name: str) -> ClusterTargetSpec:
    """The `spec` of the object. Raises Malformed, with the fields that are wrong and none of their values."""
    try:
        return ClusterTargetSpec.model_validate(obj.get("spec"))
    except ValidationError as error:
        problems = field_problems(error, "spec")
    raise Malformed(f"the ClusterTarget is not valid: {'; '.join(problems[:5])}", where=name)


def load(hub: Hub, spec: ClusterTargetSpec, namespace: str, name: str) -> Context:
    """Where to and as whom, with credentials read anew. Raises SourceError."""
    cluster = Cluster(
        server=spec.api_server_url,
        certificate_authority_data=spec.ca_data,
        insecure_skip_tls_verify=spec.insecure_skip_tls_verify,
        proxy_url=spec.proxy_url,
    )
    try:
        return _load(hub, spec, cluster, namespace, name)
    except UsageError as error:  # of a reference, or of the settings of a store: this target's alone
        raise SourceUnavailable(error.what, where=error.where or name, fix=error.fix) from None


def _load(hub: Hub, spec: ClusterTargetSpec, cluster: Cluster, namespace: str, name: str) -> Context:
    def read(ref: SecretKeyRef | None, key: str) -> Sealed:
        assert ref is not None  # the model checks that the field of authMode is there
        return hub.secrets.read(reference_of(ref, namespace=namespace, key=key), asker=namespace)

    match spec.auth_mode:
        case "kubeconfig":
            found = stored_context(name, read(spec.kubeconfig_secret_ref, "kubeconfig"))
            return _agreed(found, cluster)
        case "serviceAccount":
            user = User(token=read(spec.service_account_secret_ref, "token").text())
        case "token":
            user = User(token=read(spec.token_secret_ref, "token").text())
        case "clientCertificate":
            ref = spec.client_certificate_secret_ref
            assert ref is not None
            one, other = (read(ref.model_copy(update={"key": key}), key) for key in ("tls.crt", "tls.key"))
            user = certificate_user(one, other)
        case "provider":
            given = spec.credential_provider
            assert given is not None
            user = hub.providers.user(given.name, given.parameters, spec.api_server_url, where=name)
    return described(name, cluster, user)


def _agreed(found: Context, cluster: Cluster) -> Context:
    """The context of a kubeconfig, with what the ClusterTarget says beside it. Raises SourceUnavailable."""
    own = found.cluster
    if (own.server or "").rstrip("/") != (cluster.server or "").rstrip("/"):
        raise found.wrong(
            "apiServerURL and the kubeconfig name different servers.", "Write the same address in both."
        )
    more: dict[str, Any] = {}
    if cluster.proxy_url:
        more["proxy_url"] = cluster.proxy_url
    if cluster.certificate_authority_data:
        more |= {
            "certificate_authority_data": cluster.certificate_authority_data,
            "insecure_skip_tls_verify": None,
        }
    if cluster.insecure_skip_tls_verify:
        more |= {"certificate_authority_data": None, "insecure_skip_tls_verify": True}
    return described(found.name, msgspec.structs.replace(own, **more), found.user)
