"""What an API server says of somebody else: whose a token is (TokenReview), what a user may (SubjectAccessReview).

And a token for a service account, from the caller's own credentials (TokenRequest). Nothing is written anywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from pytest_kspec import typed
from pytest_kspec.cluster.api.http import Answer
from pytest_kspec.cluster.objects.answers import Wrong, check_kind, check_repeats, decode_once
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.errors import AccessDenied, NotFound, SourceUnavailable
from pytest_kspec.kube.resources import ResourceType

AUTHENTICATION, AUTHORIZATION = "authentication.k8s.io/v1", "authorization.k8s.io/v1"


class User(msgspec.Struct, frozen=True):
    """Who somebody is, as the API server says."""

    username: str = ""
    uid: str = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}


class _TokenStatus(msgspec.Struct):
    authenticated: bool = False
    user: User | None = None
    audiences: list[str] = []


class _AccessStatus(msgspec.Struct):
    allowed: bool
    denied: bool = False


class _SelfStatus(msgspec.Struct, rename="camel"):
    user_info: User


class Token(msgspec.Struct):
    """What a TokenRequest gives."""

    token: str

    def __repr__(self) -> str:
        return "<token>"


def user_of(source: LiveSource, token: str, audiences: Sequence[str] = ()) -> User | None:
    """Whose token this is; None: nobody's. audiences: for whom it must be made, () for the API server itself.

    Raises AccessDenied, SourceUnavailable: then nothing is known.
    """
    spec: dict[str, Any] = {"token": token} | ({"audiences": list(audiences)} if audiences else {})
    status = _ask(source, AUTHENTICATION, "TokenReview", "tokenreviews", spec, _TokenStatus)
    if not status.authenticated or status.user is None or not status.user.username:
        return None
    # A server that knows nothing of audiences says nothing of them, and has not looked.
    return status.user if not audiences or set(audiences) & set(status.audiences) else None


def may_read(source: LiveSource, user: User, path: str) -> bool:
    """Whether this user may `get` a path that is no resource. Raises AccessDenied, SourceUnavailable."""
    return _may(source, user, {"nonResourceAttributes": {"path": path, "verb": "get"}})


def may_do(
    source: LiveSource, user: User, verb: str, resource: ResourceType, namespace: str, name: str = ""
) -> bool:
    """Whether this user may do this with an object; name "": with all. Raises AccessDenied, SourceUnavailable."""
    attributes = {
        "verb": verb,
        "group": resource.group,
        "resource": resource.plural,
        "namespace": namespace,
        "name": name,
    }
    return _may(source, user, {"resourceAttributes": attributes})


def _may(source: LiveSource, user: User, attributes: dict[str, Any]) -> bool:
    who = {"user": user.username, "uid": user.uid, "groups": user.groups, "extra": user.extra}
    spec = who | attributes
    status = _ask(source, AUTHORIZATION, "SubjectAccessReview", "subjectaccessreviews", spec, _AccessStatus)
    return status.allowed and not status.denied


def who_am_i(source: LiveSource) -> User:
    """Who the credentials of this connection are. Raises AccessDenied, NotFound (before 1.28), SourceUnavailable."""
    found: _SelfStatus = _ask(
        source, AUTHENTICATION, "SelfSubjectReview", "selfsubjectreviews", None, _SelfStatus
    )
    return found.user_info


def may_i(
    source: LiveSource, verb: str, group: str, resource: str, *, name: str = "", namespace: str = ""
) -> bool:
    """Whether the credentials of this connection may do this. namespace "": in all; name "": any.

    Raises AccessDenied, SourceUnavailable: then nothing is known.
    """
    attributes = {"verb": verb, "group": group, "resource": resource, "name": name, "namespace": namespace}
    spec = {
        "resourceAttributes": {key: value for key, value in attributes.items() if value or key == "group"}
    }
    status: _AccessStatus = _ask(
        source, AUTHORIZATION, "SelfSubjectAccessReview", "selfsubjectaccessreviews", spec, _AccessStatus
    )
    return status.allowed and not status.denied


def service_account_token(source: LiveSource, namespace: str, name: str, audience: str, seconds: int) -> str:
    """A token of this service account that is good for `audience` only.

    Raises AccessDenied, NotFound where there is no such account, SourceUnavailable.
    """
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    spec = {"audiences": [audience], "expirationSeconds": seconds}
    made: Token = _post(source, path, AUTHENTICATION, "TokenRequest", spec, Token)
    if not made.token:
        raise SourceUnavailable("the API server did not issue a token.", where=source.name)
    return made.token


def _ask(source: LiveSource, api_version: str, kind: str, plural: str, spec: Any, form: type[Any]) -> Any:
    return _post(source, f"/apis/{api_version}/{plural}", api_version, kind, spec, form)


def _post(source: LiveSource, path: str, api_version: str, kind: str, spec: Any, form: type[Any]) -> Any:
    asked = {"apiVersion": api_version, "kind": kind} | ({"spec": spec} if spec is not None else {})
    body = msgspec.json.encode(asked)
    answer = source.connection.send("POST", path, body=body)
    if answer.status in (401, 403):
        raise AccessDenied(f"a {kind} was rejected ({answer.status}).", where=source.name)
    if answer.status == 404:
        raise NotFound(f"{path} does not exist.", where=source.name)
    if answer.status not in (200, 201):
        raise SourceUnavailable(f"the answer to a {kind} has status {answer.status}.", where=source.name)
    return read_answer(answer, asked, form, source.name)


def read_answer(answer: Answer, asked: dict[str, Any], form: type[Any], where: str) -> Any:
    """The `status` of an answer to what was asked. Raises SourceUnavailable for any other answer."""
    kind = asked["kind"]
    try:
        found = decode_once(answer.json())
        check_kind(found, asked["apiVersion"], kind)
        # A server may shorten the time of a token.
        sent = {key: value for key, value in asked.get("spec", {}).items() if key != "expirationSeconds"}
        check_repeats(found, sent)
        return typed.convert(found.get("status"), form)
    except Wrong as error:
        raise SourceUnavailable(f"the answer to a {kind} {error}.", where=where) from error
    except (msgspec.ValidationError, RecursionError) as error:
        raise SourceUnavailable(f"the answer to a {kind} has no valid status.", where=where) from error
