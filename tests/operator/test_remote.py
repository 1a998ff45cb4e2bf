"""Policies of specifications on clusters that are not the operator's own: two real API servers beside the hub's."""

from __future__ import annotations

import base64
import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.operator.status import stamp
from tests.controlplane.fixtures import ControlPlaneFactory
from tests.controlplane.server import ControlPlane
from tests.fleet.webhooks import DEPLOYMENTS, ROUTED, Played
from tests.operator.conftest import DEPLOYED, OperatorProcess, Specs, until
from tests.operator.test_engines import KINDS

Start = Callable[..., OperatorProcess]
WORDS = ("--leader-elect=false", "--scan-interval=1h")
TARGET = ("kspec.io/v1alpha1", "ClusterTarget")
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
BINDINGS = POLICIES.removesuffix("ies") + "ybindings"
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
KYVERNO = "/apis/policies.kyverno.io/v1/validatingpolicies"
OURS = "?labelSelector=kspec.io%2Fcluster-spec%3Dremote"
SERVICES = {"network": {"allowedServiceTypes": ["ClusterIP"]}}
PROD = {"clusterSelector": {"matchLabels": {"env": "prod"}}}
NODE_PORT = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "open", "namespace": "default"},
    "spec": {"type": "NodePort", "ports": [{"port": 80}]},
}


class Fleet:
    """Real API servers as ClusterTargets of the hub."""

    def __init__(self, specs: Specs) -> None:
        self.specs, self.writer = specs, specs.writer
        self.planes: dict[str, ControlPlane] = {}

    def put(
        self, name: str, plane: ControlPlane, user: str = "admin", env: str = "prod", **spec: Any
    ) -> None:
        self.planes[name] = plane
        place = {"namespace": NAMESPACE}
        data = {"token": base64.b64encode(plane.tokens[user].encode()).decode()}
        secret = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": f"{name}-token", **place},
            "data": data,
        }
        self.writer.apply(secret, field_manager="test")
        body = {
            "apiServerURL": plane.url,
            "caData": base64.b64encode(plane.authority.bundle).decode(),
            "authMode": "token",
            "tokenSecretRef": {"name": f"{name}-token"},
            "allowEnforcement": True,
            **spec,
        }
        head = {
            "apiVersion": TARGET[0],
            "kind": TARGET[1],
            "metadata": {"name": name, "labels": {"env": env}, **place},
        }
        self.writer.apply({**head, "spec": body}, field_manager="test")

    def entry(self, name: str, spec: str = "remote") -> dict[str, Any]:
        found = self.writer.get(*TARGET, name, namespace=NAMESPACE).get("status", {}).get("policies", [])
        return next((one for one in found if one["specification"] == spec), {})

    def denies(self, name: str) -> bool:
        path = "/api/v1/namespaces/default/services?dryRun=All"
        return self.planes[name].request("POST", path, NODE_PORT).status in (403, 422)

    def comes_to(self, denied: bool, name: str, said: Callable[[], str]) -> None:
        """An API server learns of a changed policy through a watch of its own: seconds, where the machine is busy."""
        until(lambda: self.denies(name) is denied, said)

    def policies(self, name: str) -> int:
        return len(self.planes[name].request("GET", POLICIES + OURS).body["items"])

    def clear(self) -> None:
        for name, plane in self.planes.items():
            if plane.pid is None:
                plane.start()
            for path in (BINDINGS, POLICIES):
                for one in plane.request("GET", path + OURS).body["items"]:
                    plane.request("DELETE", f"{path}/{one['metadata']['name']}")
            self.writer.delete(*TARGET, name, namespace=NAMESPACE)
            self.writer.delete("v1", "Secret", f"{name}-token", namespace=NAMESPACE)


@pytest.fixture
def fleet(specs: Specs, control_plane_factory: ControlPlaneFactory) -> Iterator[Fleet]:
    """Cleared before the servers that the factory started are gone."""
    assert control_plane_factory
    made = Fleet(specs)
    yield made
    made.clear()


