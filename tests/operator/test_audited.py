"""The audit log of an operator as it is deployed: one chain of its own records and those of its scans, as OCSF."""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_kspec.audit.chain import verify
from pytest_kspec.cli.main import main
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.operator.lease import NAME
from tests.alerts.receiving import HttpReceiver
from tests.audit.reading import read_ocsf
from tests.controlplane.process import free_port
from tests.operator.conftest import OperatorProcess, Specs, until
from tests.operator.test_alerting import SOON, put, receiver
from tests.operator.test_live import BINDINGS, UNMET, enforced

__all__ = ["put", "receiver"]

Start = Callable[..., OperatorProcess]
WHAT_HAPPENED = {
    ("leadership.acquired", 1),
    ("leadership.released", 1),
    ("compliance_scan.scan", 99),
    ("exemption.used", 1),
    ("exemption.expired", 1),
    ("enforcement.create", 1),
    ("enforcement.change", 1),
    ("enforcement.remove", 1),
    ("remediation.drift", 1),
    ("credential_access.read", 1),
    ("credential_access.read", 2),
}
"""Events and their status: 1 success, 2 failure, 99 other."""


def test_all_that_an_operator_does_is_one_chain(
    specs: Specs,
    start: Start,
    receiver: HttpReceiver,
    put: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "audit.log"
    monkeypatch.setenv("KSPEC_AUDIT_LOG", str(path))
    monkeypatch.setenv("KSPEC_AUDIT_FORMAT", "ocsf")
    monkeypatch.setenv("KSPEC_RUN_BY", "kspec-operator")
    put("Secret", "hook", stringData={"url": f"{receiver.url}/services/T/B/secret-1"})
    put("AlertConfig", "told", spec={**SOON, "slack": {"webhookURLSecretRef": {"name": "hook"}}})
    put("AlertConfig", "untold", spec={**SOON, "slack": {"webhookURLSecretRef": {"name": "missing"}}})
    used = {"name": "used", "reason": "r", "checks": ["kubernetes.version"], "expiresAt": "2099-01-01"}
    ended = {**used, "name": "ended", "expiresAt": "2020-01-01"}
    specs.put("accepted", {**UNMET, "policyExemptions": [used, ended]})
    specs.put("unmet", UNMET)
    specs.put("kept", enforced("enforce", autoRemediate=True))
    operator = start("--scan-interval=4s")

    def events() -> set[tuple[str, int]]:
        lines = path.read_bytes().splitlines() if path.exists() else []
        return {(one["metadata"]["event_code"], one["status_id"]) for one in map(read_ocsf, lines)}

    specs.wait("kept", "True", "PolicyEnforced", operator.said)
    patch = {"spec": {"validationActions": ["Warn"]}}
    specs.writer.patch(*BINDINGS, "kspec-kept-services", patch, field_manager="kubectl-edit")
    until(lambda: ("remediation.drift", 1) in events(), operator.said)
    specs.put("kept", {**UNMET})
    until(lambda: ("enforcement.remove", 1) in events(), operator.said)
    until(lambda: WHAT_HAPPENED - events() <= {("leadership.released", 1)}, operator.said)
    operator.send(signal.SIGTERM)
    assert operator.ended() == 0, operator.said()

    assert events() == WHAT_HAPPENED
    content = path.read_bytes()
    assert b"secret-1" not in content
    assert b"kspec-kept-services" in content
    records = [read_ocsf(line) for line in content.splitlines()]
    (uid,) = {
        one["resources"][0]["uid"]
        for one in records
        if one["metadata"]["event_code"].startswith("compliance")
    }
    assert uid
    assert {one["resources"][0]["uid"] for one in records} == {uid}, "all of it is about one cluster"
    for one in records:
        kind, said = one["metadata"]["event_code"].partition(".")[0], one["unmapped"]
        (about,) = one["resources"]
        if kind in ("enforcement", "remediation"):
            assert (said["cluster_name"], said["cluster_spec"]) == (specs.plane.name, "kept"), one
            assert about["type"].startswith("ValidatingAdmissionPolicy"), one
        if kind == "leadership":
            assert (said["cluster_name"], about["name"]) == (specs.plane.name, f"Lease {NAMESPACE}/{NAME}")
    actors = {one["unmapped"]["actor"] for one in records}
    assert actors <= {"kspec-operator", "kspec operator"}
    with path.open("rb") as stream:
        assert verify([("audit.log", stream)]).problems == []
    assert main(["audit", "verify", str(path)]) == 0
    assert " records, 1 to " in capsys.readouterr().out


def test_a_full_disk_is_a_metric_of_the_operator_also_where_its_scans_met_it(
    specs: Specs, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KSPEC_AUDIT_LOG", "/dev/full")
    specs.put("unmet", UNMET)
    port = free_port()
    operator = start("--scan-interval=4s", f"--metrics-bind-address=127.0.0.1:{port}")
    specs.wait("unmet", "False", said=operator.said)

    def lost() -> float:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        (found,) = [line for line in lines if line.startswith("kspec_audit_records_dropped_total ")]
        return float(found.split()[1])

    until(lambda: lost() >= 2, operator.said)  # one of the leadership, one of the scan
    assert "No space left on device" in operator.said()
