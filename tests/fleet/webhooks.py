"""Plays what runs the webhook of a cluster without nodes: its pods are one process of this machine.

The process has what a pod of the manifests has: its arguments, its files from the ConfigMap, the rights of its
ServiceAccount, and a Service that leads to it. The API server needs an address that is not loopback.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from tests.controlplane.process import free_port
from tests.controlplane.server import ControlPlane
from tests.webhook.installed import SYSTEM, token
from tests.webhook.running import get

FOLDER = "/etc/kspec/files"
DEPLOYMENTS = f"/apis/apps/v1/namespaces/{SYSTEM}/deployments"
ROUTED = "--enable-aggregator-routing=true"
"""Flag of the API server: it calls addresses of a Service, not its cluster IP, which needs kube-proxy."""
_POLL_S = 0.2


def address() -> str:
    """Of this machine, where it is not loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, contextlib.suppress(OSError):
        probe.connect(("192.0.2.1", 9))  # sends nothing
        found = str(probe.getsockname()[0])
        if not found.startswith("127."):
            return found
    raise RuntimeError(
        "This test needs a network interface beside loopback: API servers call no loopback address."
    )


class Played:
    """kubelet, scheduler and controllers for the Deployments of one cluster. held: they are not looked at."""

    def __init__(self, plane: ControlPlane, folder: Path) -> None:
        self.plane, self._folder = plane, folder
        self.processes: dict[str, tuple[str, subprocess.Popen[bytes], int]] = {}
        self.held = False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join(30)
        for name in list(self.processes):
            self.kill(name)

    def kill(self, name: str) -> None:
        """As a node that loses power."""
        process = self.processes[name][1]
        process.kill()
        process.wait()

    def _work(self) -> None:
        while not self._ended.wait(_POLL_S):
            with contextlib.suppress(OSError):
                self._look()

    def _look(self) -> None:
        found = self.plane.request("GET", DEPLOYMENTS).body.get("items", [])
        for name in self.processes.keys() - {one["metadata"]["name"] for one in found}:
            self.kill(name)
            del self.processes[name]
        for one in found:
            if not self.held:
                self._run(one)

    def _run(self, deployment: dict[str, Any]) -> None:
        name, template = deployment["metadata"]["name"], str(deployment["spec"]["template"])
        known = self.processes.get(name)
        if known is None or known[0] != template:
            if known is not None:
                self.kill(name)
            self.processes[name] = known = (template, *self._start(deployment))
        ready = False
        with contextlib.suppress(OSError):
            ready = known[1].poll() is None and get(known[2], "/readyz")[0] == 200
        replicas = deployment["spec"]["replicas"]
        up = replicas if ready else 0
        status = {
            "replicas": replicas,
            "updatedReplicas": replicas,
            "availableReplicas": up,
            "readyReplicas": up,
        }
        status["observedGeneration"] = deployment["metadata"]["generation"]
        if any(deployment.get("status", {}).get(key, 0) != value for key, value in status.items()):
            self.plane.request("PATCH", f"{DEPLOYMENTS}/{name}/status", {"status": status})

    def _start(self, deployment: dict[str, Any]) -> tuple[subprocess.Popen[bytes], int]:
        name = deployment["metadata"]["name"]
        pod = deployment["spec"]["template"]["spec"]
        folder = self._folder / f"{self.plane.name}-{name}-{deployment['metadata']['generation']}"
        (volume,) = (one["configMap"] for one in pod["volumes"] if "configMap" in one)
        path = f"/api/v1/namespaces/{SYSTEM}/configmaps/{volume['name']}"
        content = self.plane.request("GET", path).body["binaryData"]
        for item in volume["items"]:
            file = folder / "files" / item["path"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(base64.b64decode(content[item["key"]]))
        config = yaml.safe_load(self.plane.kubeconfig(path=folder / "kubeconfig").read_text())
        config["users"][0]["user"] = {"token": token(self.plane, pod["serviceAccountName"])}
        (folder / "kubeconfig").write_text(yaml.safe_dump(config))
        port, read_port = free_port(), free_port()
        (container,) = pod["containers"]
        words = [word.replace(FOLDER, str(folder / "files")) for word in container["args"]]
        where = [f"--port={port}", f"--read-port={read_port}", f"--kubeconfig={folder / 'kubeconfig'}"]
        where += [f"--cluster={self.plane.name}", "--drain=0"]
        with (folder / "log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "pytest_kspec.cli.main", "webhook", *words, *where],
                stdout=log,
                stderr=log,
                cwd=folder,
                env=os.environ | {"POD_NAMESPACE": SYSTEM},
            )
        self._lead(name, port, read_port)
        return process, port

    def _lead(self, service: str, port: int, read_port: int) -> None:
        """What kubelet and endpoint controllers write of the pods of a Service: API servers look at all of it."""
        pods, found = f"/api/v1/namespaces/{SYSTEM}/pods", {"ip": address()}
        pod = {"metadata": {"name": service}, "spec": {"containers": [{"name": "webhook", "image": "none"}]}}
        if self.plane.request("GET", f"{pods}/{service}").status == 404:
            answer = self.plane.request("POST", pods, pod)
            assert answer.status == 201, answer
        status = {"phase": "Running", "podIP": address(), "podIPs": [found]}
        answer = self.plane.request("PATCH", f"{pods}/{service}/status", {"status": status})
        assert answer.status == 200, answer
        target = {"kind": "Pod", "name": service, "namespace": SYSTEM, "uid": answer.body["metadata"]["uid"]}
        ports = [{"name": "https", "port": port}, {"name": "read", "port": read_port}]
        labels = {"kubernetes.io/service-name": service}
        sliced = {
            "metadata": {"name": service, "labels": labels},
            "addressType": "IPv4",
            "endpoints": [{"addresses": [address()], "conditions": {"ready": True}, "targetRef": target}],
            "ports": ports,
        }
        whole = {
            "metadata": {"name": service},
            "subsets": [{"addresses": [{"ip": address(), "targetRef": target}], "ports": ports}],
        }
        for path, item in (
            (f"/apis/discovery.k8s.io/v1/namespaces/{SYSTEM}/endpointslices", sliced),
            (f"/api/v1/namespaces/{SYSTEM}/endpoints", whole),
        ):
            self.plane.request("DELETE", f"{path}/{service}")
            answer = self.plane.request("POST", path, item)
            assert answer.status == 201, answer
