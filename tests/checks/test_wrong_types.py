"""A value of a type that Kubernetes does not allow never makes a requirement pass that fails with the right one."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest

from builtin_checks.admission.test_policies import test_required_policies as policies
from builtin_checks.admission.test_required import test_required as required
from builtin_checks.network.test_default_deny import test_default_deny as default_deny
from builtin_checks.observability.test_audit_log import test_audit_log as audit_log
from builtin_checks.pod_security.test_namespace_labels import test_audit as audit_label
from builtin_checks.rbac.test_forbidden_rules import test_forbidden_rules as forbidden
from builtin_checks.workloads.test_containers import test_required as container_fields
from pytest_kspec.testing import evaluate

RBAC = "rbac.authorization.k8s.io"


def obj(api_version: str, kind: str, name: str, namespace: str = "", **more: Any) -> dict[str, Any]:
    labels = more.pop("labels", {})
    metadata = {"name": name, "labels": labels} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **more}


NAMESPACE = obj("v1", "Namespace", "shop", labels={"pod-security.kubernetes.io/audit": "privileged"})
POD = obj(
    "v1",
    "Pod",
    "p",
    "shop",
    spec={
        "containers": [{"name": "c", "image": "x", "securityContext": {"runAsNonRoot": False}}],
        "securityContext": {"runAsNonRoot": True},
    },
)
DENY = obj(
    "networking.k8s.io/v1",
    "NetworkPolicy",
    "deny",
    "shop",
    spec={"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
)
OPEN = obj(
    "networking.k8s.io/v1",
    "NetworkPolicy",
    "open",
    "shop",
    spec={
        "podSelector": {},
        "policyTypes": ["Egress"],
        "egress": [
            {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"port": 443}]},
            {"to": [{"ipBlock": {"cidr": "::/0", "except": []}}]},
        ],
    },
)
AGGREGATED = obj(
    f"{RBAC}/v1",
    "ClusterRole",
    "whole",
    aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"to": "true"}}]},
)
PART = obj(
    f"{RBAC}/v1",
    "ClusterRole",
    "part",
    labels={"to": "true"},
    rules=[{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}],
)
BINDING = obj(
    f"{RBAC}/v1",
    "ClusterRoleBinding",
    "b",
    roleRef={"apiGroup": RBAC, "kind": "ClusterRole", "name": "whole"},
    subjects=[{"kind": "User", "name": "u", "apiGroup": RBAC}],
)
KYVERNO = obj(
    "kyverno.io/v1",
    "ClusterPolicy",
    "k",
    spec={
        "validationFailureAction": "Enforce",
        "rules": [
            {"name": "r", "validate": {"failureAction": "Audit"}},
            {"name": "i", "verifyImages": [{"failureAction": "Audit"}]},
        ],
    },
    status={"ready": True},
)
CEL = obj(
    "policies.kyverno.io/v1",
    "ValidatingPolicy",
    "k",
    spec={
        "evaluation": {"admission": {"enabled": False}},
        "validations": [{"expression": "false"}],
        "validationActions": ["Deny"],
    },
    status={"conditionStatus": {"ready": True}},
)
HOOKS = obj("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration", "h", webhooks=[])
API_SERVER = obj(
    "v1",
    "Pod",
    "kube-apiserver",
    "kube-system",
    spec={
        "containers": [
            {
                "name": "kube-apiserver",
                "image": "x",
                "command": ["kube-apiserver", "--audit-policy-file=/p", "--audit-log-path=$(LOG)"],
                "env": [{"name": "LOG", "value": ""}],
            }
        ]
    },
)
CASES: dict[str, tuple[Any, dict[str, Any], list[dict[str, Any]]]] = {
    "default deny": (default_deny, {"network": {"defaultDeny": True}}, [NAMESPACE, DENY, OPEN]),
    "labels": (audit_label, {"podSecurity": {"audit": "baseline"}}, [NAMESPACE]),
    "aggregation": (
        forbidden,
        {"rbac": {"forbiddenRules": [{"apiGroup": "", "resource": "secrets", "verbs": ["get"]}]}},
        [AGGREGATED, PART, BINDING],
    ),
    "inherited": (
        container_fields,
        {"workloads": {"containers": {"required": [{"key": "securityContext.runAsNonRoot", "value": True}]}}},
        [NAMESPACE, POD],
    ),
    "Kyverno": (policies, {"admission": {"policies": {"requiredPolicies": [{"name": "k"}]}}}, [KYVERNO]),
    "Kyverno, CEL": (policies, {"admission": {"policies": {"requiredPolicies": [{"name": "k"}]}}}, [CEL]),
    "webhooks": (
        required,
        {"admission": {"required": [{"type": "ValidatingWebhookConfiguration"}]}},
        [HOOKS],
    ),
    "audit log": (audit_log, {"observability": {"logging": {"auditLog": {"required": True}}}}, [API_SERVER]),
}
IDENTITY = ("apiVersion", "kind", "metadata.name", "metadata.namespace", "spec.containers.0.name")
"""With these it is another object, or another container."""


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in pairs:
        yield (*at, key), one
        yield from places(one, (*at, key))


def of_other_types(value: Any) -> list[Any]:
    match value:
        case dict():
            return [[], [value], "x", 5, True]
        case list():
            return [{}, {"0": 1}, "x", 5, True]
        case bool():
            return [str(value).lower(), int(value), [value], {}, [], ""]
        case str():
            return [{}, [], [value], 5, True]
        case _:
            return [{}, [value], "x", 0.5]


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", ["live", "manifests"])
def test_a_wrong_type_does_not_pass(case: str, kind: str) -> None:
    func, spec, objects = CASES[case]

    def verdicts(changed: list[dict[str, Any]]) -> set[str]:
        return {result.verdict for result in evaluate(func, objects=changed, spec=spec, kind=kind)}

    assert verdicts(objects) == {"fail"}
    passed = []
    for index, whole in enumerate(objects):
        for at, value in places(whole):
            if ".".join(map(str, at)) in IDENTITY:
                continue
            for other in of_other_types(value):
                made = copy.deepcopy(objects)
                holder: Any = made[index]
                for key in at[:-1]:
                    holder = holder[key]
                holder[at[-1]] = other
                if verdicts(made) & ({"pass"} if kind == "manifests" else {"pass", "skip"}):
                    passed.append((whole["kind"], at, other))
    assert passed == []


@pytest.mark.parametrize("namespace", [5, True, {}, [], ["shop"]])
def test_a_namespace_that_is_no_text(namespace: Any) -> None:
    """Read as none, the role of one namespace would be one of `default`, or the policy of one for all."""
    policy = obj("policies.kyverno.io/v1", "NamespacedValidatingPolicy", "k", spec=CEL["spec"])
    policy["metadata"]["namespace"] = namespace
    func, spec, _ = CASES["Kyverno, CEL"]
    assert {result.verdict for result in evaluate(func, objects=[policy], spec=spec)} == {"error"}


def test_a_label_that_is_null_is_empty() -> None:
    """As an API server reads it."""
    func, spec, objects = CASES["aggregation"]
    changed = copy.deepcopy(objects)
    changed[1]["metadata"]["labels"]["other"] = None
    assert {result.verdict for result in evaluate(func, objects=changed, spec=spec)} == {"fail"}
