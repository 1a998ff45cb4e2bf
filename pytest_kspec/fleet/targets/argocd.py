"""Cluster Secrets of Argo CD as targets.

Each is a Secret with the label `argocd.argoproj.io/secret-type: cluster`: `name`, `server`, `namespaces` and `config`,
a JSON text. What is read of them is what Argo CD's documentation says of declarative clusters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from pytest_kspec import typed
from pytest_kspec.cluster.api.contexts import Cluster, Context, User
from pytest_kspec.cluster.limits import Limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.errors import AccessDenied, KspecError, Malformed, NotFound, SourceUnavailable, UsageError
from pytest_kspec.fleet.targets.credentials import decoded
from pytest_kspec.fleet.targets.described import described
from pytest_kspec.fleet.targets.hub import Hub
from pytest_kspec.fleet.targets.keeper import Keeper
from pytest_kspec.fleet.targets.model import ONLY_READ, Target, never
from pytest_kspec.secretstores.reference import Reference

LABEL = "argocd.argoproj.io/secret-type"
SELECTOR = f"{LABEL}=cluster"
DEFAULT_NAMESPACE = "argocd"
IN_CLUSTER = "https://kubernetes.default.svc"
"""What Argo CD calls the cluster that it runs in."""

_Text = str | None


class _Tls(msgspec.Struct, rename="camel"):
    insecure: bool | None = None
    server_name: _Text = None
    ca_data: _Text = None
    cert_data: _Text = None
    key_data: _Text = None

    def __repr__(self) -> str:
        return "<tls>"


class _Aws(msgspec.Struct, rename="camel"):
    cluster_name: _Text = None
    role_arn: _Text = msgspec.field(default=None, name="roleARN")
    profile: _Text = None


class _Config(msgspec.Struct, rename="camel"):
    """execProviderConfig: not read, since a Secret may not choose a program of this machine."""

    username: _Text = None
    password: _Text = None
    bearer_token: _Text = None
    aws_auth_config: _Aws | None = None
    exec_provider_config: Any = None
    proxy_url: _Text = None
    tls_client_config: _Tls | None = None
    disable_compression: bool | None = None

    def __repr__(self) -> str:
        return "<config>"


def argocd_targets(hub: Hub, namespace: str = "") -> list[Target]:
    """All of the namespace. Raises what reading the hub raises."""
    place = namespace or DEFAULT_NAMESPACE
    found = hub.access.do(
        lambda writer: writer.list("v1", "Secret", namespace=place, label_selector=SELECTOR)
    )
    return [argocd_target(hub, place, item["metadata"]["name"], item["metadata"]) for item in found]


def argocd_target(hub: Hub, namespace: str, secret: str, metadata: Mapping[str, Any] | None = None) -> Target:
    """The target that one Secret describes. A Secret that is wrong, or may not be read, is a target with a problem."""
    at = f"@{hub.ref}" if hub.ref else ""
    ref = f"argocd:{namespace}/{secret}{at}"
    labels = dict((metadata or {}).get("labels") or {})
    labels.pop(LABEL, None)
    try:
        name = _read(hub, namespace, secret, "name", secret)
        server = _read(hub, namespace, secret, "server")
        scoped = _read(hub, namespace, secret, "namespaces", "")
    except NotFound as error:
        fix = (
            "argocd:NAME has the name of the Secret: see `ref` in 'kspec cluster list --from argocd -o json'."
        )
        missing = NotFound(error.what, where=f"{namespace}/{secret}", fix=fix)
        return Target(secret, ref, "argocd", never(secret, missing), labels, problem=missing)
    except KspecError as error:
        return Target(secret, ref, "argocd", never(secret, error), labels, problem=error)
    keeper = Keeper(lambda: _load(hub, namespace, secret, name, server))

    def opener(limits: Limits | None) -> LiveSource:
        return LiveSource(ref, credentials=keeper, name=name, limits=limits, no_policies=ONLY_READ)

    note = f"Argo CD manages only its namespaces {scoped}." if scoped.strip() else ""
    return Target(name, ref, "argocd", opener, labels, server, keeper=keeper, note=note)


def _read(hub: Hub, namespace: str, secret: str, key: str, default: str | None = None) -> str:
    try:
        return hub.secrets.read(Reference("kubernetes", secret, namespace, key), asker=namespace).text()
    except Malformed:
        if default is None:
            raise
        return default


def _load(hub: Hub, namespace: str, secret: str, name: str, server: str) -> Context:
    try:
        return _context(hub, namespace, secret, name, server)
    except UsageError as error:
        raise SourceUnavailable(error.what, where=error.where or name, fix=error.fix) from None


def stored(hub: Hub, target: Target) -> tuple[Context, dict[str, str] | None]:
    """What a target of Argo CD is made of, for a ClusterTarget. Raises SourceError for what kspec does not use.

    The second: parameters of the provider `eks`, which then gives the credentials; None: they are in the context.
    """
    namespace, _, secret = target.ref.partition(":")[2].partition("@")[0].partition("/")
    config, cluster = _described(hub, namespace, secret, target.server)
    if config.aws_auth_config is not None and not (config.username or config.exec_provider_config):
        return Context(target.name, cluster, User()), _parameters(config.aws_auth_config)
    return _context(hub, namespace, secret, target.name, target.server), None


def argocds_own(where: str) -> SourceUnavailable:
    """Why the cluster of Argo CD, which it describes without credentials, cannot be used."""
    fix = "'kspec fleet scan --source hub' scans it."
    return SourceUnavailable("it is the cluster in which Argo CD runs.", where=where, fix=fix)


def _parameters(aws: _Aws) -> dict[str, str]:
    given = {"clusterName": aws.cluster_name, "roleARN": aws.role_arn, "profile": aws.profile}
    return {key: value for key, value in given.items() if value}


def _context(hub: Hub, namespace: str, secret: str, name: str, server: str) -> Context:
    """What Argo CD says, in the words of a kubeconfig. Raises SourceError."""
    config, cluster = _described(hub, namespace, secret, server)
    tls = config.tls_client_config or _Tls()
    return described(name, cluster, _user(hub, config, tls, server, name))


def _described(hub: Hub, namespace: str, secret: str, server: str) -> tuple[_Config, Cluster]:
    text = _read(hub, namespace, secret, "config", "{}")
    try:
        config = typed.convert(json.loads(text), _Config)
    except (msgspec.ValidationError, ValueError, RecursionError, TypeError):
        raise Malformed(
            "the key `config` does not have the form of Argo CD.", where=f"{namespace}/{secret}"
        ) from None
    tls = config.tls_client_config or _Tls()
    for field in ("caData", "certData", "keyData"):
        value = getattr(tls, {"caData": "ca_data", "certData": "cert_data", "keyData": "key_data"}[field])
        if value and not decoded(value):
            raise Malformed(f"`{field}` is not base64.", where=f"{namespace}/{secret}")
    cluster = Cluster(
        server=server,
        certificate_authority_data=tls.ca_data or None,
        insecure_skip_tls_verify=tls.insecure or None,
        tls_server_name=tls.server_name or None,
        proxy_url=config.proxy_url or None,
        disable_compression=config.disable_compression,
    )
    return config, cluster


def _user(hub: Hub, config: _Config, tls: _Tls, server: str, name: str) -> User:
    if config.username or config.password:
        raise AccessDenied(
            "the cluster Secret has a user name and a password, which kspec does not use.",
            where=name,
            fix="Use a token.",
        )
    if config.exec_provider_config:
        raise AccessDenied(
            "the cluster Secret names a program (execProviderConfig), which kspec does not run.",
            where=name,
            fix="Describe the cluster with a ClusterTarget whose authMode is provider.",
        )
    if config.aws_auth_config is not None:
        return hub.providers.user("eks", _parameters(config.aws_auth_config), server, where=name)
    if server == IN_CLUSTER and not (config.bearer_token or tls.cert_data):
        raise argocds_own(name)
    user = User(token=config.bearer_token or None)
    if tls.cert_data:
        user.client_certificate_data, user.client_key_data = tls.cert_data, tls.key_data
    return user
