"""What is deleted while nobody looks, and in the wrong order: objects, namespaces, definitions."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.crds.schema.definitions import DEFINITIONS
from tests.controlplane import namespaces
from tests.controlplane.server import ControlPlane, Etcd
from tests.crds.conftest import CRD, Cluster
from tests.operator.conftest import SPEC, OperatorProcess, Specs, until

Begin = Callable[..., OperatorProcess]
Object = dict[str, Any]

ALONE = "--leader-elect=false"
QUICK = ("lease-duration=6s", "renew-deadline=4.5s", "retry-period=1200ms")
TERMS = [f"--leader-election-{term}" for term in QUICK]
V1, POLICY = "admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy"
CONFIG, REPORT = ("kspec.io/v1alpha1", "DriftConfig"), ("kspec.io/v1alpha1", "DriftReport")
RESULT = ("kspec.io/v1alpha1", "ComplianceReport")
ENFORCED: Object = {
    "network": {"allowedServiceTypes": ["ClusterIP"]},
    "namespaceScope": {"namespaceSelector": {"matchLabels": {"kspec-test": "nowhere"}}},
    "enforcement": {"enabled": True, "mode": "audit"},
}


@pytest.fixture(scope="module")
def managed(etcd: Etcd) -> Iterator[Cluster]:
    """An API server of this module's own, with the controllers that collect garbage and empty namespaces."""
    with ControlPlane(etcd, controllers=True) as plane:
        made = Cluster(plane)
        made.install(*DEFINITIONS)
        yield made
        made.writer.source.close()


@pytest.fixture
def specs(managed: Cluster) -> Iterator[Specs]:
    if managed.writer.find("v1", "Namespace", NAMESPACE) is None:
        namespaces.create(managed.plane, NAMESPACE)
    made = Specs(managed)
    yield made
    made.clear()


@pytest.fixture
def begin(managed: Cluster, tmp_path: Path) -> Iterator[Begin]:
    started: list[OperatorProcess] = []

    def start(*words: str) -> OperatorProcess:
        folder = tmp_path / f"operator-{len(started)}"
        folder.mkdir()
        started.append(OperatorProcess(managed.plane, folder, *words, user="admin"))
        return started[-1]

    yield start
    for one in started:
        one.kill()


def policies(specs: Specs, name: str) -> list[Object]:
    return list(specs.writer.list(V1, POLICY, label_selector=f"kspec.io/cluster-spec={name}"))


def gone(specs: Specs, name: str) -> bool:
    return specs.writer.find(*SPEC, name) is None


def test_what_is_deleted_while_no_operator_runs_waits_for_the_next(specs: Specs, begin: Begin) -> None:
    specs.put("left", ENFORCED)
    first = begin(ALONE)
    specs.wait("left", "True", "PolicyEnforced", first.said)
    first.send(signal.SIGKILL)
    first.ended()
    specs.writer.delete(*SPEC, "left")
    assert not gone(specs, "left"), "its finalizer keeps it"
    assert policies(specs, "left")
    second = begin(ALONE)
    until(lambda: gone(specs, "left"), second.said)
    assert policies(specs, "left") == []


def test_the_namespace_of_the_operator_may_go_first(specs: Specs, begin: Begin) -> None:
    specs.put("first", ENFORCED)
    operator = begin(*TERMS)
    specs.wait("first", "True", "PolicyEnforced", operator.said)
    namespaces.delete(specs.plane, NAMESPACE)
    assert operator.ended() == 1, "its Lease went with it"
    specs.writer.delete(*SPEC, "first")
    waiting = begin(*TERMS)
    until(lambda: f"the namespace {NAMESPACE} does not exist" in waiting.said(), waiting.said)
    assert waiting.process.poll() is None, "it waits for its namespace"
    alone = begin(ALONE)  # a replica that needs no Lease does not need the namespace either
    until(lambda: gone(specs, "first"), alone.said)
    assert policies(specs, "first") == []
    namespaces.create(specs.plane, NAMESPACE)
    until(lambda: " leads" in waiting.said(), waiting.said)


def test_definitions_that_are_deleted_are_waited_for_and_followed_again(specs: Specs, begin: Begin) -> None:
    specs.put("before", ENFORCED)
    operator = begin(ALONE)
    specs.wait("before", "True", "PolicyEnforced", operator.said)
    for one in DEFINITIONS:
        specs.writer.delete(*CRD, one.name)
    until(lambda: all(specs.writer.find(*CRD, one.name) is None for one in DEFINITIONS), operator.said)
    assert policies(specs, "before") == [], "its finalizer was released, once its policies were gone"
    assert operator.process.poll() is None, operator.said()
    specs.cluster.install(*DEFINITIONS)
    again = Specs(specs.cluster)
    again.put("after", ENFORCED)
    again.wait("after", "True", "PolicyEnforced", operator.said)
    assert policies(again, "after")
    again.clear()


def test_kubernetes_deletes_reports_with_their_specification(specs: Specs, begin: Begin) -> None:
    operator = begin(ALONE)

    def reports() -> list[Object]:
        found = specs.writer.list(*RESULT, namespace=NAMESPACE, label_selector="kspec.io/cluster-spec=short")
        return [one for one in found if one.get("status")]

    specs.put("short", {"kubernetes": {"minVersion": "1.29"}})
    (first,) = until(reports, operator.said)
    specs.writer.delete(*SPEC, "short")
    specs.put("short", {"kubernetes": {"minVersion": "1.29"}})  # the same words, but another object

    def renewed() -> bool:
        found = reports()
        return len(found) == 1 and found[0]["metadata"]["uid"] != first["metadata"]["uid"]

    until(renewed, operator.said)
    specs.writer.delete(*SPEC, "short")
    until(lambda: not reports(), operator.said)


def test_kubernetes_deletes_reports_with_their_config(specs: Specs, begin: Begin) -> None:
    writer = specs.writer
    specs.put("watched", ENFORCED)
    head = {"apiVersion": CONFIG[0], "kind": CONFIG[1]}
    metadata = {"name": "watch", "namespace": NAMESPACE}
    operator = begin(ALONE)
    specs.wait("watched", "True", "PolicyEnforced", operator.said)
    (policy,) = policies(specs, "watched")
    patch = {"spec": {"failurePolicy": "Ignore"}}
    writer.patch(V1, POLICY, policy["metadata"]["name"], patch, field_manager="kubectl-edit")
    writer.apply({**head, "metadata": metadata, "spec": {"interval": "5s"}}, field_manager="test")
    until(lambda: writer.list(*REPORT, namespace=NAMESPACE), operator.said)
    writer.delete(*CONFIG, "watch", namespace=NAMESPACE)
    until(lambda: not writer.list(*REPORT, namespace=NAMESPACE), operator.said)
