"""Specifications of the operator for other clusters: which are scanned, and what is said of those that are away."""

from __future__ import annotations

import base64
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from pytest_kspec.crds.names import NAMESPACE
from tests.fleet.world import TOKEN, World
from tests.operator.conftest import DEPLOYED, OperatorProcess, Specs, until

Start = Callable[..., OperatorProcess]
ALONE = "--leader-elect=false"
TARGET = ("kspec.io/v1alpha1", "ClusterTarget")
REPORT = ("kspec.io/v1alpha1", "ComplianceReport")
MET = {"kubernetes": {"minVersion": "1.29"}}
UNMET = {"kubernetes": {"minVersion": "1.99"}}


class Registered:
    """Clusters of a simulated fleet as ClusterTargets of the hub: c-000 has env=prod, as world.LABELS says."""

    def __init__(self, specs: Specs, world: World) -> None:
        self.writer, self.world = specs.writer, world
        document = yaml.safe_load(world.kubeconfig.read_text())
        self._clusters = {one["name"]: one["cluster"] for one in document["clusters"]}
        self._made: list[tuple[str, ...]] = []
        self.secret("fleet-token", TOKEN)

    def secret(self, name: str, token: str) -> None:
        data = {"token": base64.b64encode(token.encode()).decode()}
        head = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "namespace": NAMESPACE}}
        self.writer.apply({**head, "data": data}, field_manager="test")
        self._made.append(("v1", "Secret", name))

    def put(self, name: str, labels: dict[str, str], *, cluster: str = "", **spec: Any) -> None:
        told = self._clusters[cluster or name]
        body = {
            "apiServerURL": told["server"],
            "caData": told["certificate-authority-data"],
            "authMode": "token",
            "tokenSecretRef": {"name": "fleet-token"},
            **spec,
        }
        head = {"apiVersion": TARGET[0], "kind": TARGET[1]}
        metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
        self.writer.apply({**head, "metadata": metadata, "spec": body}, field_manager="test")
        self._made.append((*TARGET, name))

    def clear(self) -> None:
        for api, kind, name in self._made:
            self.writer.delete(api, kind, name, namespace=NAMESPACE)
        for one in self.writer.list(*REPORT, namespace=NAMESPACE):
            self.writer.delete(*REPORT, one["metadata"]["name"], namespace=NAMESPACE)

    def reports(self) -> dict[str, int]:
        """Cluster → checks that passed, of the newest report of the fleet."""
        found = self.writer.list(*REPORT, namespace=NAMESPACE, label_selector="kspec.io/fleet=true")
        found.sort(key=lambda one: str(one["spec"]["scanTime"]))
        return {one["spec"]["clusterName"]: one["spec"]["summary"]["passed"] for one in found}


@pytest.fixture
def register(specs: Specs) -> Iterator[Callable[..., Registered]]:
    made: list[Registered] = []

    def make(clusters: int, behaviour: dict[str, dict[str, Any]] | None = None) -> Registered:
        world = World(clusters, 4, behaviour)
        world.__enter__()
        made.append(Registered(specs, world))
        return made[-1]

    yield make
    for one in made:
        one.world.stop()
        one.clear()


def test_a_specification_for_another_cluster(
    specs: Specs, start: Start, register: Callable[..., Registered]
) -> None:
    fleet = register(2, {"c-001": {"fault": "refused"}})
    fleet.put("c-000", {})
    fleet.put("c-001", {})
    specs.put("away", {**MET, "clusterRef": {"name": "c-000"}})
    specs.put("dead", {**MET, "clusterRef": {"name": "c-001"}})
    specs.put("none", {**MET, "clusterRef": {"name": "c-002"}})
    begin = specs.plane.audit_position()
    operator = start(ALONE)
    ready = specs.wait("away", "True", said=operator.said)
    assert (ready["reason"], ready["message"]) == ("ComplianceChecksPassed", "The cluster complies.")
    status = specs.get("away")["status"]
    assert (status["phase"], status["complianceScore"]) == ("Active", 100)
    counts = {"selected": 1, "scanned": 1, "compliant": 1, "failing": 0, "notEvaluated": 0}
    assert status["clusters"] == {**counts, "duplicates": 0, "unreachable": 0, "notScanned": 0}
    assert status["worstClusters"] == []
    assert status["lastScanTime"] < status["nextScanTime"]
    assert specs.condition("away", "PolicyEnforced")["reason"] == "EnforcementDisabled"
    until(lambda: fleet.reports().get("c-000") == 1, operator.said)

    dead = specs.wait("dead", "Unknown", said=operator.said)
    assert dead["reason"] == "ClustersUnreachable"
    status = specs.get("dead")["status"]
    since = status["unreachableSince"]
    assert dead["message"] == f"The cluster c-001 does not answer since {since}."
    assert "complianceScore" not in status
    assert status["clusters"]["unreachable"] == 1
    assert [(one["name"], one["outcome"]) for one in status["worstClusters"]] == [("c-001", "unreachable")]

    none = specs.wait("none", "Unknown", said=operator.said)
    assert none["reason"] == "NoClusterSelected"
    fleet.put("c-002", {}, cluster="c-000")
    specs.wait("none", "True", said=operator.said)
    # Reports of what is deleted go: of a specification, and of the one ClusterTarget that another one names.
    until(lambda: len(_reports(specs, "none")) == 1, operator.said)
    (report,) = _reports(specs, "none")
    (owner,) = report["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"]) == ("ClusterSpecification", "none")
    specs.writer.delete("kspec.io/v1alpha1", "ClusterSpecification", "none")
    until(lambda: not _reports(specs, "none"), operator.said)
    assert len(_reports(specs, "away")) == 1
    fleet.writer.delete(*TARGET, "c-000", namespace=NAMESPACE)
    specs.put("away", {**UNMET, "clusterRef": {"name": "c-000"}})
    until(lambda: not _reports(specs, "away"), operator.said)
    operator.send(signal.SIGTERM)
    assert operator.ended() == 0, operator.said()
    seen = specs.plane.requests_seen(since=begin, user=DEPLOYED)
    assert [one for one in seen if one.status == 403] == []


