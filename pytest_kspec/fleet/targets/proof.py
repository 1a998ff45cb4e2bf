"""What a cluster says of the credentials that are to scan it: who they are, and what of a scan they may list."""

from __future__ import annotations

from typing import NamedTuple

from pytest_kspec.checks.reads import BY_FIXTURE
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing.reviewing import may_i, who_am_i
from pytest_kspec.errors import NotFound
from pytest_kspec.kube.resources import ResourceType

_ADMISSION = "admissionregistration.k8s.io"
READ = frozenset(
    {kind for kinds in BY_FIXTURE.values() for kind in kinds}
    | {
        f"{_ADMISSION}/{kind}"
        for kind in (
            "ValidatingWebhookConfiguration",
            "MutatingWebhookConfiguration",
            "ValidatingAdmissionPolicy",
        )
    }
    | {"apiregistration.k8s.io/APIService"}
)
"""Kinds that the built-in checks list, as `reads` of a check names them; only what the cluster serves counts."""

ENFORCED = (
    (_ADMISSION, "validatingadmissionpolicies"),
    (_ADMISSION, "validatingadmissionpolicybindings"),
)
_WRITES = ("list", "patch", "delete")


class Proof(NamedTuple):
    """user: "" where the server does not say (before 1.28). missing: rights, as `list pods`."""

    uid: str
    version: str
    user: str
    groups: tuple[str, ...]
    missing: tuple[str, ...]


def prove(source: LiveSource) -> Proof:
    """Ask the cluster. Raises SourceError: then it cannot be scanned, or nothing is known."""
    info = source.info()
    served = source.types()
    try:
        me = who_am_i(source)
        user, groups = me.username, tuple(me.groups)
    except NotFound:
        user, groups = "", ()
    missing = [
        f"list {one.resource}"
        for one in sorted(served)
        if _name(one) in READ and not may_i(source, "list", one.group, one.plural)
    ]
    if not info.uid:
        missing.append("get namespaces/kube-system")
    return Proof(info.uid, info.version, user, groups, tuple(missing))


def may_enforce(source: LiveSource) -> tuple[str, ...]:
    """Rights that applying policies needs and these credentials lack. Raises SourceError."""
    return tuple(
        f"{verb} {resource}.{group}"
        for group, resource in ENFORCED
        for verb in _WRITES
        if not may_i(source, verb, group, resource)
    )


def _name(resource_type: ResourceType) -> str:
    return f"{resource_type.group}/{resource_type.kind}" if resource_type.group else resource_type.kind
