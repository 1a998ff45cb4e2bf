"""Operators as processes, on the API server that tests share."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.crds.schema.definitions import find
from pytest_kspec.errors import NotFound
from tests.cli.conftest import ROOT, run_kspec
from tests.controlplane import namespaces, swept
from tests.controlplane.process import GUARD
from tests.controlplane.server import ControlPlane
from tests.crds.conftest import CRD, Cluster

if TYPE_CHECKING:
    from .hubs import Hub

__all__ = ["run_kspec"]

KSPEC = (sys.executable, "-m", "pytest_kspec.cli.main")
LEASE = ("coordination.k8s.io/v1", "Lease", "kspec-operator-lock")
SPEC = ("kspec.io/v1alpha1", "ClusterSpecification")
LIMIT_S = 240.0  # far above what is needed, also beside other work
KINDS = (
    "clusterspecification",
    "clustertarget",
    "compliancereport",
    "alertconfig",
    "driftconfig",
    "driftreport",
)
CONFIG = ROOT / "config"
ADMISSION, OF_SPEC = "admissionregistration.k8s.io/v1", "kspec.io/cluster-spec"
DEPLOYED = f"system:serviceaccount:{NAMESPACE}:kspec-operator"
RIGHTS = ("ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding")


def built(name: str = "default") -> list[dict[str, Any]]:
    """What kubectl makes of this folder of config/."""
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run([kubectl, "kustomize", CONFIG / name], capture_output=True, check=True, timeout=60)
    return list(yaml.load_all(done.stdout, getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def granted(*resources: str) -> set[tuple[str, str]]:
    """What config/ grants of these, (verb, resource), but for the ClusterRole that scans read with."""
    roles = [one for one in built() if one["kind"] in ("ClusterRole", "Role")]
    return {
        (verb, resource)
        for role in roles
        if role["metadata"]["name"] != "kspec-scanner"
        for rule in role["rules"]
        for verb in rule["verbs"]
        for resource in rule.get("resources", [])
        if resource in resources
    }


def as_deployed(plane: ControlPlane, path: Path) -> Path:
    """A kubeconfig with the rights of the Deployment in config/, and no others."""
    document = yaml.safe_load(plane.kubeconfig().read_text(encoding="utf-8"))
    groups = ["system:authenticated", "system:serviceaccounts", f"system:serviceaccounts:{NAMESPACE}"]
    document["users"][0]["user"] |= {"as": DEPLOYED, "as-groups": groups}
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path


class OperatorProcess:
    """`kspec operator` as a user starts it. What it says is in `log`."""

    def __init__(
        self, plane: ControlPlane, folder: Path, *words: str, user: str = "", program: Sequence[str] = KSPEC
    ) -> None:
        """user: whose rights it has; by default those that the manifests grant. program: in the place of kspec"""
        self.log = folder / "log"
        config = plane.kubeconfig(user) if user else as_deployed(plane, folder / "kubeconfig")
        command = [*program, "operator", f"--cluster={plane.name}"]
        command += [f"--kubeconfig={config}", "--leader-election-namespace=kspec-system"]
        command += ["--health-probe-bind-address=0", "--metrics-bind-address=0", *words]
        environment = {**os.environ, "HOME": str(folder), "TMPDIR": str(folder / "tmp")}
        (folder / "tmp").mkdir()
        with self.log.open("wb") as file:
            self.process = subprocess.Popen(
                command, stdout=file, stderr=file, env=environment, start_new_session=True
            )
        GUARD.add(self.process.pid, folder / "tmp")

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        return self.process.wait(LIMIT_S)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LIMIT_S)
        GUARD.remove(self.process.pid)


def until(what: Callable[[], Any], said: Callable[[], str] = lambda: "") -> Any:
    """What it gives, once that is true."""
    deadline = time.monotonic() + LIMIT_S
    while not (found := what()):
        assert time.monotonic() < deadline, said()
        time.sleep(0.1)
    return found


class Specs:
    """ClusterSpecifications of a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.writer = cluster.writer
        self.plane = cluster.plane
        self._made: set[str] = set()

    def put(self, name: str, spec: dict[str, Any], **metadata: Any) -> dict[str, Any]:
        self._made.add(name)
        head = {"apiVersion": SPEC[0], "kind": SPEC[1], "metadata": {"name": name, **metadata}}
        return self.writer.apply({**head, "spec": spec}, field_manager="test")

    def get(self, name: str) -> dict[str, Any]:
        return self.writer.get(*SPEC, name)

    def condition(self, name: str, kind: str = "Ready") -> dict[str, Any]:
        """The condition of the present generation; {} while there is none."""
        found = self.get(name)
        for one in found.get("status", {}).get("conditions", []):
            if one["type"] == kind and one["observedGeneration"] == found["metadata"]["generation"]:
                return dict(one)
        return {}

    def wait(self, name: str, status: str, kind: str = "Ready", said: Callable[[], str] = lambda: "") -> Any:
        def seen() -> str:
            return f"{said()}\n{self.get(name).get('status')}"

        return until(lambda: (c := self.condition(name, kind)).get("status") == status and c, seen)

    def events(self, name: str) -> list[str]:
        found = self.writer.list("v1", "Event", namespace="default")
        return [one["reason"] for one in found if one["involvedObject"].get("name") == name]

    def clear(self) -> None:
        for name in self._made:
            self.writer.delete(*SPEC, name)
        for name in self._made:
            if self.writer.find(*SPEC, name) is not None:  # its finalizer is nobody's any more
                with contextlib.suppress(NotFound):  # an operator that still runs was faster
                    self.writer.patch(*SPEC, name, {"metadata": {"finalizers": None}})
        for kind in ("ValidatingAdmissionPolicyBinding", "ValidatingAdmissionPolicy"):
            for one in self.writer.list(ADMISSION, kind, label_selector=OF_SPEC):
                if one["metadata"]["labels"][OF_SPEC] in self._made:  # nobody removes them any more
                    self.writer.delete(ADMISSION, kind, one["metadata"]["name"])


