"""A new token for a ClusterTarget: minted by the cluster itself, tried, put in the place of the old one.

A token is bound to a Secret that was made for it in the cluster: deleting that Secret revokes it. So the token of the
rotation before is revoked once the new one is known to work and is stored. No other is: it may be what another hub,
or a rotation at the same moment, has stored. What a rotation left that was killed is removed once it has expired.
"""

from __future__ import annotations

import contextlib
import json
import secrets
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from pytest_kspec.cluster.api.contexts import Context, User
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing.reviewing import Token, may_i, read_answer, who_am_i
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import NotFound, SourceError, SourceUnavailable
from pytest_kspec.fleet.targets.adding import MANAGED, TARGET_LABEL
from pytest_kspec.fleet.targets.clustertargets import find_cluster_target, read_spec
from pytest_kspec.fleet.targets.credentials import as_time, token_claims, token_life
from pytest_kspec.fleet.targets.hub import Hub
from pytest_kspec.fleet.targets.look import LOOK
from pytest_kspec.secretstores.reference import Reference, reference_of

SHORTEST_S, LONGEST_S = 600, 86400
"""Of a token: what API servers accept, and what is still short."""

BINDING_LABEL = "kspec.io/token-binding"
"""Of the Secrets to which tokens are bound: a token ends with its Secret."""
_ACCOUNT = "system:serviceaccount:"


class Rotated(NamedTuple):
    """expires: RFC 3339. revoked: names of the Secrets in the cluster that are gone, with the tokens bound to them."""

    account: str
    expires: str
    revoked: tuple[str, ...]


