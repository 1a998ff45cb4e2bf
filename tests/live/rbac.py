"""RBAC of a real API server: make roles and bindings, read them as a scan does, ask who may do what."""

import time
from typing import Any

from pytest_kspec.kube.resources import Resource
from pytest_kspec.rules.rbac.authorizer import AccessRequest, Grants
from pytest_kspec.rules.rbac.holders import forbidden_holdings
from pytest_kspec.rules.rbac.permission import Permission
from tests.checks.objects import binding, role, rule

API = "/apis/rbac.authorization.k8s.io/v1"
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
SETTLE_TIMEOUT_S = 15.0
KINDS = {
    "ClusterRole": "clusterroles",
    "Role": "roles",
    "ClusterRoleBinding": "clusterrolebindings",
    "RoleBinding": "rolebindings",
}


def made(plane: Any, raw: dict[str, Any], path: str | None = None) -> Any:
    if path is None:
        namespace = raw["metadata"].get("namespace")
        path = f"{API}/namespaces/{namespace}" if namespace else API
        path = f"{path}/{KINDS[raw['kind']]}"
    answer = plane.request("POST", path, raw)
    assert answer.status == 201, answer.body
    return answer.body


def listed(plane: Any) -> dict[str, Any]:
    """Every role and binding of the cluster, as a scan reads them."""
    return {
        kind: [
            Resource("rbac.authorization.k8s.io/v1", kind, raw)
            for raw in plane.request("GET", f"{API}/{plural}").body["items"]
        ]
        for kind, plural in KINDS.items()
    }


def grants_of(objects: Any) -> Grants:
    return Grants(
        cluster_roles=objects["ClusterRole"],
        roles=objects["Role"],
        cluster_role_bindings=objects["ClusterRoleBinding"],
        role_bindings=objects["RoleBinding"],
    )


def holds(grants: Any, user: Any, forbidden: Any, *names: Any) -> Any:
    """Whether the check reports that this user is granted it, by one of the bindings of these names."""
    verb, group, resource = forbidden
    return any(
        holding.subject.name == user and holding.binding.resource.name in names
        for holding in forbidden_holdings(grants, Permission.of(group, resource, [verb]))
    )


def reviewed(plane: Any, user: str, groups: Any, request: AccessRequest) -> Any:
    """What the API server says."""
    if request.path:
        asked = {"nonResourceAttributes": {"verb": request.verb, "path": request.path}}
    else:
        asked = {"resourceAttributes": {k: v for k, v in request._asdict().items() if v and k != "path"}}
    spec = {"user": user, "groups": groups, **asked}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec}
    answer = plane.request("POST", REVIEWS, body)
    assert answer.status == 201, answer.body
    return answer.body["status"]["allowed"]


def settled(plane: Any, number: object) -> None:
    """Wait until the API server's authorizer has seen an example: its four caches fill independently."""
    marker = f"marker-{number}"
    made(plane, role(marker, rule("get", "kspec.io", marker)))
    made(plane, role(marker, rule("get", "kspec.io", f"{marker}-local"), ns="red"))
    made(plane, binding(f"{marker}-wide", f"ClusterRole/{marker}", f"User/{marker}"))
    made(plane, binding(f"{marker}-local", f"Role/{marker}", f"User/{marker}", ns="red"))
    wait_for(
        lambda: all(
            reviewed(plane, marker, [], AccessRequest("get", "kspec.io", resource, namespace=namespace))
            for resource, namespace in ((marker, ""), (f"{marker}-local", "red"))
        )
    )


def wait_for(condition: Any) -> None:
    end = time.monotonic() + SETTLE_TIMEOUT_S
    while not condition():
        assert time.monotonic() < end, "the API server does not see its own objects"
        time.sleep(0.005)
