"""Creates prod-eu on a control plane, and plays its scheduler and kubelets until every pod is Running."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from tests.controlplane import stand_in
from tests.controlplane.namespaces import NotDone
from tests.controlplane.server import STRATEGIC_PATCH, ControlPlane

from . import example_control, example_workloads
from .example_pods import Object

TIMEOUT_S = 180.0
PLURALS = {"NetworkPolicy": "networkpolicies", "ValidatingAdmissionPolicy": "validatingadmissionpolicies"}


def objects() -> list[Object]:
    """Everything but nodes and pods; what restricts creation comes last."""
    return [
        *(item for item in _all() if item["kind"] == "Namespace"),
        *(item for item in example_control.rbac() if item["kind"] == "ServiceAccount"),
        *(item for item in _all() if item["kind"] not in ("Namespace", "ServiceAccount")),
    ]


def _all() -> list[Object]:
    return [
        *example_control.rbac(),
        *example_control.configuration(),
        *example_workloads.workloads(),
        *example_control.system(),
    ]


def populate(plane: ControlPlane, say: Callable[[str], None] = lambda line: None) -> None:
    """The whole cluster, on a control plane with controllers."""
    for name, (labels, address, kubelet) in example_control.NODES.items():
        stand_in.add_node(plane, name, labels=labels, address=address)
        status = {
            "status": {
                "nodeInfo": {"kubeletVersion": kubelet, "containerRuntimeVersion": "containerd://2.2.0"}
            }
        }
        _must(plane, "PATCH", f"/api/v1/nodes/{name}/status", status, STRATEGIC_PATCH)
    created = objects()
    create(plane, created)
    create_static_pods(plane)
    start_jobs(plane, [item for item in created if item["kind"] == "CronJob"])
    expected = sum(map(_pods, created)) + len(example_control.static_pods())
    say(f"{len(created)} objects created, waiting for {expected} pods")
    run_pods(plane, expected)
    create(plane, example_control.admission())


def create(plane: ControlPlane, created: Iterable[Object]) -> None:
    """Create objects in this order; a namespace that is there already gets its labels."""
    for item in created:
        metadata = item["metadata"]
        if item["kind"] != "Namespace":
            _must(plane, "POST", collection(item), item)
        elif plane.request("POST", "/api/v1/namespaces", item).status == 409:
            labels = {"metadata": {"labels": metadata.get("labels", {})}}
            _must(plane, "PATCH", f"/api/v1/namespaces/{metadata['name']}", labels)
        elif plane.controllers:
            _wait_for(plane, f"/api/v1/namespaces/{metadata['name']}/serviceaccounts/default")


def create_static_pods(plane: ControlPlane) -> None:
    """Mirror pods, owned by their node."""
    for pod in example_control.static_pods():
        for owner in pod["metadata"]["ownerReferences"]:
            owner["uid"] = plane.request("GET", f"/api/v1/nodes/{owner['name']}").body["metadata"]["uid"]
        _must(plane, "POST", collection(pod), pod)


def start_jobs(plane: ControlPlane, cron_jobs: Iterable[Object]) -> None:
    """One run of each CronJob, as its controller starts it."""
    for item in cron_jobs:
        name = item["metadata"]["name"]
        path = collection(item)
        uid = plane.request("GET", f"{path}/{name}").body["metadata"]["uid"]
        owner = {"apiVersion": "batch/v1", "kind": "CronJob", "name": name, "uid": uid, "controller": True}
        job = {
            "metadata": {"name": f"{name}-29400120", "ownerReferences": [owner]},
            "spec": item["spec"]["jobTemplate"]["spec"],
        }
        _must(plane, "POST", path.replace("/cronjobs", "/jobs"), job)


def run_pods(plane: ControlPlane, expected: int) -> None:
    """Bind each pod as its affinity says, else to the workers in turn, and run it."""
    workers = [name for name in example_control.NODES if "-worker-" in name]
    deadline = time.monotonic() + TIMEOUT_S
    running = 0
    while running < expected:
        if time.monotonic() > deadline:
            raise NotDone(f"{running} of {expected} pods run after {TIMEOUT_S:.0f} s")
        pending = plane.request("GET", "/api/v1/pods?fieldSelector=status.phase%3DPending").body["items"]
        for pod in pending:
            if not pod["spec"].get("nodeName"):
                stand_in.bind(plane, pod, _wanted_node(pod) or workers[running % len(workers)])
            network, host = divmod(running, 250)
            stand_in.run(plane, pod, f"10.1.{network}.{host + 2}")
            running += 1
        time.sleep(0.1)


def collection(item: Object) -> str:
    """The path that objects like this one are created at."""
    group, _, version = item["apiVersion"].rpartition("/")
    kind = item["kind"]
    plural = PLURALS.get(kind, f"{kind.lower()}s")
    namespace = item["metadata"].get("namespace")
    inside = f"/namespaces/{namespace}" if namespace else ""
    return f"/{f'apis/{group}' if group else 'api'}/{version}{inside}/{plural}"


def _pods(item: Object) -> int:
    kind = item["kind"]
    if kind == "DaemonSet":
        return len(example_control.NODES)
    if kind == "CronJob":
        return 1
    return int(item["spec"].get("replicas", 0)) if kind in ("Deployment", "StatefulSet") else 0


def _wanted_node(pod: Object) -> str | None:
    """The node that the DaemonSet controller wants a pod on."""
    affinity: Any = pod["spec"].get("affinity", {}).get("nodeAffinity", {})
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution", {})
    for term in required.get("nodeSelectorTerms", []):
        for field in term.get("matchFields", []):
            return str(field["values"][0])
    return None


def _wait_for(plane: ControlPlane, path: str) -> None:
    deadline = time.monotonic() + TIMEOUT_S
    while plane.request("GET", path).status != 200:
        if time.monotonic() > deadline:
            raise NotDone(f"{path} did not appear in {TIMEOUT_S:.0f} s")
        time.sleep(0.05)


def _must(plane: ControlPlane, method: str, path: str, body: Any, content_type: str | None = None) -> None:
    answer = plane.request(method, path, body, content_type=content_type)
    if answer.status not in (200, 201):
        raise NotDone(f"{method} {path}: {answer}")
