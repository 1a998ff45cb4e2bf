"""Namespaces that come and go, also where no controller manager empties them.

Deleting a namespace only marks it: the namespace controller deletes what is in it, then lets it go. Without
that controller it would stay Terminating, and its objects would stay listed for ever. With it, and no
kubelet, pods that are bound to a node would hold it back by their grace period. So `delete` empties it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from .server import ControlPlane

GONE_TIMEOUT_S = 30.0
DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
AT_ONCE = {"gracePeriodSeconds": 0, "propagationPolicy": "Background"}


class NotDone(AssertionError):
    """The API server refused what a helper needs; the message holds its answer."""


def create(control_plane: ControlPlane, name: str, labels: Mapping[str, str] | None = None) -> None:
    """Create a namespace; with controllers, wait for its default ServiceAccount, which each pod needs."""
    body = {"metadata": {"name": name, "labels": dict(labels or {})}}
    answer = control_plane.request("POST", "/api/v1/namespaces", body)
    if answer.status != 201:
        raise NotDone(f"namespace {name}: {answer}")
    if control_plane.controllers:
        _wait_for(control_plane, f"/api/v1/namespaces/{name}/serviceaccounts/default", 200)


@contextmanager
def held(control_plane: ControlPlane, name: str) -> Iterator[None]:
    """A namespace while this lasts. One that another fixture holds already is left to that one."""
    is_there = control_plane.request("GET", f"/api/v1/namespaces/{name}").status == 200
    if not is_there:
        create(control_plane, name)
    yield
    if not is_there:
        delete(control_plane, name)


def delete(control_plane: ControlPlane, name: str) -> None:
    """Delete a namespace and all that is in it, and wait until it is gone. Absent is well, too.

    Takes 0.2 s; with controllers 5 s more, which the namespace controller always waits.
    """
    path = f"/api/v1/namespaces/{name}"
    if control_plane.request("DELETE", path, AT_ONCE).status == 404:
        return
    for collection in _collections(control_plane, name):
        control_plane.request("DELETE", collection, AT_ONCE)
    if not control_plane.controllers:
        namespace = control_plane.request("GET", path).body
        namespace["spec"]["finalizers"] = []
        control_plane.request("PUT", f"{path}/finalize", namespace)
    _wait_for(control_plane, path, 404)


def discovered(control_plane: ControlPlane) -> set[str]:
    """The plural names of all kinds of API groups, as aggregated discovery has them now."""
    groups = control_plane.request("GET", "/apis", headers={"Accept": DISCOVERY}).body["items"]
    versions = [version for group in groups for version in group["versions"]]
    return {resource["resource"] for version in versions for resource in version.get("resources", [])}


def _collections(control_plane: ControlPlane, namespace: str) -> Iterator[str]:
    """The path of every namespaced collection that can be deleted, custom resources included."""
    for root in ("/api", "/apis"):
        groups = control_plane.request("GET", root, headers={"Accept": DISCOVERY}).body
        for group in groups["items"]:
            name = group.get("metadata", {}).get("name", "")
            version = group["versions"][0]  # the preferred one; the objects are the same in the others
            base = f"/api/{version['version']}" if root == "/api" else f"/apis/{name}/{version['version']}"
            for resource in version.get("resources", []):
                if resource["scope"] == "Namespaced" and "deletecollection" in resource["verbs"]:
                    yield f"{base}/namespaces/{namespace}/{resource['resource']}"


def _wait_for(control_plane: ControlPlane, path: str, status: int) -> None:
    deadline = time.monotonic() + GONE_TIMEOUT_S
    answer: Any = control_plane.request("GET", path)
    while answer.status != status:
        if time.monotonic() > deadline:
            raise NotDone(f"{path}: not {status} in {GONE_TIMEOUT_S:.0f} s but {answer}")
        time.sleep(0.02)
        answer = control_plane.request("GET", path)
