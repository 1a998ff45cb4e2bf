"""A context of the kubeconfig as objects of a hub: a Secret with a kubeconfig of it alone, and a ClusterTarget."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, NamedTuple

from pytest_kspec.cluster.api.contexts import Context, find_context, has_credentials
from pytest_kspec.cluster.api.kubeconfig import missing_files, read_kubeconfig
from pytest_kspec.crds.names import GROUP, VERSION
from pytest_kspec.enforce.manifests import to_yaml
from pytest_kspec.errors import UsageError
from pytest_kspec.fleet.targets.credentials import LONG_LIVED_S, as_time, context_life, expired
from pytest_kspec.kube.objectnames import context_name

MANAGED = {"app.kubernetes.io/managed-by": "kspec"}
CONTEXT_ANNOTATION = "kspec.io/context"
ARGOCD_ANNOTATION = "kspec.io/argocd"
"""The cluster Secret that a ClusterTarget was made of, NAMESPACE/NAME."""
TARGET_LABEL = "kspec.io/cluster-target"
"""On a Secret of ours: the ClusterTarget that it is for."""

Object = dict[str, Any]


class Wish(NamedTuple):
    """What is to be made of a context.

    name:     of the ClusterTarget; "": of the context
    provider: of credentials; "": those of the context are stored
    """

    context: str
    namespace: str
    name: str = ""
    labels: Mapping[str, str] = {}
    provider: str = ""
    parameters: Mapping[str, str] = {}
    kubeconfig: str | None = None


class Added(NamedTuple):
    """objects: in the order of applying. notices: what a user should know. secret: one of them has credentials."""

    name: str
    objects: list[Object]
    notices: list[str]
    secret: bool


def added(wish: Wish) -> Added:
    """Read the context; the cluster is not contacted. Raises UsageError, SourceUnavailable."""
    known = read_kubeconfig(wish.kubeconfig)
    if wish.context not in known.contexts:
        raise UsageError(
            f"'{wish.context}' is not a kubeconfig context.",
            fix=missing_files(wish.kubeconfig) or "'kspec cluster discover' lists them.",
        )
    context = find_context(known, wish.context)
    return of_context(context, wish, {CONTEXT_ANNOTATION: wish.context})


def of_context(context: Context, wish: Wish, annotations: Mapping[str, str]) -> Added:
    """Objects of a cluster, however it was found. Raises UsageError, SourceUnavailable."""
    name = wish.name or context_name(wish.context)
    if name != context_name(name):
        raise UsageError(
            f"'{name}' cannot be the name of a ClusterTarget.",
            where="--name",
            fix=f"'{context_name(name)}' could be.",
        )
    notices = []
    if not wish.name and name != wish.context:
        notices.append(f"{wish.context}: the ClusterTarget is called {name}.")
    spec: Object = {"apiServerURL": context.cluster.server}
    objects: list[Object] = []
    if wish.provider:
        _refuse_lost(context)
        given: Object = {"name": wish.provider}
        if wish.parameters:
            given["parameters"] = dict(wish.parameters)
        spec |= {"authMode": "provider", "credentialProvider": given, **_tls(context)}
    else:
        notices += life_notices(context)
        reference = {"name": f"{name}-kubeconfig", "namespace": wish.namespace, "key": "kubeconfig"}
        spec |= {"authMode": "kubeconfig", "kubeconfigSecretRef": reference}
        objects.append(_secret(f"{name}-kubeconfig", name, wish.namespace, flattened(context)))
    if context.cluster.insecure_skip_tls_verify:
        spec["insecureSkipTLSVerify"] = True
        notices.append(f"{wish.context}: the certificate of the API server is not verified.")
    target = {
        "apiVersion": f"{GROUP}/{VERSION}",
        "kind": "ClusterTarget",
        "metadata": {
            "name": name,
            "namespace": wish.namespace,
            "labels": {**MANAGED, **wish.labels},
            "annotations": dict(annotations),
        },
        "spec": spec,
    }
    return Added(name, [*objects, target], notices, bool(objects))


def flattened(context: Context) -> bytes:
    """A kubeconfig of this context alone, in YAML, with everything that it needs in it.

    Raises SourceUnavailable for credentials that only this machine can get.
    """
    user, cluster = context.user, context.cluster
    if user.exec is not None:
        raise context.wrong(
            f"its credentials come from a program ({user.exec.command}), which the hub does not run for a Secret.",
            "Give --provider NAME, or use a context with a token: kubectl create token.",
        )
    if user.auth_provider is not None or user.username or user.password:
        raise context.wrong("its credentials cannot be stored.", "Use a token or a client certificate.")
    who: Object = {}
    if user.token_file:
        who["token"] = context.file("tokenFile", user.token_file).decode("ascii", "replace").strip()
    elif user.token:
        who["token"] = user.token
    if user.client_certificate or user.client_certificate_data:
        pairs = (
            ("client-certificate", user.client_certificate_data, user.client_certificate),
            ("client-key", user.client_key_data, user.client_key),
        )
        for field, data, path in pairs:
            who[f"{field}-data"] = b64encode(context.material(field, data, path)).decode()
    if user.impersonate:
        given = {
            "as": user.impersonate,
            "as-uid": user.impersonate_uid,
            "as-groups": user.impersonate_groups,
            "as-user-extra": user.impersonate_extra,
        }
        who |= {key: value for key, value in given.items() if value}
    if not who:
        raise context.wrong("the context has no credentials.")
    authority = context.material(
        "certificate-authority", cluster.certificate_authority_data, cluster.certificate_authority
    )
    where = {
        "server": cluster.server,
        "certificate-authority-data": b64encode(authority).decode(),
        "insecure-skip-tls-verify": cluster.insecure_skip_tls_verify,
        "tls-server-name": cluster.tls_server_name,
        "proxy-url": cluster.proxy_url,
        "disable-compression": cluster.disable_compression,
    }
    name = context.name
    return to_yaml(
        [
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": name,
                "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
                "clusters": [
                    {"name": name, "cluster": {key: value for key, value in where.items() if value}}
                ],
                "users": [{"name": name, "user": who}],
            }
        ]
    ).encode()


def life_notices(context: Context) -> list[str]:
    """What to say of how long these credentials live. Raises SourceUnavailable for those that have expired."""
    life = context_life(context)
    if expired(life):
        assert life.expires is not None
        raise context.wrong(f"its credentials expired at {as_time(life.expires)}.", "Log in again.")
    if life.expires is None:
        if context.user.token or context.user.token_file:
            return [
                f"{context.name}: it is not known when its token expires: it may never expire. "
                "Prefer short-lived tokens, which 'kspec cluster rotate' replaces."
            ]
        return []
    end = as_time(life.expires)
    if life.seconds is not None and life.seconds >= LONG_LIVED_S:
        days = life.seconds / 86400
        return [
            f"{context.name}: its credentials are valid for {days:.0f} days, until {end}: a user who copies them has "
            "access for this time. Prefer short-lived tokens, which 'kspec cluster rotate' replaces."
        ]
    return [f"{context.name}: its credentials expire at {end}."]


def _refuse_lost(context: Context) -> None:
    """Raises SourceUnavailable for what a provider's credentials have no place for: they would be somebody else's."""
    lost = {"as": context.user.impersonate, "tls-server-name": context.cluster.tls_server_name}
    for field, value in lost.items():
        if value:
            raise context.wrong(
                f"`{field}` cannot be kept with the credentials of a provider.",
                "Leave --provider out, or remove the field from the context.",
            )


def _tls(context: Context) -> Object:
    cluster = context.cluster
    authority = context.material(
        "certificate-authority", cluster.certificate_authority_data, cluster.certificate_authority
    )
    found: Object = {"caData": b64encode(authority).decode()} if authority else {}
    if cluster.proxy_url:
        if has_credentials(cluster.proxy_url):
            raise context.wrong(
                "its `proxy-url` has a user name or a password, which a ClusterTarget would show.",
                "Leave --provider out: a kubeconfig is stored in a Secret.",
            )
        found["proxyURL"] = cluster.proxy_url
    return found


def _secret(name: str, target: str, namespace: str, kubeconfig: bytes) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": name,
            "namespace": namespace,
            "labels": {**MANAGED, TARGET_LABEL: target},
        },
        "type": "Opaque",
        "data": {"kubeconfig": b64encode(kubeconfig).decode()},
    }
