"""Plays the scheduler and the kubelet: nodes that exist, pods that are bound and Running.

For recording clusters that look lived-in. It does only what the API shows: nothing runs. With
`controllers=True` the rest follows by itself: ReplicaSets, pods, endpoints and the status of a Deployment.
"""

from __future__ import annotations

import datetime as dt
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import build
from .namespaces import NotDone
from .server import STRATEGIC_PATCH, ControlPlane

SETTLE_TIMEOUT_S = 30.0
CAPACITY = {"cpu": "4", "memory": "16Gi", "pods": "110", "ephemeral-storage": "100Gi"}
POD_NETWORK = "10.1.0"


def add_node(
    control_plane: ControlPlane,
    name: str,
    *,
    labels: Mapping[str, str] | None = None,
    address: str = "192.0.2.10",
) -> None:
    """Create a node that is Ready, as its kubelet would register it.

    In three steps, because the API has three: `status` is ignored on creation, and the taint
    `node.kubernetes.io/not-ready` that admission adds stays until something removes it.
    """
    path = f"/api/v1/nodes/{name}"
    named = {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
    _must(
        control_plane,
        "POST",
        "/api/v1/nodes",
        {"metadata": {"name": name, "labels": {**named, **(labels or {})}}},
    )
    status = {
        "capacity": CAPACITY,
        "allocatable": CAPACITY,
        "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
        "conditions": [_condition("Ready", reason="KubeletReady")],
        "nodeInfo": {
            "architecture": "amd64",
            "bootID": "",
            "containerRuntimeVersion": "containerd://2.1.0",
            "kernelVersion": "6.12.0",
            "kubeProxyVersion": "",
            "kubeletVersion": build.kubernetes_version(),
            "machineID": "",
            "operatingSystem": "linux",
            "osImage": "Debian GNU/Linux 13",
            "systemUUID": "",
        },
    }
    _must(control_plane, "PATCH", f"{path}/status", {"status": status}, content_type=STRATEGIC_PATCH)
    _must(control_plane, "PATCH", path, {"spec": {"taints": None}})


def bind(control_plane: ControlPlane, pod: dict[str, Any], node: str) -> None:
    """Give the pod its node by the `binding` subresource: `spec.nodeName` cannot be set any other way."""
    metadata = pod["metadata"]
    body = {
        "metadata": {"name": metadata["name"]},
        "target": {"apiVersion": "v1", "kind": "Node", "name": node},
    }
    _must(control_plane, "POST", f"{_path(pod)}/binding", body)


def run(control_plane: ControlPlane, pod: dict[str, Any], address: str) -> None:
    """Set the status that the kubelet sets when every container has started."""
    now = _now()
    spec = pod["spec"]
    ended = {"terminated": {"exitCode": 0, "reason": "Completed", "startedAt": now, "finishedAt": now}}
    conditions = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    status = {
        "phase": "Running",
        "startTime": now,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [_condition(name) for name in conditions],
        "containerStatuses": [_container(c, {"running": {"startedAt": now}}) for c in spec["containers"]],
        "initContainerStatuses": [_container(c, ended) for c in spec.get("initContainers", [])],
    }
    _must(control_plane, "PATCH", f"{_path(pod)}/status", {"status": status}, content_type=STRATEGIC_PATCH)


def settle(control_plane: ControlPlane, nodes: Sequence[str], done: Callable[[], bool]) -> int:
    """Bind pending pods to `nodes` in turn and run them, until `done`; how many pods were run.

    `done` says when what was created has all its pods, since only the caller knows what that is.
    """
    turn = itertools.cycle(nodes)
    addresses = (f"{POD_NETWORK}.{number}" for number in range(2, 255))
    count = 0
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    while True:
        pods = control_plane.request("GET", "/api/v1/pods?fieldSelector=status.phase%3DPending").body["items"]
        for pod in pods:
            if not pod["spec"].get("nodeName"):
                bind(control_plane, pod, next(turn))
            run(control_plane, pod, next(addresses))
            count += 1
        if not pods and done():
            return count
        if time.monotonic() > deadline:
            raise NotDone(f"pods did not settle in {SETTLE_TIMEOUT_S:.0f} s")
        time.sleep(0.05)


def _path(pod: dict[str, Any]) -> str:
    metadata = pod["metadata"]
    return f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"


def _container(container: dict[str, Any], state: dict[str, Any]) -> dict[str, Any]:
    return {
        "name": container["name"],
        "image": container["image"],
        "imageID": "",
        "containerID": f"containerd://{container['name']}",
        "ready": True,
        "started": "running" in state,
        "restartCount": 0,
        "state": state,
    }


def _condition(kind: str, reason: str = "") -> dict[str, Any]:
    return {"type": kind, "status": "True", "reason": reason, "lastTransitionTime": _now()}


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _must(
    control_plane: ControlPlane, method: str, path: str, body: Any, content_type: str | None = None
) -> None:
    answer = control_plane.request(method, path, body, content_type=content_type)
    if answer.status not in (200, 201):
        raise NotDone(f"{method} {path}: {answer}")
