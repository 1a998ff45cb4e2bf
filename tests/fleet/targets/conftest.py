"""A hub with our kinds, and other clusters that its objects describe: real API servers on one etcd."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.crds.schema.definitions import find
from pytest_kspec.fleet.targets.hub import Hub
from pytest_kspec.fleet.targets.providers import Providers
from pytest_kspec.secretstores.allowed import Allowed
from pytest_kspec.secretstores.stores import Secrets
from tests.controlplane import namespaces
from tests.controlplane.server import ControlPlane
from tests.crds.conftest import CRD, Cluster

KIND = ("kspec.io/v1alpha1", "ClusterTarget")
CANARY = "c4n4ry-5ecret"


def b64(value: str | bytes) -> str:
    return base64.b64encode(value.encode() if isinstance(value, str) else value).decode()


class HubCluster:
    """The shared API server as a hub. What `put` makes is gone after the test."""

    def __init__(self, cluster: Cluster) -> None:
        self.plane = cluster.plane
        self.writer = cluster.writer
        self.access = Access(self.plane.name, str(self.plane.kubeconfig()))
        self._made: list[dict[str, Any]] = []

    def hub(self, providers: Providers | None = None, allowed: Allowed | None = None) -> Hub:
        secrets = Secrets(self.access, allowed or Allowed())
        return Hub(self.access, "", secrets, providers or Providers())

    def put(self, obj: dict[str, Any]) -> dict[str, Any]:
        made = self.writer.apply(obj, field_manager="test")
        self._made.append(made)
        return made

    def track(self, obj: dict[str, Any]) -> None:
        """Also what a command made is gone after the test."""
        self._made.append(obj)

    def secret(self, name: str, /, namespace: str = NAMESPACE, labels: Any = None, **data: str) -> None:
        metadata = {"name": name, "namespace": namespace, "labels": labels or {}}
        self.put({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data})

    def target(
        self, name: str, namespace: str = NAMESPACE, labels: Any = None, **spec: Any
    ) -> dict[str, Any]:
        metadata = {"name": name, "namespace": namespace, "labels": labels or {}}
        return self.put({"apiVersion": KIND[0], "kind": KIND[1], "metadata": metadata, "spec": spec})

    def clear(self) -> None:
        for one in self._made:
            metadata = one["metadata"]
            self.writer.delete(
                one["apiVersion"], one["kind"], metadata["name"], namespace=metadata["namespace"]
            )
        self._made.clear()


@pytest.fixture(scope="module")  # imported, a fixture of a package would last for the session
def hub_cluster(control_plane: ControlPlane) -> Iterator[HubCluster]:
    made = Cluster(control_plane)
    definition = find("clustertarget")
    assert definition is not None
    there = made.writer.find(*CRD, definition.name)
    held = there is not None and "deletionTimestamp" not in there["metadata"]
    made.install(definition)
    with namespaces.held(control_plane, NAMESPACE):
        yield HubCluster(made)
    if not held:
        made.writer.delete(*CRD, definition.name)
    made.writer.source.close()


@pytest.fixture
def hub(hub_cluster: HubCluster) -> Iterator[HubCluster]:
    yield hub_cluster
    hub_cluster.clear()


def ca(plane: ControlPlane) -> str:
    return b64(plane.ca_path.read_bytes())