def asked(mode: str = "enforce", **more: Any) -> dict[str, Any]:
    return {**SERVICES, **PROD, "enforcement": {"enabled": True, "mode": mode, **more}}


def test_policies_of_a_fleet_from_the_first_to_the_last(
    specs: Specs,
    start: Start,
    fleet: Fleet,
    second_control_plane: ControlPlane,
    control_plane_factory: ControlPlaneFactory,
) -> None:
    """one is there all the time; two is away when it begins; three does not allow it. Operators are killed between."""
    away = control_plane_factory(audited=False)
    away.stop()
    fleet.put("one", second_control_plane)
    fleet.put("two", away)
    fleet.put("three", specs.plane, allowEnforcement=False)
    specs.put("remote", asked())
    begin = specs.plane.audit_position()
    operator = start(*WORDS)
    until(lambda: fleet.entry("one").get("state") == "ok", operator.said)
    fleet.comes_to(True, "one", operator.said)
    entry = fleet.entry("one")
    assert (entry["mode"], entry["policies"], entry["engines"]) == ("enforce", 1, ["vap"])
    said = specs.wait("remote", "Unknown", "PolicyEnforced", operator.said)
    assert said["reason"] == "ClustersUnreachable"
    assert said["message"].startswith(
        "In force on 1 of 2 clusters, mode enforce; 1 does not answer: two (since "
    )
    assert said["message"].endswith("; 1 does not allow enforcement: three.")
    counts = {"selected": 3, "allowed": 2, "inForce": 1, "differ": 0, "away": 1, "failed": 0, "waiting": 0}
    assert specs.get("remote")["status"]["enforcement"]["clusters"] == counts
    assert "kspec.io/finalizer" in specs.get("remote")["metadata"]["finalizers"]
    # It comes back, and gets what it lacks.
    away.start()
    said = specs.wait("remote", "True", "PolicyEnforced", operator.said)
    assert said["message"].startswith("In force on 2 of 2 clusters, mode enforce; ")
    fleet.comes_to(True, "two", operator.said)
    assert fleet.policies("three") == 0
    # What a cluster is not selected for any more goes from it.
    fleet.put("two", away, env="test", scanInterval="1h")  # with another generation: it is looked at at once
    until(lambda: not fleet.entry("two"), operator.said)
    assert fleet.policies("two") == 0
    # Others change a policy: it is told, and left as it is, since nobody asked for corrections.
    operator.kill()
    weaken(second_control_plane)
    operator = start(*WORDS)
    drift = specs.wait("remote", "True", "DriftDetected", operator.said)
    assert drift["message"].startswith("Changed on one (")
    fleet.comes_to(False, "one", operator.said)
    specs.put("remote", asked(autoRemediate=True))
    fleet.comes_to(True, "one", operator.said)
    specs.wait("remote", "True", "PolicyEnforced", operator.said)
    operator.kill()
    weaken(second_control_plane)
    operator = start(*WORDS)
    until(lambda: len(fleet.entry("one").get("corrected", [])) == 1, operator.said)
    fleet.comes_to(True, "one", operator.said)
    specs.writer.delete("kspec.io/v1alpha1", "ClusterSpecification", "remote")
    until(
        lambda: specs.writer.find("kspec.io/v1alpha1", "ClusterSpecification", "remote") is None,
        operator.said,
    )
    assert fleet.policies("one") == 0
    assert not fleet.entry("one")
    operator.send(signal.SIGTERM)
    assert operator.ended() == 0, operator.said()
    seen = specs.plane.requests_seen(since=begin, user=DEPLOYED)
    assert [one for one in seen if one.status == 403] == []


