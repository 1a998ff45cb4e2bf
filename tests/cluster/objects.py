"""Small Kubernetes objects for these tests."""

from typing import Any


def controlled(kind: str, name: str, uid: str = "", api_version: str = "apps/v1") -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": True}


def obj(
    kind: str,
    name: str,
    namespace: str = "shop",
    api_version: str = "v1",
    owner: dict[str, Any] | None = None,
    **rest: Any,
) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "uid": f"uid-{kind}-{name}"}
    if namespace:
        metadata["namespace"] = namespace
    if owner:
        metadata["ownerReferences"] = [owner]
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest}


def pod(name: str, namespace: str = "shop", spec: Any = None, **rest: Any) -> dict[str, Any]:
    return obj(
        "Pod", name, namespace, spec={"containers": [{"name": "app"}]} if spec is None else spec, **rest
    )


def template(spec: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "template": {"metadata": {"labels": {"app": "x"}}, "spec": spec or {"containers": [{"name": "app"}]}}
    }


def deployment(name: str, **rest: Any) -> dict[str, Any]:
    return obj("Deployment", name, api_version="apps/v1", spec=template(), **rest)


def replica_set(name: str, owner: dict[str, Any] | None = None) -> dict[str, Any]:
    return obj("ReplicaSet", name, api_version="apps/v1", owner=owner, spec=template())