@pytest.fixture(scope="package")
def operated(control_plane: ControlPlane) -> Iterator[Cluster]:
    """The shared API server, with our kinds and our namespace while this package is tested."""
    made = Cluster(control_plane)
    definitions = [definition for kind in KINDS if (definition := find(kind)) is not None]
    made.install(*definitions)
    with namespaces.held(control_plane, NAMESPACE):
        rights = [one for one in built() if one["kind"] in RIGHTS]
        for one in rights:
            made.writer.apply(one, field_manager="test")
        swept.keep()
        yield made
        for one in rights:
            metadata = one["metadata"]
            place = metadata.get("namespace", "")
            made.writer.delete(one["apiVersion"], one["kind"], metadata["name"], namespace=place)
    for definition in definitions:
        made.writer.delete(*CRD, definition.name)
    made.writer.source.close()


@pytest.fixture
def specs(operated: Cluster) -> Iterator[Specs]:
    made = Specs(operated)
    yield made
    made.clear()


@pytest.fixture
def hub(specs: Specs) -> Iterator[Hub]:
    """The controllers of an operator, called by hand; one specification is enforced."""
    from .hubs import SPEC as STURDY  # which names this module
    from .hubs import Hub

    made = Hub(specs)
    made.clear()
    specs.put("sturdy", STURDY)
    made.enforce("sturdy")
    yield made
    made.clear()


@pytest.fixture
def start(operated: Cluster, tmp_path: Path) -> Iterator[Callable[..., OperatorProcess]]:
    """Starts operators, which end with the test."""
    started: list[OperatorProcess] = []

    def begin(*words: str, **options: Any) -> OperatorProcess:
        folder = tmp_path / f"operator-{len(started)}"
        folder.mkdir()
        started.append(OperatorProcess(operated.plane, folder, *words, **options))
        return started[-1]

    yield begin
    for one in started:
        one.kill()