@pytest.mark.long
def test_a_specification_that_is_deleted_while_a_cluster_is_away(
    specs: Specs,
    start: Start,
    fleet: Fleet,
    second_control_plane: ControlPlane,
    control_plane_factory: ControlPlaneFactory,
) -> None:
    """The object is not held for longer than was said, and the cluster is cleaned when it is back, by the next leader.

    A dead cluster, end to end: scanned and enforced, dead, told as such, back, scanned and enforced again.
    """
    away = control_plane_factory(audited=False)
    fleet.put("one", second_control_plane)
    fleet.put("two", away)
    specs.put("remote", asked())
    operator = start(*WORDS, "--removal-timeout=5s")
    specs.wait("remote", "True", "PolicyEnforced", operator.said)
    until(lambda: specs.get("remote")["status"].get("clusters", {}).get("scanned") == 2, operator.said)
    away.stop()
    until(lambda: _condition(fleet, "two") == "False", operator.said)
    specs.put("remote", asked("audit"))
    until(lambda: fleet.entry("one").get("mode") == "audit", operator.said)
    until(lambda: specs.get("remote")["status"].get("clusters", {}).get("unreachable") == 1, operator.said)
    status = specs.get("remote")["status"]
    assert status["unreachableSince"]
    assert [one["name"] for one in status["worstClusters"]][:1] == ["two"]
    away.start()
    until(lambda: fleet.entry("two").get("mode") == "audit", operator.said)
    specs.wait("remote", "True", "PolicyEnforced", operator.said)
    until(lambda: specs.get("remote")["status"].get("clusters", {}).get("scanned") == 2, operator.said)
    assert "unreachableSince" not in specs.get("remote")["status"]
    away.stop()
    until(lambda: _condition(fleet, "two") != "True", operator.said)
    specs.writer.delete("kspec.io/v1alpha1", "ClusterSpecification", "remote")
    until(
        lambda: specs.writer.find("kspec.io/v1alpha1", "ClusterSpecification", "remote") is None,
        operator.said,
    )
    assert fleet.policies("one") == 0
    assert "RemovalFailed" in specs.events("remote")
    assert fleet.entry("two")
    operator.kill()
    away.start()
    operator = start(*WORDS)
    until(lambda: not fleet.entry("two"), operator.said)
    assert fleet.policies("two") == 0


@pytest.mark.long
def test_a_fight_over_a_policy_is_ended(
    specs: Specs, start: Start, fleet: Fleet, second_control_plane: ControlPlane
) -> None:
    """Three corrections within an hour, which a leader before made, and a policy that was changed once more."""
    fleet.put("one", second_control_plane)
    specs.put("remote", asked(autoRemediate=True))
    operator = start(*WORDS)
    specs.wait("remote", "True", "PolicyEnforced", operator.said)
    operator.kill()
    found = fleet.writer.get(*TARGET, "one", namespace=NAMESPACE)
    (entry,) = found["status"]["policies"]
    entry["corrected"] = [stamp(datetime.now(UTC) - timedelta(minutes=minutes)) for minutes in (50, 30, 10)]
    fleet.writer.replace(found, field_manager="test", subresource="status")
    weaken(second_control_plane)
    operator = start(*WORDS)
    drift = specs.wait("remote", "True", "DriftDetected", operator.said)
    assert "it was corrected 3 times within an hour" in drift["message"]
    fleet.comes_to(False, "one", operator.said)


