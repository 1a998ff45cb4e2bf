"""From v0.3 to this version and back: one Lease, so that one of the two works; what the other left is looked after.

In v0.3's place stands kube-controller-manager: both elect a leader with client-go, and it can be told the Lease's name.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_kspec.crds.names import NAMESPACE
from tests.controlplane import build
from tests.controlplane.process import Process
from tests.operator.conftest import LEASE, OperatorProcess, Specs, until

Start = Callable[..., OperatorProcess]
FINALIZER = "kspec.io/finalizer"
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "ComplianceChecksPassed",
    "message": "Compliance score 72% (5/7 checks passed)",
    "lastTransitionTime": "2026-01-03T10:00:00Z",
    "observedGeneration": 1,
}
LEFT = {
    "phase": "Active",
    "observedGeneration": 1,
    "lastScanTime": "2026-01-03T10:00:00Z",
    "complianceScore": 72,
    "conditions": [READY],
    "enforcement": {"active": True, "mode": "audit", "policiesGenerated": 3},
}
"""A status as v0.3 wrote it."""


@pytest.fixture
def client_go(specs: Specs, tmp_path: Path) -> Iterator[Process]:
    """Elects with client-go for the Lease that v0.3 had; does nothing else of weight."""
    folder = tmp_path / "v03"
    folder.mkdir()
    terms = {"lease-duration": "5s", "renew-deadline": "4s", "retry-period": "1s"}
    words: list[str | Path] = [
        build.binary("kube-controller-manager"),
        f"--kubeconfig={specs.plane.kubeconfig('controllers')}",
        "--secure-port=0",
        "--controllers=bootstrap-signer-controller",
        "--leader-elect=true",
        "--leader-elect-resource-lock=leases",
        f"--leader-elect-resource-name={LEASE[2]}",
        f"--leader-elect-resource-namespace={NAMESPACE}",
        *(f"--leader-elect-{name}={text}" for name, text in terms.items()),
    ]
    process = Process("v03", words, folder)
    yield process
    process.stop()


def test_to_this_version_and_back(specs: Specs, start: Start, client_go: Process) -> None:
    writer = specs.writer
    writer.delete(*LEASE, namespace=NAMESPACE)

    def holder() -> str:
        found = writer.find(*LEASE, namespace=NAMESPACE)
        return str(found["spec"].get("holderIdentity") or "") if found else ""

    spec = {"kubernetes": {"minVersion": "1.29"}, "enforcement": {"enabled": False, "mode": "audit"}}
    for name in ("old", "leaving"):
        specs.put(name, spec, finalizers=[FINALIZER])
        writer.replace({**specs.get(name), "status": LEFT}, field_manager="v03", subresource="status")
    specs.put("bare", spec)  # v0.3 sent a status with the object itself, which the API server drops
    writer.delete("kspec.io/v1alpha1", "ClusterSpecification", "leaving")
    assert specs.get("leaving")["metadata"]["deletionTimestamp"], "nobody is there to release it"

    client_go.start()
    v03 = until(holder, client_go.tail)
    operator = start()
    time.sleep(4)
    assert (holder(), specs.get("old")["status"]) == (v03, LEFT), "only one of the two works"

    client_go.stop()
    ready = specs.wait("bare", "True", said=operator.said)
    assert ready["message"] == "1 of 1 checks passed."
    until(lambda: specs.condition("old").get("message") == "1 of 1 checks passed.", operator.said)
    assert specs.get("old")["status"]["complianceScore"] == 100
    until(lambda: "finalizers" not in specs.get("old")["metadata"], operator.said)
    until(lambda: writer.find("kspec.io/v1alpha1", "ClusterSpecification", "leaving") is None, operator.said)
    assert holder() not in ("", v03)

    client_go.start()  # back: it waits for ours, and has the Lease once ours is gone
    time.sleep(3)
    ours = holder()
    operator.send(signal.SIGTERM)
    assert operator.ended() == 0, operator.said()
    until(lambda: holder() not in ("", ours), client_go.tail)
    (lease,) = writer.list(*LEASE[:2], namespace=NAMESPACE)
    assert lease["spec"]["leaseTransitions"] == 2, "each leader is counted, whoever counts"
    client_go.stop()
    writer.delete(*LEASE, namespace=NAMESPACE)
