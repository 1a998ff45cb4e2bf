"""What an API server said to a write, in the terms of a user: verb, resource, object, reason, what to do.

Pure: from the answer's status and body. The body is a `Status` object; what is no such object is shown by its
HTTP status only.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, TypeVar

import msgspec

from pytest_kspec.cluster.api.http import UNKNOWN_FIELD
from pytest_kspec.errors import (
    AccessDenied,
    Conflict,
    NotFound,
    NotServed,
    Refused,
    SourceError,
    SourceUnavailable,
)
from pytest_kspec.kube.resources import ResourceType

MAX_TEXT = 1024
"""Characters of the server's message that are shown; admission webhooks may send pages."""

MAX_CAUSES = 20
_Error = TypeVar("_Error", bound=SourceError)
_MANAGER = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')
_RBAC = re.compile(r"\bUser \".*\" cannot ")
_GRANTED = {"apply": "patch", "replace": "update"}


class WriteTarget(NamedTuple):
    """What a request was about. cluster: where; name: "" for lists and generated names."""

    verb: str
    resource_type: ResourceType
    cluster: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def object(self) -> str:
        """`ComplianceReport kspec-system/prod status`, or `compliancereports.kspec.io in kspec-system`."""
        scope = f"{self.namespace}/" if self.namespace and self.name else ""
        if self.name:
            named = f"{self.resource_type.kind} {scope}{self.name}"
        else:
            named = self.resource_type.resource + (f" in {self.namespace}" if self.namespace else "")
        return f"{named} {self.subresource}".rstrip()


def error_of(target: WriteTarget, status: int, body: bytes) -> SourceError:
    """The error for an answer that is no success."""
    data = _status(body)
    message = _short(data.get("message"))
    details = data.get("details")
    details = details if isinstance(details, dict) else {}
    if status == 401:
        return _make(
            AccessDenied,
            target,
            "unauthorized",
            "Log in again: the API server does not accept these credentials.",
        )
    if status == 403:
        return _forbidden(target, message)
    if status == 404:
        return _missing(target, message, details)
    if status == 409:
        return _conflict(target, message, data.get("reason"), details)
    if status in (400, 422) or (status == 500 and UNKNOWN_FIELD in body):
        return _invalid(target, message or f"HTTP {status}", details)
    detail = f": {message}" if message else ""
    return _make(SourceUnavailable, target, f"HTTP {status}{detail}")


def _make(cls: type[_Error], target: WriteTarget, reason: str, fix: str = "") -> _Error:
    reason = reason.rstrip(".")
    return cls(f"cannot {target.verb} {target.object}: {reason}.", where=target.cluster, fix=fix)


def _forbidden(target: WriteTarget, message: str) -> SourceError:
    if message and not _RBAC.search(message):  # an admission plugin, policy or webhook, not RBAC
        return _make(Refused, target, message)
    found = target.resource_type
    group = f" in API group {found.group}" if found.group else ""
    scope = f"in namespace {target.namespace}" if target.namespace else "cluster-wide"
    plural = f"{found.plural}/{target.subresource}" if target.subresource else found.plural
    verb = _GRANTED.get(target.verb, target.verb)
    verbs = "verbs create and patch" if verb == "patch" and not target.subresource else f"verb {verb}"
    return _make(
        AccessDenied,
        target,
        f"forbidden ({message})" if message else "forbidden",
        f"Grant the {verbs} on {plural}{group} to this user, {scope}.",
    )


def _missing(target: WriteTarget, message: str, details: dict[str, Any]) -> SourceError:
    kind = details.get("kind")
    if kind == "namespaces" and target.resource_type.plural != "namespaces":
        return _make(
            NotFound,
            target,
            f"the namespace {target.namespace} does not exist",
            f"Create it: kubectl create namespace {target.namespace}",
        )
    if details.get("name"):
        return _make(NotFound, target, f"the {target.object} does not exist")
    return _make(NotServed, target, message or "the kind is not served")


def _conflict(target: WriteTarget, message: str, reason: object, details: dict[str, Any]) -> SourceError:
    owned: dict[str, list[str]] = {}
    for cause in _causes(details):
        found = _MANAGER.search(cause[1])
        if found:
            owned.setdefault(found[1], []).append(cause[0].lstrip("."))
    if owned:
        held = "; ".join(
            f"{manager} owns {', '.join(sorted(fields))}" for manager, fields in sorted(owned.items())
        )
        error = _make(
            Conflict, target, f"conflict: {held}", "Leave these fields to their owner, or force the apply."
        )
        error.managers = tuple(sorted(owned))
    elif reason == "AlreadyExists":
        error = _make(Conflict, target, "it already exists")
    else:
        error = _make(
            Conflict, target, message or "it was changed in the meantime", "Read it again and retry."
        )
    return error


def _invalid(target: WriteTarget, message: str, details: dict[str, Any]) -> SourceError:
    causes = _causes(details)
    shown = "; ".join(f"{field}: {text}" if field else text for field, text in causes[:MAX_CAUSES])
    if len(causes) > MAX_CAUSES:
        shown += f"; and {len(causes) - MAX_CAUSES} more"
    error = _make(Refused, target, shown or message)
    error.causes = tuple(causes)
    return error


def _causes(details: dict[str, Any]) -> list[tuple[str, str]]:
    found = details.get("causes")
    return [
        (str(cause.get("field") or ""), _short(cause.get("message")))
        for cause in (found if isinstance(found, list) else ())
        if isinstance(cause, dict)
    ]


def _status(body: bytes) -> dict[str, Any]:
    try:
        data = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return data if isinstance(data, dict) and data.get("kind") == "Status" else {}


def _short(text: object) -> str:
    line = " ".join(text.split()) if isinstance(text, str) else ""
    return line if len(line) <= MAX_TEXT else line[: MAX_TEXT - 1] + "…"
