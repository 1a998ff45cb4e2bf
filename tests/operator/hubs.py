"""The controllers of an operator on the shared API server, called by hand at times of a test's choice."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from pytest_kspec import clock
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.controller import Given
from pytest_kspec.operator.drifthistory import DriftHistory
from pytest_kspec.operator.drifting import DriftController
from pytest_kspec.operator.fleetruns import Setup
from pytest_kspec.operator.fleets import Fleets
from pytest_kspec.operator.reconcile import Reconciler, Settings
from pytest_kspec.operator.remote import Remote
from pytest_kspec.operator.remote import Settings as RemoteSettings
from pytest_kspec.operator.scans import Ended, ScanFailed, Scanned, Scanner
from pytest_kspec.plan.checkset import load_checks

from .conftest import Specs
from .runworld import counting

V1 = "admissionregistration.k8s.io/v1"
POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
SPEC_KIND = ("kspec.io/v1alpha1", "ClusterSpecification")
CONFIG = ("kspec.io/v1alpha1", "DriftConfig")
REPORT = ("kspec.io/v1alpha1", "DriftReport")
SPEC: dict[str, Any] = {
    "podSecurity": {"enforce": "baseline", "version": "v1.37"},
    "namespaceScope": {"includeNamespaces": ["drift-nowhere"]},
    "enforcement": {"enabled": True, "mode": "enforce"},
}
SOFT = [{"op": "replace", "path": "/spec/failurePolicy", "value": "Ignore"}]
START = datetime.now(UTC).replace(microsecond=0)


class Unscanned:
    """Scans are not what is tested here."""

    def scan(self, name: str, run: str) -> Scanned:
        raise ScanFailed(f"{name} is not scanned.")

    def fleet(self, *_: object) -> Ended:
        raise AssertionError


class Hub:
    """The controllers of one operator, called by hand at times of our choice."""

    def __init__(self, specs: Specs, store: str = "", kubeconfig: str = "", options: Any = None) -> None:
        """options: of engines."""
        self.specs = specs
        self.writer = specs.writer
        plane = specs.plane
        self.access = Access(plane.name, kubeconfig or str(plane.kubeconfig()))
        checks = load_checks()
        fleets = Fleets(self.access, Unscanned(), Setup(), lambda name: None)
        history = DriftHistory(store)
        remote = Remote(self.access, dict, lambda: checks, lambda name: None, RemoteSettings())
        self.reconciler = Reconciler(
            self.access,
            Unscanned(),
            lambda: checks,
            self.listed,
            Settings(options=options),
            fleets=fleets,
            remote=remote,
            history=history,
        )
        words = [f"--cluster={plane.name}", f"--kubeconfig={plane.kubeconfig()}", "--allow-empty"]
        self.scanner = Scanner([*words, *([f"--store={store}"] if store else [])], 300.0)
        self.shown: dict[tuple[str, str], Any] | None = (
            None  # specifications as a watch shows them; None: no watch
        )
        given = _given(self.access, lambda: checks)._replace(
            scanner=self.scanner,
            objects=lambda _: dict(self.shown or {}),
            follows=lambda _: self.shown is not None,
        )
        self.controller = DriftController(given, Settings(), Board(), history)
        self.now = START

    def listed(self) -> dict[str, Any]:
        return {one["metadata"]["name"]: one for one in self.writer.list(*SPEC_KIND)}

    def follow(self) -> None:
        """The process sees the specifications as they are now."""
        self.shown = {("", name): item for name, item in self.listed().items()}

    def config(self, name: str, spec: dict[str, Any], namespace: str = NAMESPACE) -> None:
        self.writer.apply(
            {
                "apiVersion": CONFIG[0],
                "kind": CONFIG[1],
                "metadata": {"name": name, "namespace": namespace},
                "spec": spec,
            },
            field_manager="test",
        )

    def run(self, name: str, after_s: float = 600.0) -> dict[str, Any]:
        """The status after a run, some time later."""
        self.now += timedelta(seconds=after_s)
        with clock.at(self.now):
            self.controller.reconcile((NAMESPACE, name))
        return dict(self.writer.get(*CONFIG, name, namespace=NAMESPACE).get("status", {}))

    def enforce(self, name: str) -> None:
        with clock.at(self.now), contextlib.suppress(ScanFailed):
            self.reconciler.reconcile(("", name))

    def reports(self) -> list[dict[str, Any]]:
        found = self.writer.list(*REPORT, namespace=NAMESPACE)
        return sorted(found, key=lambda one: str(one["spec"]["detectionTime"]))

    def events(self, name: str) -> list[str]:
        found = self.writer.list("v1", "Event", namespace=NAMESPACE)
        return [one["reason"] for one in found if one["involvedObject"].get("name") == name]

    def soften(self, name: str = "kspec-sturdy-pods", manager: str = "kubectl-edit") -> None:
        self.writer.patch(V1, POLICY, name, SOFT, patch_type="json", field_manager=manager)

    def policy(self, name: str = "kspec-sturdy-pods") -> str:
        return str(self.writer.get(V1, POLICY, name)["spec"]["failurePolicy"])

    def clear(self) -> None:
        for kind in (CONFIG, REPORT):
            for one in self.writer.list(*kind):
                self.writer.delete(*kind, one["metadata"]["name"], namespace=one["metadata"]["namespace"])
        for one in self.writer.list("v1", "ConfigMap", namespace=NAMESPACE):
            if one["metadata"]["name"].startswith("kspec-drift-"):
                self.writer.delete("v1", "ConfigMap", one["metadata"]["name"], namespace=NAMESPACE)
        for place in (NAMESPACE, "default"):
            for one in self.writer.list("v1", "Event", namespace=place):
                self.writer.delete("v1", "Event", one["metadata"]["name"], namespace=place)
        for name in (BINDING, POLICY):
            for one in self.writer.list(V1, name):
                if one["metadata"]["name"].startswith("kspec-sturdy-"):
                    self.writer.delete(V1, name, one["metadata"]["name"])


def _given(access: Access, checks: Callable[[], Any]) -> Given:
    return Given(access, None, checks, lambda _: {}, lambda _, __: None, counting())  # type: ignore[arg-type]


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    return {one["type"]: (one["status"], one["reason"]) for one in status["conditions"]}
