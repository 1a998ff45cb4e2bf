"""A real API server on which the custom resources are installed."""

import time
from collections.abc import Iterator

import pytest

from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.crds.schema.definitions import DEFINITIONS, Definition, manifest
from tests.cli.conftest import run_kspec, write_spec
from tests.controlplane import namespaces
from tests.controlplane.served import wait_until_served
from tests.controlplane.server import ControlPlane, Etcd

__all__ = ["CRD", "Cluster", "cluster", "run_kspec", "write_spec"]

CRD = ("apiextensions.k8s.io/v1", "CustomResourceDefinition")


class Cluster:
    """An API server with our kinds; `warnings` are those that it sent since they were last taken."""

    def __init__(self, plane: ControlPlane, user: str = "admin") -> None:
        self.plane = plane
        self.warnings: list[str] = []
        source = LiveSource(plane.name, kubeconfig=str(plane.kubeconfig(user)))
        self.writer = Writer(source, on_warning=self.warnings.append)

    def install(self, *definitions: Definition) -> None:
        for definition in definitions:
            self._until_not_ending(definition)
            self.writer.apply(manifest(definition))
        for definition in definitions:
            wait_until_served(self.writer, "kspec.io/v1alpha1", definition.kind)
            self.condition(definition, "Established", "True")

    def _until_not_ending(self, definition: Definition) -> None:
        """Another package of tests may just have deleted it: what is applied until it is gone goes with it."""
        deadline = time.monotonic() + 60
        while (found := self.writer.find(*CRD, definition.name)) is not None:
            if "deletionTimestamp" not in found["metadata"]:
                return
            assert time.monotonic() < deadline, f"{definition.name} is still being deleted"
            time.sleep(0.05)

    def condition(self, definition: Definition, name: str, status: str) -> None:
        deadline = time.monotonic() + 15
        while True:
            found = self.writer.get(*CRD, definition.name)["status"].get("conditions", [])
            if any((c["type"], c["status"]) == (name, status) for c in found):
                return
            assert time.monotonic() < deadline, found
            time.sleep(0.05)


@pytest.fixture(scope="package")
def cluster(etcd: Etcd) -> Iterator[Cluster]:
    with ControlPlane(etcd) as plane:
        made = Cluster(plane)
        made.install(*DEFINITIONS)
        namespaces.create(plane, NAMESPACE)
        yield made
        made.writer.source.close()
