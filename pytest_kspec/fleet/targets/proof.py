"""What a cluster says of the credentials that are to scan it: who they are, and what of a scan they may list."""

from __future__ import annotations

from typing import NamedTuple

from pytest_kspec.checks.reads import BY_FIXTURE
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing.reviewing import may_i, who_am_i
from pytest_kspec.crds.names import NAMESPACE
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

_RBAC = "rbac.authorization.k8s.io"
_VERBS = ("list", "create", "patch", "delete")
ENFORCED = {
    "vap": ((_ADMISSION, "validatingadmissionpolicies"), (_ADMISSION, "validatingadmissionpolicybindings")),
    "kyverno": (("policies.kyverno.io", "validatingpolicies"),),
    "webhook": (
        (_ADMISSION, "validatingwebhookconfigurations"),
        (_RBAC, "clusterroles"),
        (_RBAC, "clusterrolebindings"),
    ),
}
"""Engine → what it writes, for all namespaces."""
_OF_WEBHOOK = (
    *(
        (group, resource, _VERBS)
        for group, resource in (
            ("", "serviceaccounts"),
            ("", "configmaps"),
            ("", "services"),
            ("", "secrets"),
            ("apps", "deployments"),
            ("policy", "poddisruptionbudgets"),
            (_RBAC, "roles"),
            (_RBAC, "rolebindings"),
        )
    ),
    ("", "pods", ("list",)),
    ("", "serviceaccounts/token", ("create",)),
    ("", "services/proxy", ("get",)),
)
"""What a webhook of a fleet takes beside that, in its namespace."""


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


def may_enforce(source: LiveSource, engine: str = "vap") -> tuple[str, ...]:
    """What policies of this engine (of ENFORCED) need and is not there, rights or a kind. Raises SourceError."""
    served = {(one.group, one.plural) for one in source.types()}
    missing = [
        f"{resource}.{group} is not served"
        for group, resource in ENFORCED[engine]
        if (group, resource) not in served
    ]
    missing += [
        f"{verb} {resource}.{group}"
        for group, resource in ENFORCED[engine]
        for verb in _VERBS
        if not may_i(source, verb, group, resource)
    ]
    if engine == "webhook":
        missing += [
            f"{verb} {resource}{f'.{group}' if group else ''} in {NAMESPACE}"
            for group, resource, verbs in _OF_WEBHOOK
            for verb in verbs
            if not may_i(source, verb, group, resource, namespace=NAMESPACE)
        ]
    return tuple(missing)


def _name(resource_type: ResourceType) -> str:
    return f"{resource_type.group}/{resource_type.kind}" if resource_type.group else resource_type.kind
