"""A run as an Indexed Job of Kubernetes whose pods really run, and are killed and evicted while they work."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from pytest_kspec.fleet.job import job_name
from tests.fleet.conftest import Fleet, MakeFleet, make_fleet, postgres
from tests.node import image
from tests.node.cluster import NodeCluster
from tests.node.conftest import until
from tests.storage.servers import Postgres

__all__ = ["make_fleet", "postgres"]

NAMESPACE = "fleet"
HUB = "hub"
DEAD = "c-005"
KILLED, EVICTED = 0, 1
RUN_S = 900.0


class Pods(NamedTuple):
    """The pods of a Job, on the hub."""

    cluster: NodeCluster
    job: str

    def every(self) -> list[dict[str, Any]]:
        path = f"/api/v1/namespaces/{NAMESPACE}/pods?labelSelector=batch.kubernetes.io/job-name={self.job}"
        status, body = self.cluster.plane.request("GET", path)
        assert status == 200, body
        return list(body["items"])

    def of(self, index: int) -> list[dict[str, Any]]:
        label = "batch.kubernetes.io/job-completion-index"
        return [pod for pod in self.every() if pod["metadata"]["labels"][label] == str(index)]

    def running(self, index: int) -> dict[str, Any] | None:
        for pod in self.of(index):
            for container in pod["status"].get("containerStatuses", []):
                if container["state"].get("running"):
                    return pod
        return None

    def state(self) -> str:
        """For messages."""
        words: tuple[str, ...] = (
            "logs",
            "-n",
            NAMESPACE,
            "-l",
            f"batch.kubernetes.io/job-name={self.job}",
            "--prefix",
        )
        listed = self.cluster.kubectl("get", "pods,jobs,events", "-n", NAMESPACE, check=False)
        return listed + self.cluster.kubectl(*words, "--tail=20", check=False)


def within(cluster: NodeCluster, kubeconfig: Path) -> str:
    """The same clusters as pods reach them: by the address of their node."""
    document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    machine = cluster.workers["node1"].machine
    for one in document["clusters"]:
        told = one["cluster"]
        port = int(told["server"].rsplit(":", 1)[1])
        if one["name"] != DEAD:
            machine.lend(port)
        told |= {"server": f"https://{machine.address}:{port}", "tls-server-name": "localhost"}
    return yaml.safe_dump(document)


def within_pods(store: str, address: str) -> str:
    """The store as pods reach it: it has no certificate."""
    return f"{store.replace('127.0.0.1', address)}?sslmode=disable"


def secret(cluster: NodeCluster, name: str, **values: str) -> None:
    metadata = {"name": name, "namespace": NAMESPACE}
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": values}
    cluster.kubectl("apply", "-f", "-", input=yaml.safe_dump(body))


def test_killed_and_evicted_pods_leave_one_outcome_for_each_cluster(
    cluster: NodeCluster, make_fleet: MakeFleet, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane, machine = cluster.plane, cluster.workers["node1"].machine
    slow = {f"c-00{number}": {"latency": 0.5} for number in range(5)}
    fleet = make_fleet(6, slow | {DEAD: {"fault": "refused"}}, store=postgres.database("node"))
    both = f"{fleet.world.kubeconfig}{os.pathsep}{plane.kubeconfig(path=fleet.folder / 'hub.kubeconfig', context=HUB)}"
    own = Fleet.environment
    monkeypatch.setattr(Fleet, "environment", lambda self: own(self) | {"KUBECONFIG": both})
    machine.lend(postgres.port)
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
    secret(cluster, "store", KSPEC_STORE=within_pods(fleet.store, machine.address))
    secret(cluster, "contexts", kubeconfig=within(cluster, fleet.world.kubeconfig))

    words: tuple[str, ...] = (
        "--engine=job",
        f"--hub={HUB}",
        f"--image={image.KSPEC}",
        f"--namespace={NAMESPACE}",
    )
    words += ("--store-secret=store", "--kubeconfig-secret=contexts", "--shards=3", "--run=nodes")
    started = fleet.start("scan", "spec.yaml", "--context", "c-00*", "-o", "json", *words)
    pods = Pods(cluster, job_name("nodes"))

    try:
        victim = until(lambda: pods.running(KILLED), pods.state)
        container = victim["status"]["containerStatuses"][0]["containerID"].removeprefix("containerd://")
        cluster.workers[victim["spec"]["nodeName"]].ctr("tasks", "kill", "--signal", "SIGKILL", container)
        evicted = until(lambda: pods.running(EVICTED), pods.state)["metadata"]["name"]
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": evicted}}
        path = f"/api/v1/namespaces/{NAMESPACE}/pods/{evicted}/eviction"
        assert plane.request("POST", path, eviction).status == 201

        _, said = started.communicate(timeout=RUN_S)
    finally:
        if started.poll() is None:
            started.kill()
            started.communicate()
    assert started.returncode == 2, said + pods.state()  # one cluster cannot be reached
    outcomes = fleet.outcomes("nodes")
    assert outcomes == {f"c-00{n}": "unreachable" if n == 5 else "scanned" for n in range(6)}
    status, job = plane.request("GET", f"/apis/batch/v1/namespaces/{NAMESPACE}/jobs/{pods.job}")
    assert (status, job["spec"]["backoffLimitPerIndex"]) == (200, 2)
    until(lambda: len(pods.of(KILLED)) >= 2, pods.state)
    assert evicted not in {pod["metadata"]["name"] for pod in pods.of(EVICTED) if not gone(pod)}
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def gone(pod: dict[str, Any]) -> bool:
    return pod["status"]["phase"] == "Failed" or "deletionTimestamp" in pod["metadata"]
