"""One cluster of real nodes for all tests of this folder, with the operator installed as its page says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.crds.names import NAMESPACE
from tests.cli.conftest import ROOT, Said
from tests.node import image
from tests.node.cluster import NodeCluster

LIMIT_S = 180.0  # far above what is needed on a quiet machine
PODS = "app.kubernetes.io/name=kspec-operator"
LEASE = f"/apis/coordination.k8s.io/v1/namespaces/{NAMESPACE}/leases/kspec-operator-lock"
SPECS = "/apis/kspec.io/v1alpha1/clusterspecifications"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests here need the nodes; what the whole run needed is asked at its end."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.node)
    items.sort(key=lambda item: item.path.name == "test_rights.py")


def until(what: Callable[[], Any], said: Callable[[], str] = lambda: "") -> Any:
    """What it gives, once that is true."""
    deadline = time.monotonic() + LIMIT_S
    while not (found := what()):
        assert time.monotonic() < deadline, said()
        time.sleep(0.2)
    return found


class Installed:
    """The operator on a cluster: what a user sees of it. config: the folders that can be applied."""

    def __init__(self, cluster: NodeCluster, config: Path) -> None:
        self.cluster, self.config = cluster, config
        self.kubectl = cluster.kubectl

    def put(self, name: str) -> None:
        """Apply one of the folders, as its page says."""
        said = self.kubectl("apply", "--server-side", "-k", self.config / name, check=False)
        assert "Warning" not in said
        assert "rror" not in said, said

    def get(self, path: str) -> dict[str, Any]:
        status, body = self.cluster.plane.request("GET", path)
        assert status == 200, body
        return dict(body)

    def every_pod(self, selector: str = PODS) -> list[dict[str, Any]]:
        """Pods, also those that are being deleted."""
        return list(self.get(f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector={selector}")["items"])

    def pods(self, selector: str = PODS) -> list[dict[str, Any]]:
        """Pods that are not being deleted."""
        return [one for one in self.every_pod(selector) if "deletionTimestamp" not in one["metadata"]]

    def ready(self, selector: str = PODS) -> list[str]:
        """Names of the pods that are Ready."""
        return [
            one["metadata"]["name"]
            for one in self.pods(selector)
            for condition in one.get("status", {}).get("conditions", [])
            if (condition["type"], condition["status"]) == ("Ready", "True")
        ]

    def leader(self) -> str:
        """The pod that the Lease names."""
        return str(self.get(LEASE)["spec"].get("holderIdentity", "")).split("_", 1)[0]

    def restarts(self, pod: str) -> int:
        """How often its container was started again."""
        status = self.get(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}")["status"]
        return int(status["containerStatuses"][0]["restartCount"])

    def signal(self, pod: str, name: str) -> None:
        """Send a signal to the first process of its container, from outside."""
        found = self.get(f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}")
        container = found["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        self.cluster.workers[found["spec"]["nodeName"]].ctr("tasks", "kill", "--signal", name, container)

    def rolled_out(self, deployment: str) -> None:
        """Wait until all of its replicas are those of its template, and ready."""
        words = (f"deployment/{deployment}", "-n", NAMESPACE, f"--timeout={LIMIT_S:.0f}s")
        said = self.kubectl("rollout", "status", *words, check=False)
        assert "successfully rolled out" in said, said + self.state()

    def apply(self, name: str, spec: dict[str, Any]) -> None:
        head = {"apiVersion": "kspec.io/v1alpha1", "kind": "ClusterSpecification", "metadata": {"name": name}}
        self.kubectl("apply", "-f", "-", input=yaml.safe_dump({**head, "spec": spec}))

    def wait(self, name: str, condition: str) -> None:
        """As a user waits, for a condition of the present generation."""
        self.kubectl("wait", f"--for=condition={condition}", f"cspec/{name}", f"--timeout={LIMIT_S:.0f}s")

    def says(self, name: str) -> dict[str, Any]:
        """The condition Ready of the present generation; {} while there is none."""
        found = self.get(f"{SPECS}/{name}")
        for one in found.get("status", {}).get("conditions", []):
            if one["type"] == "Ready" and one["observedGeneration"] == found["metadata"]["generation"]:
                return dict(one)
        return {}

    def state(self) -> str:
        """For messages."""
        words = ("get", "pods,events,lease", "-n", NAMESPACE, "-o", "wide")
        logs = ("logs", "-n", NAMESPACE, "-l", PODS, "--prefix", "--tail=15")
        return self.kubectl(*words, check=False) + self.kubectl(*logs, check=False)

    def kspec(self, *words: str | Path) -> Said:
        """The command on the machine of a user, with a kubeconfig for this cluster."""
        command = [sys.executable, "-m", "pytest_kspec.cli.main", *map(str, words)]
        config = self.cluster.plane.kubeconfig()
        environment = {**os.environ, "NO_COLOR": "1", "KUBECONFIG": str(config)}
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=LIMIT_S, env=environment, cwd=self.cluster.folder
        )
        return Said(done.returncode, done.stdout, done.stderr)


@pytest.fixture(scope="session")
def cluster() -> Iterator[NodeCluster]:
    """Two nodes that have our images."""
    archives = (image.pause(), image.kspec())
    with NodeCluster() as made:
        made.load(*archives)
        yield made


@pytest.fixture(scope="session")
def installed(cluster: NodeCluster, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Operator and webhook, from config/ with the name of an image written into it."""
    folder = tmp_path_factory.mktemp("operator")
    shutil.copytree(ROOT / "config", folder / "config")
    path = folder / "config" / "image" / "kustomization.yaml"
    text = path.read_text(encoding="utf-8")
    name, tag = image.KSPEC.split(":")
    assert "newName: kspec, newTag: latest" in text
    path.write_text(
        text.replace("newName: kspec, newTag: latest", f"newName: {name}, newTag: {tag}"), encoding="utf-8"
    )
    made = Installed(cluster, folder / "config")
    made.put("with-webhook")
    for name in ("kspec-operator", "kspec-webhook"):
        made.rolled_out(name)
    return made
