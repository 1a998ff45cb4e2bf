"""Writes `pytest_kspec/kube/bootstraproles.json`: the roles that every API server makes for itself.

Asked of a real kube-apiserver, the one of the tests' control plane. Needs Go, and the first time some minutes:

    python -m tools.bootstrap_roles
"""

from __future__ import annotations

import json
from typing import Any

from pytest_kspec.kube.bootstraproles import FILE
from tests.controlplane.server import ControlPlane, Etcd

API = "/apis/rbac.authorization.k8s.io/v1"
LABEL = "kubernetes.io/bootstrapping=rbac-defaults"


def bootstrap_roles(plane: ControlPlane) -> list[dict[str, Any]]:
    """What the server made, without what differs from server to server; sorted."""
    found = []
    for kind, plural in (("ClusterRole", "clusterroles"), ("Role", "roles")):
        for item in plane.request("GET", f"{API}/{plural}?labelSelector={LABEL}").body["items"]:
            metadata = {
                key: item["metadata"][key]
                for key in ("name", "namespace", "labels")
                if key in item["metadata"]
            }
            kept = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, "metadata": metadata}
            if "aggregationRule" in item:  # a controller writes the union of the others into its rules
                found.append(kept | {"aggregationRule": item["aggregationRule"]})
            else:
                found.append(kept | {"rules": item.get("rules") or []})
    return sorted(
        found,
        key=lambda role: (role["kind"], role["metadata"].get("namespace", ""), role["metadata"]["name"]),
    )


def text_of(roles: list[dict[str, Any]]) -> str:
    """One role a line."""
    lines = ",\n".join(json.dumps(role, sort_keys=True, separators=(",", ":")) for role in roles)
    return f"[\n{lines}\n]\n"


if __name__ == "__main__":
    with Etcd() as etcd, ControlPlane(etcd) as control_plane:
        FILE.write_text(text_of(bootstrap_roles(control_plane)), encoding="utf-8")