def test_policies_of_kyverno_on_another_cluster(
    specs: Specs, start: Start, fleet: Fleet, control_plane_factory: ControlPlaneFactory
) -> None:
    """Applied as Kyverno's objects, in force once it says so, pruned with their specification, told where it is not
    there. What its controller does is played: kinds and objects are real.
    """
    plane, without = control_plane_factory(audited=False), control_plane_factory(audited=False)
    for one in KINDS:
        assert plane.request("POST", DEFINITIONS, one).status == 201
    until(lambda: plane.request("GET", KYVERNO).status == 200)
    fleet.put("one", plane)
    fleet.put("two", without)
    specs.put("remote", asked(engine="kyverno"))
    with heard(plane):
        operator = start(*WORDS)
        until(lambda: fleet.entry("two").get("state") == "failed", operator.said)
        assert "Is Kyverno installed?" in fleet.entry("two")["message"]
        until(lambda: fleet.entry("one").get("state") == "ok", operator.said)
        entry = fleet.entry("one")
        assert (entry["mode"], entry["policies"], entry["engines"]) == ("enforce", 1, ["kyverno"])
        # Another engine takes its place, and what Kyverno had goes; so does what is left with the specification.
        specs.put("remote", asked())
        until(lambda: fleet.entry("one").get("engines") == ["vap"], operator.said)
        assert plane.request("GET", KYVERNO + OURS).body["items"] == []
        specs.put("remote", asked(engine="kyverno"))
        until(lambda: fleet.entry("one").get("engines") == ["kyverno"], operator.said)
        until(lambda: fleet.policies("one") == 0, operator.said)
        specs.writer.delete("kspec.io/v1alpha1", "ClusterSpecification", "remote")
        until(lambda: not fleet.entry("one") and not fleet.entry("two"), operator.said)
        assert plane.request("GET", KYVERNO + OURS).body["items"] == []


@contextlib.contextmanager
def heard(plane: ControlPlane) -> Iterator[None]:
    """What Kyverno's controller says of each policy that it has put into its webhook."""
    ended = threading.Event()
    said = {"conditions": [{"type": "WebhookConfigured", "status": "True", "message": ""}]}

    def play() -> None:
        while not ended.wait(0.2):
            for policy in plane.request("GET", KYVERNO + OURS).body["items"]:
                path = f"{KYVERNO}/{policy['metadata']['name']}/status"
                plane.request("PATCH", path, {"status": {"conditionStatus": said}})

    thread = threading.Thread(target=play, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(30)


@pytest.mark.long
def test_a_webhook_on_another_cluster(
    specs: Specs, start: Start, fleet: Fleet, control_plane_factory: ControlPlaneFactory, tmp_path: Path
) -> None:
    """By digest, and not without; rolled out before it is registered, and removed with its specification."""
    plane = control_plane_factory(audited=False, flags=(ROUTED,))
    fleet.put("one", plane)
    specs.put("remote", asked(engine="webhook"))
    operator = start(*WORDS)
    until(lambda: fleet.entry("one").get("state") == "failed", operator.said)
    assert "no image of the webhook is given" in fleet.entry("one")["message"]
    operator.kill()
    with Played(plane, tmp_path):
        operator = start(*WORDS, f"--fleet-webhook-image=registry.example.com/kspec@sha256:{'0' * 64}")
        until(lambda: fleet.entry("one").get("state") == "ok", operator.said)
        assert fleet.entry("one")["engines"] == ["webhook"]
        fleet.comes_to(True, "one", operator.said)
        # Another engine takes its place: first the new one, then the old one goes.
        specs.put("remote", asked())
        until(lambda: fleet.entry("one").get("engines") == ["vap"], operator.said)
        fleet.comes_to(True, "one", operator.said)
        assert plane.request("GET", HOOKS).body["items"] == []
        specs.put("remote", asked(engine="webhook"))
        until(lambda: fleet.entry("one").get("engines") == ["webhook"], operator.said)
        specs.writer.delete("kspec.io/v1alpha1", "ClusterSpecification", "remote")
        until(lambda: not fleet.entry("one"), operator.said)
        assert plane.request("GET", HOOKS).body["items"] == []
        assert plane.request("GET", DEPLOYMENTS).body["items"] == []
        fleet.comes_to(False, "one", operator.said)


def weaken(plane: ControlPlane) -> None:
    """As somebody who wants a policy out of the way."""
    (binding,) = plane.request("GET", BINDINGS + OURS).body["items"]
    path = f"{BINDINGS}/{binding['metadata']['name']}"
    assert plane.request("PATCH", path, {"spec": {"validationActions": ["Audit"]}}).status == 200


def _condition(fleet: Fleet, name: str) -> str:
    found = fleet.writer.get(*TARGET, name, namespace=NAMESPACE)["status"]["conditions"]
    return str(next(one["status"] for one in found if one["type"] == "Ready"))
