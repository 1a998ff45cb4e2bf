"""What `kspec webhook --manifests` makes of accounts and rights, in a cluster of the tests, and tokens for them."""

from __future__ import annotations

from typing import Any

from pytest_kspec.enforce import webhook_install as install
from tests.controlplane.server import ControlPlane

SYSTEM, SERVICE = "kspec-system", "kspec-webhook"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
PATHS = {
    "ServiceAccount": "/api/v1/namespaces/{namespace}/serviceaccounts",
    "ClusterRole": f"{RBAC}/clusterroles",
    "ClusterRoleBinding": f"{RBAC}/clusterrolebindings",
    "Role": f"{RBAC}/namespaces/{{namespace}}/roles",
    "RoleBinding": f"{RBAC}/namespaces/{{namespace}}/rolebindings",
}


def rights() -> list[dict[str, Any]]:
    """The manifests of these kinds, in their order."""
    made = install.manifests("registry.example.com/kspec:1.0", SYSTEM, SERVICE, None)
    return [item for item in made if item["kind"] in PATHS]


def install_rights(plane: ControlPlane) -> None:
    """Create them; the namespace is there already."""
    for item in rights():
        path = PATHS[item["kind"]].format(namespace=SYSTEM)
        answer = plane.request("POST", path, item)
        assert answer.status in (201, 409), answer


def token(plane: ControlPlane, name: str, namespace: str = SYSTEM, audience: str = "") -> str:
    """A token of a service account; audience "": for the API server."""
    spec = {"audiences": [audience]} if audience else {}
    asked = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
    path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token"
    answer = plane.request("POST", path, asked)
    assert answer.status == 201, answer
    return str(answer.body["status"]["token"])
