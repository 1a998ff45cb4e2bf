"""The Deployment of config/ on real nodes: three replicas, and what happens to them in the life of a cluster.

The tests share one cluster, and each leaves it as it found it: three replicas that run.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from pytest_kspec.crds.names import NAMESPACE
from tests.controlplane.process import ServerFailed
from tests.node.conftest import LIMIT_S, Installed, until

MET = {"kubernetes": {"minVersion": "1.29"}}
UNMET = {"kubernetes": {"minVersion": "1.99"}}
BOUND = f"--timeout={LIMIT_S:.0f}s"


def still_true(installed: Installed) -> None:
    """Whoever leads now: a specification that changes gets the status that it should have."""
    installed.apply("met", UNMET)
    installed.wait("met", "Ready=False")
    installed.apply("met", MET)
    installed.wait("met", "Ready")


def whole(installed: Installed) -> list[str]:
    """The names of three replicas that are ready, once there are three."""
    return list(until(lambda: len(found := installed.ready()) == 3 and found, installed.state))


@contextmanager
def fewest(count: Callable[[], int]) -> Iterator[list[int]]:
    """The smallest number that was counted meanwhile."""
    seen = [count()]
    ended = threading.Event()

    def look() -> None:
        while not ended.wait(0.1):
            seen[0] = min(seen[0], count())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join(LIMIT_S)


def test_three_replicas_run_and_one_leads(installed: Installed) -> None:
    assert len(whole(installed)) == len(installed.pods())
    assert {pod["spec"]["nodeName"] for pod in installed.pods()} == {"node1", "node2"}
    until(lambda: installed.leader() in installed.ready(), installed.state)
    namespace = installed.get(f"/api/v1/namespaces/{NAMESPACE}")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_kubectl_waits_for_a_specification(installed: Installed) -> None:
    installed.apply("met", MET)
    installed.wait("met", "Ready")
    assert "100" in installed.kubectl("get", "cspec", "met")
    installed.apply("unmet", UNMET)
    installed.wait("unmet", "Ready=False")
    assert installed.says("unmet")["reason"] == "ComplianceChecksFailed"
    installed.kubectl("delete", "cspec", "unmet", BOUND)


def test_the_pods_meet_our_own_restricted_specification(installed: Installed, tmp_path: Path) -> None:
    spec = tmp_path / "own.yaml"
    asked = {
        "namespaceScope": {"includeNamespaces": [NAMESPACE]},
        "podSecurity": {"enforce": "restricted", "audit": "restricted", "warn": "restricted"},
        "workloads": {
            "containers": {
                "required": [
                    {"key": "securityContext.readOnlyRootFilesystem", "value": True},
                    {"key": "resources.limits.memory", "exists": True},
                ]
            }
        },
    }
    head = {"apiVersion": "kspec.dev/v1", "kind": "ClusterSpecification"}
    spec.write_text(
        yaml.safe_dump({**head, "metadata": {"name": "own", "version": "1.0.0"}, "spec": asked}),
        encoding="utf-8",
    )
    said = installed.kspec("scan", spec, "--cluster", installed.cluster.plane.name)
    assert said.code == 0, said.out + said.err


def test_a_scan_runs_in_a_pod_of_the_image(installed: Installed) -> None:
    (container,) = (pod := installed.pods()[0])["spec"]["containers"]
    kept = ("name", "image", "securityContext", "resources")
    once = {name: container[name] for name in kept} | {
        "command": ["kspec", "scan", "cr:met", "--cluster", "in-cluster"],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
    }
    spec = {name: pod["spec"][name] for name in ("securityContext", "serviceAccountName")}
    spec |= {
        "restartPolicy": "Never",
        "containers": [once],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    head = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "scan", "namespace": NAMESPACE}}
    installed.kubectl("apply", "-f", "-", input=yaml.safe_dump({**head, "spec": spec}))
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/scan"
    ended = until(lambda: (p := installed.get(path)["status"]["phase"]) in ("Succeeded", "Failed") and p)
    said = installed.kubectl("logs", "scan", "-n", NAMESPACE, check=False)
    assert ended == "Succeeded", said
    assert "1 passed" in said or "met" in said
    installed.kubectl("delete", "pod", "scan", "-n", NAMESPACE)


def test_a_leader_whose_pod_is_deleted_is_replaced(installed: Installed) -> None:
    before = installed.leader()
    installed.kubectl("delete", "pod", before, "-n", NAMESPACE, "--wait=false")
    until(lambda: installed.leader() not in ("", before), installed.state)
    still_true(installed)
    assert before not in whole(installed)


def test_a_leader_that_is_killed_is_started_again(installed: Installed) -> None:
    before = installed.leader()
    installed.signal(before, "SIGKILL")
    until(lambda: installed.leader() not in ("", before), installed.state)
    still_true(installed)
    assert before in whole(installed)
    assert installed.restarts(before) == 1


def test_a_leader_that_freezes_writes_nothing_when_it_wakes(installed: Installed) -> None:
    before = installed.leader()
    restarts = installed.restarts(before)
    installed.signal(before, "SIGSTOP")
    until(lambda: installed.leader() not in ("", before), installed.state)
    still_true(installed)
    with contextlib.suppress(ServerFailed):  # the kubelet may have ended it meanwhile, by its probe
        installed.signal(before, "SIGCONT")
    until(lambda: installed.restarts(before) > restarts, installed.state)
    assert installed.leader() != before
    assert installed.says("met")["status"] == "True"
    whole(installed)


def test_a_drained_node_leaves_two_replicas_at_all_times(installed: Installed) -> None:
    with fewest(lambda: len(installed.ready())) as seen:
        installed.kubectl("drain", "node1", "--delete-emptydir-data", "--ignore-daemonsets", BOUND)
        still_true(installed)
        whole(installed)
    assert {pod["spec"]["nodeName"] for pod in installed.pods()} == {"node2"}
    installed.kubectl("uncordon", "node1")
    assert seen[0] >= 2


def test_a_rolling_update_leaves_two_replicas_at_all_times(installed: Installed) -> None:
    before = set(whole(installed))
    with fewest(lambda: len(installed.ready())) as seen:
        installed.kubectl("rollout", "restart", "deployment/kspec-operator", "-n", NAMESPACE)
        installed.rolled_out("kspec-operator")
        still_true(installed)
    assert not before & set(whole(installed))
    assert seen[0] >= 2
