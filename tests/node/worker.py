"""containerd and a kubelet on a machine: one node of a cluster."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from tests.controlplane import build
from tests.controlplane.process import Process, ServerFailed
from tests.controlplane.server import ControlPlane

from . import parts
from .machine import COMMAND_S, Machine

READY_S = 180.0
PAUSE = "localhost/pause:1"

# Without CAP_SYS_RESOURCE no pod would start but for `restrict_oom_score_adj`.
CONTAINERD = """\
version = 2
root = "{folder}/containerd"
state = "{folder}/containerd-state"
[grpc]
address = "{folder}/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
disable_apparmor = true
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{plugins}"
conf_dir = "{folder}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
default_runtime_name = "runc"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
BinaryName = "{runc}"
SystemdCgroup = false
"""


class Worker:
    """A node named `name`, whose pods have addresses of `pods`, a part of the cluster's range."""

    def __init__(self, name: str, machine: Machine, plane: ControlPlane, pods: str) -> None:
        self.name = name
        self.machine = machine
        self.plane = plane
        self.pods = pods
        self._socket = machine.folder / "containerd.sock"
        self._started: list[Process] = []

    def start(self) -> None:
        """Start both, and wait until the node is Ready. Raises: NoNode, ServerFailed."""
        self._write_files()
        folder = self.machine.folder
        containerd = self._process(
            "containerd", parts.command("containerd"), "--config", folder / "containerd.toml"
        )
        containerd.wait_until(self._answers, READY_S)
        kubelet = self._process(
            "kubelet",
            build.binary("kubelet"),
            f"--config={folder / 'kubelet.json'}",
            f"--kubeconfig={self.plane.kubeconfig(f'system:node:{self.name}', folder / 'kubeconfig')}",
            f"--hostname-override={self.name}",
            f"--node-ip={self.machine.address}",
            "--root-dir=/var/lib/kubelet",
        )
        kubelet.wait_until(self._ready, READY_S)

    def load(self, archive: Path) -> None:
        """Make an image available that is a file (docker-archive). Raises: ServerFailed."""
        self.ctr("images", "import", "--digests=false", str(archive))

    def ctr(self, *words: str, timeout_s: float = COMMAND_S) -> str:
        """What containerd's own client prints. Raises: ServerFailed."""
        client = ("ctr", f"--address={self._socket}", "--namespace=k8s.io")
        return self.machine.run(*client, *words, timeout_s=timeout_s)

    def stop(self) -> None:
        """End both; their pods end with the machine."""
        for process in reversed(self._started):
            process.stop()

    # -- inside --------------------------------------------------------------------------------------------

    def _process(self, name: str, *command: str | Path) -> Process:
        words = [*self.machine.inside, *(str(word) for word in command)]
        process = Process(name, words, self.machine.folder, {"PATH": parts.SYSTEM_PATH})
        process.start()
        self._started.append(process)
        return process

    def _answers(self) -> bool:
        try:
            self.ctr("version", timeout_s=10.0)
        except ServerFailed:
            return False
        return True

    def _ready(self) -> bool:
        status, node = self.plane.request("GET", f"/api/v1/nodes/{self.name}")
        conditions = node.get("status", {}).get("conditions", []) if status == 200 else []
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def _write_files(self) -> None:
        folder, address = self.machine.folder, self.machine.address
        text = CONTAINERD.format(
            folder=folder, pause=PAUSE, plugins=parts.PLUGINS, runc=parts.command("runc")
        )
        (folder / "containerd.toml").write_text(text, encoding="utf-8")
        bridge = {
            "type": "bridge",
            "bridge": f"cni-{self.name}",
            "isGateway": True,
            "hairpinMode": True,
            "ipMasq": False,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": self.pods}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        chain = {
            "cniVersion": "0.4.0",
            "name": "pods",
            "plugins": [bridge, {"type": "portmap", "capabilities": {"portMappings": True}}],
        }
        (folder / "cni").mkdir()
        (folder / "cni" / "10-bridge.conflist").write_text(json.dumps(chain), encoding="utf-8")
        serving = self.plane.authority.issue(f"kubelet-{self.name}", hosts=(address, self.name))
        kubelet = {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": address,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self.plane.ca_path)},
            },
            "authorization": {"mode": "Webhook"},
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": f"/{self.machine.cgroup}",
            "containerRuntimeEndpoint": f"unix://{self._socket}",
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "failCgroupV1": False,
            "failSwapOn": False,
            "healthzBindAddress": address,
            # Images are files that were imported: none can be pulled again.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            "resolvConf": "",
            "shutdownGracePeriod": "0s",
            "syncFrequency": "10s",
            "tlsCertFile": str(serving.certificate),
            "tlsPrivateKeyFile": str(serving.key),
            "volumePluginDir": str(folder / "plugins"),
        }
        (folder / "kubelet.json").write_text(json.dumps(kubelet), encoding="utf-8")


def write_proxy_config(path: Path, kubeconfig: Path, address: str, pods: str) -> None:
    """The configuration of kube-proxy: Services by iptables, in the network that all nodes share here."""
    configuration = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "bindAddress": address,
        "clusterCIDR": pods,
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        # A pod that asks a Service of which a pod on the same bridge is the answer: the way back is the way there.
        "iptables": {"masqueradeAll": True},
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
    path.write_text(yaml.safe_dump(configuration), encoding="utf-8")
