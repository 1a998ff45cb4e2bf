"""The Deployment of config/ on real nodes: three replicas, and what happens to them in the life of a cluster."""

from __future__ import annotations

from pytest_kspec.crds.names import NAMESPACE
from tests.node.conftest import Installed, until

MET = {"kubernetes": {"minVersion": "1.29"}}
UNMET = {"kubernetes": {"minVersion": "1.99"}}


def test_three_replicas_run_and_one_leads(installed: Installed) -> None:
    pods = installed.pods()
    assert len(pods) == 3 == len(installed.ready())
    assert {pod["spec"]["nodeName"] for pod in pods} == {"node1", "node2"}
    assert installed.leader() in {pod["metadata"]["name"] for pod in pods}
    namespace = installed.get(f"/api/v1/namespaces/{NAMESPACE}")
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_kubectl_waits_for_a_specification(installed: Installed) -> None:
    installed.apply("met", MET)
    installed.wait("met", "Ready")
    table = installed.kubectl("get", "cspec", "met")
    assert "100" in table
    installed.apply("unmet", UNMET)
    installed.wait("unmet", "Ready=False")
    assert installed.says("unmet")["reason"] == "ComplianceChecksFailed"


def test_a_leader_whose_pod_is_deleted_is_replaced(installed: Installed) -> None:
    before = installed.leader()
    installed.kubectl("delete", "pod", before, "-n", NAMESPACE, "--wait=false")
    until(lambda: installed.leader() not in ("", before), installed.state)
    installed.apply("met", UNMET)
    installed.wait("met", "Ready=False")
    installed.apply("met", MET)
    installed.wait("met", "Ready")
    until(lambda: len(installed.ready()) == 3, installed.state)
    assert before not in installed.ready()