class _Once:
    """Credentials that are what they are: `auth.Credentials`."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def context(self) -> Context:
        return self._context

    def refused(self, context: Context) -> None:
        """There are no others."""


def rotate(hub: Hub, namespace: str, name: str, seconds: int) -> Rotated:
    """Raises SourceError: then the old token works as before, and is in its place unless the error says otherwise."""
    target = find_cluster_target(hub, namespace, name)
    obj = hub.access.do(
        lambda writer: writer.get("kspec.io/v1alpha1", "ClusterTarget", name, namespace=namespace)
    )
    spec = read_spec(obj, target.name)
    where = {
        "token": (spec.token_secret_ref, "token"),
        "serviceAccount": (spec.service_account_secret_ref, "token"),
        "kubeconfig": (spec.kubeconfig_secret_ref, "kubeconfig"),
    }
    if spec.auth_mode not in where:
        raise SourceUnavailable(
            f"authMode {spec.auth_mode} has no token that kspec could replace.",
            where=target.name,
            fix="Renew these credentials where they were issued.",
        )
    ref, default = where[spec.auth_mode]
    assert ref is not None
    reference = reference_of(ref, namespace=namespace, key=default)
    if reference.store != "kubernetes" or reference.namespace != namespace:
        raise SourceUnavailable(
            f"kspec writes only to Secrets beside the ClusterTarget, and this is {reference}.",
            where=target.name,
        )
    source = target.open(LOOK)
    try:
        account_namespace, account = _account(source)
        before = source.connection.access().context.user.token or ""
        bound = _bind(Writer(source), account_namespace, name)
        name_of_bound = bound["metadata"]["name"]
        try:
            token = _mint(source, account_namespace, account, seconds, bound)
            _prove(source, token, target.name)
            _store(hub, reference, spec.auth_mode, source, token)
        except _NotKnown:
            raise
        except SourceError:
            with contextlib.suppress(SourceError):  # why it failed says more
                _unbind(Writer(source), account_namespace, name_of_bound)
            raise
        try:
            revoked = _revoke(_with(source, token, target.name), bound, name, before)
        except SourceError as error:
            raise SourceUnavailable(
                f"the new token was stored, but the earlier tokens could not be revoked: {error.what}",
                where=target.name,
            ) from error
    finally:
        source.close()
    end = token_life(token).expires
    return Rotated(f"{account_namespace}/{account}", as_time(end) if end else "", revoked)


def _account(source: LiveSource) -> tuple[str, str]:
    """Namespace and name of the ServiceAccount that the credentials are. Raises SourceUnavailable."""
    try:
        user = who_am_i(source).username
    except NotFound:
        raise SourceUnavailable(
            "the API server does not report the user of the credentials (Kubernetes 1.28 or later is needed).",
            where=source.name,
        ) from None
    namespace, _, account = user.removeprefix(_ACCOUNT).partition(":")
    if not user.startswith(_ACCOUNT) or not account:
        raise SourceUnavailable(
            f"the credentials are {user}, which is not a ServiceAccount: only its tokens can be replaced.",
            where=source.name,
        )
    if not may_i(source, "create", "", "serviceaccounts/token", name=account, namespace=namespace):
        raise SourceUnavailable(
            f"{user} may not create a token for itself.",
            where=source.name,
            fix="Grant it: create on serviceaccounts/token, and create, list and delete on secrets, in its namespace.",
        )
    return namespace, account


def _bind(writer: Writer, namespace: str, target: str) -> dict[str, Any]:
    name = f"kspec-{target[:40].rstrip('-')}-{secrets.token_hex(4)}"
    return writer.create(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {**MANAGED, TARGET_LABEL: target, BINDING_LABEL: "true"},
            },
            "type": "kspec.io/token-binding",
        }
    )


def _mint(source: LiveSource, namespace: str, account: str, seconds: int, bound: dict[str, Any]) -> str:
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
    metadata = bound["metadata"]
    body = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {
            "expirationSeconds": seconds,
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Secret",
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
        },
    }
    answer = source.connection.send("POST", path, body=json.dumps(body).encode(), repeatable=False)
    token = ""
    if answer.status in (200, 201):
        made: Token = read_answer(answer, body, Token, source.name)
        token = made.token
    if not token:
        raise SourceUnavailable(
            f"the API server did not issue a token (HTTP {answer.status}).",
            where=source.name,
            fix=answer.message,
        )
    return token


def _with(source: LiveSource, token: str, name: str) -> LiveSource:
    """The same cluster with another token."""
    context = source.connection.access().context
    return LiveSource(
        name, credentials=_Once(context._replace(user=User(token=token))), name=name, limits=LOOK
    )


def _prove(source: LiveSource, token: str, name: str) -> None:
    """The new token is accepted, and is who the old one is. Raises SourceError."""
    made = _with(source, token, name)
    try:
        if made.info().uid != source.info().uid or who_am_i(made).username != who_am_i(source).username:
            raise SourceUnavailable("the new token belongs to another user.", where=name)
    finally:
        made.close()


def _store(hub: Hub, reference: Reference, mode: str, source: LiveSource, token: str) -> None:
    """Put it in the place of the old one: one key of one Secret, nothing else in it.

    Raises _NotKnown where it may be there, and other SourceErrors where it is not.
    """
    value = token.encode()
    if mode == "kubeconfig":
        from pytest_kspec.fleet.targets.adding import flattened

        context = source.connection.access().context
        value = flattened(context._replace(user=User(token=token)))
    data = b64encode(value).decode()
    name, namespace = reference.name, reference.namespace
    patch = {"data": {reference.key: data}}
    try:
        hub.access.do(lambda writer: writer.patch("v1", "Secret", name, patch, namespace=namespace))
    except SourceUnavailable as error:
        try:
            there = hub.access.do(lambda writer: writer.get("v1", "Secret", name, namespace=namespace))
            stored = (there.get("data") or {}).get(reference.key) == data
        except SourceError:
            stored = False
        if not stored:
            raise _NotKnown(
                f"it is not known whether the new token was stored: {error.what} Both tokens are valid.",
                where=source.name,
                fix="Rotate again. The unused token will expire.",
            ) from error


class _NotKnown(SourceUnavailable):
    """The new token may be in its place: to revoke it could be to lose the cluster."""


def _revoke(source: LiveSource, bound: Mapping[str, Any], target: str, before: str) -> tuple[str, ...]:
    """Delete the Secret to which the token before was bound, and those whose tokens have expired. Raises SourceError.

    That of the token before also where its ClusterTarget had another name then.
    bound: that of the new token; its cluster's clock counts. target: of this name, also of other hubs
    """
    claims = token_claims(before).get("kubernetes.io")
    secret = claims.get("secret") if isinstance(claims, dict) else None
    uid = secret.get("uid") if isinstance(secret, dict) else None
    mine = bound["metadata"]
    namespace = mine["namespace"]
    ended = as_time(datetime.fromisoformat(mine["creationTimestamp"]).timestamp() - 2 * LONGEST_S)
    try:
        writer = Writer(source)
        # A target's credentials are in a Secret with its label too: here, where the hub is a target of its own.
        chosen = f"{BINDING_LABEL}=true"
        listed = writer.list("v1", "Secret", namespace=namespace, label_selector=chosen)
        others = [one for one in (item["metadata"] for item in listed) if one["name"] != mine["name"]]
        names = [
            one["name"]
            for one in others
            if (uid and one.get("uid") == uid)
            or (one["labels"].get(TARGET_LABEL) == target and one.get("creationTimestamp", "~") < ended)
        ]
        for name in names:
            _unbind(writer, namespace, name)
        return tuple(names)
    finally:
        source.close()


def _unbind(writer: Writer, namespace: str, name: str) -> None:
    writer.delete("v1", "Secret", name, namespace=namespace)
