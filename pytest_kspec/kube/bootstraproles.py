"""The roles that every API server makes for itself (`view`, `edit`, `cluster-admin`, `system:…`), for manifests.

`bootstraproles.json` is what a kube-apiserver v1.37 made (bootstrap policy of the RBAC authorizer), written by
`tools/bootstrap_roles.py`; a test compares it with the API server. Rules differ little between versions.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

from pytest_kspec.kube.resources import Resource

FILE = Path(__file__).with_name("bootstraproles.json")


@cache
def bootstrap_roles() -> tuple[Resource, ...]:
    """ClusterRoles, and Roles of kube-system and kube-public."""
    return tuple(
        Resource(raw["apiVersion"], raw["kind"], raw) for raw in msgspec.json.decode(FILE.read_bytes())
    )