def _reports(specs: Specs, name: str) -> list[dict[str, Any]]:
    selector = f"kspec.io/cluster-spec={name}"
    return list(specs.writer.list(*REPORT, namespace=NAMESPACE, label_selector=selector))


def test_one_specification_over_many_clusters(
    specs: Specs, start: Start, register: Callable[..., Registered]
) -> None:
    """c-003 is another name of c-000, c-002 is dead, c-004 is suspended; c-001 has another label."""
    fleet = register(5, {"c-002": {"fault": "refused"}, "c-005": {"fault": "expired"}})
    for number in (0, 2):
        fleet.put(f"c-00{number}", {"env": "prod"})
    fleet.put("c-001", {"env": "test"})
    fleet.put("c-003", {"env": "prod"}, cluster="c-000")
    fleet.put("c-004", {"env": "prod"}, suspend=True)
    selector = {
        "matchLabels": {"env": "prod"},
        "matchExpressions": [{"key": "old", "operator": "DoesNotExist"}],
    }
    specs.put("prod", {**UNMET, "clusterSelector": selector})
    specs.put("nothing", {**MET, "clusterSelector": {"matchLabels": {"env": "none"}}})
    operator = start(ALONE)
    ready = specs.wait("prod", "False", said=operator.said)
    status = specs.get("prod")["status"]
    since = status["unreachableSince"]
    (scanned,) = {"c-000", "c-003"} & {one["name"] for one in status["worstClusters"]}
    assert ready["reason"] == "ComplianceChecksFailed"
    assert ready["message"] == (
        f"0 of 2 clusters comply; 1 does not: {scanned}; 1 does not answer: c-002 (since {since})."
    )
    counts = {"selected": 3, "duplicates": 1, "scanned": 1, "compliant": 0, "failing": 1, "notEvaluated": 0}
    assert status["clusters"] == {**counts, "unreachable": 1, "notScanned": 0}
    assert [one["name"] for one in status["worstClusters"]] == ["c-002", scanned]
    assert (status["complianceScore"], status["summary"]["failedChecks"]) == (0, 1)
    until(lambda: set(fleet.reports()) == {"c-002", scanned}, operator.said)

    nothing = specs.wait("nothing", "Unknown", said=operator.said)
    assert nothing["reason"] == "NoClusterSelected"
    assert nothing["message"] == "clusterSelector selects no ClusterTarget in the namespace kspec-system."
    assert "complianceScore" not in specs.get("nothing")["status"]

    # Another selection: what was said of clusters that are not meant any more is gone.
    specs.put("prod", {**MET, "clusterSelector": {"matchLabels": {"env": "test"}}})
    ready = specs.wait("prod", "True", said=operator.said)
    assert ready["message"] == "The cluster complies."
    until(lambda: set(fleet.reports()) == {"c-001"}, operator.said)
    status = specs.get("prod")["status"]
    assert "unreachableSince" not in status
    assert status["worstClusters"] == []


def test_an_operator_without_stores_does_not_load_their_libraries() -> None:
    """They are not part of its extra, and cost memory on each replica."""
    code = (
        "import sys, pytest_kspec.operator.kinds, pytest_kspec.operator.service\n"
        "print([name for name in ('sqlalchemy', 'obstore', 'pytest') if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"
