"""Reports go with the object that they are about or of: Kubernetes deletes what its owner leaves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def owner_of(found: Mapping[str, Any]) -> dict[str, Any]:
    """An ownerReference to this object of a cluster."""
    head = {key: found[key] for key in ("apiVersion", "kind")}
    return {**head, "name": found["metadata"]["name"], "uid": found["metadata"]["uid"]}


def is_of_another(one: Mapping[str, Any], owner: Mapping[str, Any]) -> bool:
    """Whether it is of an owner of the same name that was deleted: it is about to go, too."""
    owners = one["metadata"].get("ownerReferences") or []
    return bool(owners) and all(reference.get("uid") != owner["uid"] for reference in owners)
