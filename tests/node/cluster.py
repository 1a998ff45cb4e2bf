"""A cluster of two nodes: the control plane of the tests, a scheduler, kube-proxy, and kubelets that run pods.

Both nodes share one network, as if they were on one switch without anything between them; each has mounts, processes, a
cgroup, a containerd and a range of addresses of its own.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.controlplane import build
from tests.controlplane.process import Process, ServerFailed
from tests.controlplane.server import ControlPlane, Etcd

from . import parts
from .machine import Machine
from .worker import Worker, write_proxy_config

ADDRESSES = {"node1": "192.0.2.10", "node2": "192.0.2.11"}
PODS = "198.51.100.0/24"
PODS_OF = {"node1": "198.51.100.0/25", "node2": "198.51.100.128/25"}
SERVICES = "203.0.113.0/24"
API_SERVICE = "203.0.113.1"
PROXY_READY_S = 60.0
KUBECTL_S = 300.0
SCHEDULER, PROXY, CLIENT = "system:kube-scheduler", "system:kube-proxy", "kubelet-client"


class NodeCluster:
    """`plane` is its control plane; `kubectl` does what a user's would."""

    def __init__(self, *, users: dict[str, Sequence[str]] | None = None) -> None:
        self._users = users or {}
        self._stack = ExitStack()
        self.workers: dict[str, Worker] = {}
        self.folder = Path()
        self.plane: ControlPlane

    def start(self) -> Self:
        """Start all of it. Raises: NoNode, NoControlPlane, ServerFailed."""
        first = self._stack.enter_context(Machine(ADDRESSES["node1"]))
        second = self._stack.enter_context(Machine(ADDRESSES["node2"], first))
        etcd = self._stack.enter_context(Etcd(first))
        nodes = {f"system:node:{name}": ("system:nodes",) for name in ADDRESSES}
        self.plane = ControlPlane(
            etcd,
            users={**nodes, SCHEDULER: (), PROXY: (), **self._users},
            controllers=True,
            hosts=(first.address, API_SERVICE),
            kubelets=True,
        )
        self.folder = self.plane.folder
        client = self.plane.authority.issue(CLIENT)
        self.plane.flags = (
            "--bind-address=0.0.0.0",
            f"--advertise-address={first.address}",
            "--endpoint-reconciler-type=lease",
            f"--service-cluster-ip-range={SERVICES}",
            "--authorization-mode=Node",  # and RBAC: this flag adds
            "--enable-admission-plugins=NodeRestriction",
            f"--kubelet-client-certificate={client.certificate}",
            f"--kubelet-client-key={client.key}",
            f"--kubelet-certificate-authority={self.plane.ca_path}",
            "--kubelet-preferred-address-types=InternalIP",
        )
        self._stack.enter_context(self.plane)
        self._allow_kubelet_client()
        self._start_scheduler(first)
        for name, machine in zip(ADDRESSES, (first, second), strict=True):
            worker = Worker(name, machine, self.plane, PODS_OF[name])
            self._stack.callback(worker.stop)
            worker.start()
            self.workers[name] = worker
        self._start_proxy(first)  # it ends where its node gets an address after its start
        first.run("ip", "route", "add", SERVICES, "dev", "lo", "src", first.address)  # for the API server
        return self

    def stop(self) -> None:
        """End all of it."""
        self._stack.close()

    def load(self, *archives: Path) -> None:
        """Make images available on every node. Raises: ServerFailed."""
        for archive in archives:
            for worker in self.workers.values():
                worker.load(archive)

    def kubectl(self, *words: str | Path, input: str | None = None, check: bool = True) -> str:
        """What kubectl prints, as `admin`. Raises: ServerFailed for an exit code other than 0, with `check`."""
        command = [
            Path(sys.executable).with_name("kubectl"),
            f"--kubeconfig={self.plane.kubeconfig()}",
            *words,
        ]
        try:
            done = subprocess.run(
                [str(word) for word in command],
                input=input,
                capture_output=True,
                text=True,
                timeout=KUBECTL_S,
                env={"PATH": parts.SYSTEM_PATH, "HOME": str(self.folder)},
            )
        except subprocess.TimeoutExpired as error:
            raise ServerFailed(f"kubectl {words} took more than {KUBECTL_S:.0f} s") from error
        if done.returncode and check:
            raise ServerFailed(f"kubectl {' '.join(map(str, words))}: {done.stderr}{done.stdout}")
        return done.stdout + (done.stderr if not check else "")

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # -- inside --------------------------------------------------------------------------------------------

    def _allow_kubelet_client(self) -> None:
        group = "rbac.authorization.k8s.io"
        body: dict[str, Any] = {
            "metadata": {"name": CLIENT},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "system:kubelet-api-admin"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": CLIENT}],
        }
        status, said = self.plane.request("POST", f"/apis/{group}/v1/clusterrolebindings", body)
        if status != 201:
            raise ServerFailed(f"the right to reach kubelets: {said}")

    def _start_scheduler(self, machine: Machine) -> None:
        config = self.plane.kubeconfig(SCHEDULER)
        self._process(
            machine,
            "kube-scheduler",
            f"--kubeconfig={config}",
            f"--authentication-kubeconfig={config}",
            f"--authorization-kubeconfig={config}",
            "--leader-elect=false",
            "--secure-port=0",
        )

    def _start_proxy(self, machine: Machine) -> None:
        path = machine.folder / "kube-proxy.yaml"
        write_proxy_config(path, self.plane.kubeconfig(PROXY), machine.address, PODS)
        proxy = self._process(machine, "kube-proxy", f"--config={path}", "--hostname-override=node1")

        def knows_the_server() -> bool:
            return API_SERVICE in machine.run("iptables-save", "-t", "nat")

        proxy.wait_until(knows_the_server, PROXY_READY_S)

    def _process(self, machine: Machine, name: str, *flags: str) -> Process:
        words = [*machine.inside, str(build.binary(name)), *flags]
        process = Process(name, words, machine.folder, {"PATH": parts.SYSTEM_PATH})
        self._stack.callback(process.stop)
        process.start()
        return process
