"""AlertConfigs in a cluster: side by side, with Secrets, over a change of leader."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import jwt
import pytest

from pytest_kspec.alerts.kept import read
from pytest_kspec.alerts.ledger import Ledger, Notification
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.enforce.engines import webhook_state
from pytest_kspec.errors import Refused
from pytest_kspec.operator.alerting import Memory
from pytest_kspec.operator.observed import of_corrections
from pytest_kspec.webhook.breaker import Breaker
from pytest_kspec.webhook.reviews import is_open
from pytest_kspec.webhook.telling import Denials, Telling, state_of
from tests.alerts.receiving import HttpReceiver, Reply, http_receiver
from tests.controlplane import namespaces
from tests.fleet.targets.conftest import ca
from tests.operator.conftest import OperatorProcess, Specs, until
from tests.operator.test_engines import asked, webhook
from tests.operator.test_live import BINDINGS, enforced
from tests.webhook.running import Running

__all__ = ["webhook"]

Start = Callable[..., OperatorProcess]
API = ("kspec.io/v1alpha1", "AlertConfig")
NAMESPACE = "kspec-system"
MET = {"kubernetes": {"minVersion": "1.29"}}
UNMET = {"kubernetes": {"minVersion": "1.99"}}
WORDS = ("--leader-elect=false", "--scan-interval=5s")
SOON = {"groupWait": "0s", "groupInterval": "1s"}


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpReceiver]:
    monkeypatch.setenv("KSPEC_ALERT_ALLOW", "127.0.0.0/8")
    with http_receiver() as made:
        yield made


@pytest.fixture
def put(specs: Specs) -> Iterator[Callable[..., None]]:
    made: list[tuple[str, str, str]] = []

    def put(kind: str, name: str, **rest: Any) -> None:
        version = API[0] if kind in (API[1], "ClusterTarget") else "v1"
        made.append((version, kind, name))
        head = {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": NAMESPACE}}
        specs.writer.apply({**head, **rest}, field_manager="test")

    yield put
    for version, kind, name in made:
        specs.writer.delete(version, kind, name, namespace=NAMESPACE)


def status(specs: Specs, name: str) -> dict[str, Any]:
    found: dict[str, Any] = specs.writer.get(*API, name, namespace=NAMESPACE).get("status") or {}
    return found


def test_configurations_side_by_side_over_a_change_of_leader(
    specs: Specs, start: Start, receiver: HttpReceiver, put: Callable[..., None]
) -> None:
    receiver.answer = lambda one: Reply(0) if one.path == "/hangs" else Reply()
    url = base64.b64encode(f"{receiver.url}/services/T/B/secret-1\n".encode()).decode()
    put("Secret", "slack", data={"url": url})
    hangs = {"name": "hangs", "url": f"{receiver.url}/hangs", "timeoutSeconds": 20}
    slack = {"webhookURLSecretRef": {"name": "slack"}}
    put("AlertConfig", "first", spec={**SOON, "slack": slack, "webhooks": [hangs]})
    put("AlertConfig", "second", spec={**SOON, "webhooks": [{"name": "hook", "url": f"{receiver.url}/hook"}]})
    put("AlertConfig", "odd", spec={"webhooks": [hangs], "routes": [{"notifiers": ["pager"]}]})
    foreign = {"webhookURLSecretRef": {"name": "slack", "namespace": "default"}}
    put("AlertConfig", "foreign", spec={**SOON, "slack": foreign})
    specs.put("alerted", UNMET)
    operator = start(*WORDS)

    until(lambda: receiver.bodies("/services/T/B/secret-1") and receiver.bodies("/hook"), operator.said)
    (sent,) = receiver.bodies("/hook")
    assert (sent["event_type"], sent["labels"]["spec"]) == ("ComplianceFailure", "alerted")
    until(lambda: status(specs, "second").get("alertsSent") == 1, operator.said)
    (condition,) = until(lambda: status(specs, "odd").get("conditions"), operator.said)
    assert (condition["type"], condition["reason"]) == ("Configured", "ConfigurationErrors")
    assert "'pager' is not a notifier" in condition["message"]
    until(lambda: status(specs, "foreign").get("alertsFailed"), operator.said)
    assert "may not refer to" in status(specs, "foreign")["notifierStatus"]["slack"]["lastError"]
    operator.kill()

    following = start(*WORDS)
    specs.put("alerted", MET)
    until(lambda: len(receiver.bodies("/hook")) > 1, following.said)
    assert [one["event_type"] for one in receiver.bodies("/hook")] == [
        "ComplianceFailure",
        "ComplianceRestored",
    ]
    until(lambda: len(receiver.bodies("/services/T/B/secret-1")) == 2, following.said)
    until(lambda: status(specs, "second").get("active") == 0, following.said)
    assert "secret-1" not in operator.said() + following.said() + str(status(specs, "first"))


def test_what_did_not_change_is_not_written_again() -> None:
    ledger = Ledger()
    memory = Memory("u", ledger)
    at = datetime(2026, 11, 29, 12, tzinfo=UTC)
    ledger.take(of_corrections("prod", "u", "s", {"a": 1}, at))
    first = memory.keep()
    assert memory.keep() is first
    ledger.take(of_corrections("prod", "u", "s", {"a": 2}, at))
    second = memory.keep()
    assert second.text != first.text
    ledger.sent(Notification("hook", "k", {}, (), (), "2026-11-29T12:00:00Z", 0, {"x": "y"}))
    assert memory.keep() is not second
    ledger.end("", "s", "2026-11-29T12:01:00Z", "gone")
    assert read(memory.keep().text, "x").facts.keys() == ledger.facts.keys()


def told(receiver: HttpReceiver, event: str) -> list[tuple[str, str]]:
    """Level and status of each message about this event, or about its end."""
    found = [one for one in receiver.bodies("/hook") if one["event_type"] == event]
    return [(one["level"], one["metadata"]["status"]) for one in found]


def signed(days: float) -> str:
    """A token, for the last hundred days and the next so many."""
    now = int(time.time())
    claims = {"iat": now - 100 * 86400, "exp": now + int(days * 86400)}
    return jwt.encode(claims, "k" * 32, algorithm="HS256")


def test_credentials_and_corrections_are_told_until_they_are_no_news(
    specs: Specs, start: Start, receiver: HttpReceiver, put: Callable[..., None]
) -> None:
    hook = {"name": "hook", "url": f"{receiver.url}/hook"}
    put("AlertConfig", "all", spec={**SOON, "groupBy": ["event_type"], "webhooks": [hook]})
    put("Secret", "edge-token", stringData={"token": signed(3)})
    put("Secret", "core-token", stringData={"token": signed(90)})
    for name in ("edge", "core"):
        ref = {"name": f"{name}-token"}
        spec = {"apiServerURL": specs.plane.url, "caData": ca(specs.plane), "authMode": "token"}
        put("ClusterTarget", name, spec={**spec, "tokenSecretRef": ref})
    specs.put("corrected", enforced("enforce", autoRemediate=True))
    operator = start("--leader-elect=false", "--scan-interval=4s")

    until(lambda: told(receiver, "CredentialExpiring"), operator.said)
    (sent,) = [one for one in receiver.bodies("/hook") if one["event_type"] == "CredentialExpiring"]
    assert (sent["level"], sent["labels"]["cluster"], sent["source"]) == ("warning", "edge", "Cluster/edge")
    assert "eyJ" not in json.dumps(sent)
    put("Secret", "edge-token", stringData={"token": signed(80)})

    specs.wait("corrected", "True", "PolicyEnforced", operator.said)
    patch = {"spec": {"validationActions": ["Warn"]}}
    specs.writer.patch(*BINDINGS, "kspec-corrected-services", patch, field_manager="kubectl-edit")
    until(lambda: told(receiver, "RemediationPerformed"), operator.said)
    (sent,) = [one for one in receiver.bodies("/hook") if one["event_type"] == "RemediationPerformed"]
    assert (sent["level"], sent["labels"]["spec"], sent["metadata"]["event_count"]) == (
        "info",
        "corrected",
        1,
    )
    assert "kspec-corrected-services was corrected once" in sent["description"]
    memory = specs.writer.get("v1", "ConfigMap", "kspec-drift-corrected", namespace=NAMESPACE)
    before = json.dumps([[sent["description"], "2020-01-01T00:00:00Z"]])
    specs.writer.patch(
        "v1", "ConfigMap", memory["metadata"]["name"], {"data": {"corrections": before}},
        namespace=NAMESPACE, field_manager="test",
    )  # fmt: skip
    until(lambda: len(told(receiver, "RemediationPerformed")) == 2, operator.said)
    assert told(receiver, "RemediationPerformed") == [("info", "firing"), ("info", "resolved")]
    until(lambda: len(told(receiver, "CredentialExpiring")) == 2, operator.said)
    assert told(receiver, "CredentialExpiring") == [("warning", "firing"), ("info", "resolved")]


def test_what_the_webhook_denies_and_its_open_breaker(
    specs: Specs, start: Start, receiver: HttpReceiver, put: Callable[..., None], webhook: Running
) -> None:
    hook = {"name": "hook", "url": f"{receiver.url}/hook"}
    put("AlertConfig", "all", spec={**SOON, "groupBy": ["event_type"], "webhooks": [hook]})
    specs.put("engines", asked("webhook"))
    operator = start(*WORDS, f"--webhook-url={webhook.url}", f"--webhook-read-port={webhook.read_port}")
    specs.wait("engines", "True", "PolicyEnforced", operator.said)

    def denied() -> bool:
        metadata = {"name": "probe", "namespace": "operator-engines"}
        spec = {"type": "NodePort", "ports": [{"port": 80}]}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        try:
            specs.writer.create(service)
        except Refused:
            return True
        specs.writer.delete("v1", "Service", "probe", namespace="operator-engines")
        return False

    namespaces.create(specs.plane, "operator-engines")
    until(denied, operator.said)
    until(lambda: told(receiver, "PolicyViolation"), operator.said)
    (sent,) = [one for one in receiver.bodies("/hook") if one["event_type"] == "PolicyViolation"]
    assert (sent["level"], sent["labels"]["spec"], sent["source"]) == (
        "warning",
        "engines",
        "ClusterSpec/engines",
    )
    assert sent["description"].startswith("network.allowedServiceTypes: ")
    webhook.kill()

    # The replica of the same name, whose evaluations fail: its breaker opens, and closes after its cool-down.
    seconds = [1000.0]
    breaker = Breaker(lambda: seconds[0])
    access = Access(specs.plane.name, str(specs.plane.kubeconfig()))
    telling = Telling(
        access,
        NAMESPACE,
        socket.gethostname(),
        lambda: state_of(bool(is_open(breaker)), breaker.error_rate, Denials()),
    )
    for _ in range(10):
        breaker.record(failed=True)
    telling.tick()
    until(lambda: told(receiver, "CircuitBreakerTripped"), operator.said)
    until(lambda: len(told(receiver, "PolicyViolation")) == 2, operator.said)
    seconds[0] += 1000.0
    telling.tick()
    until(lambda: len(told(receiver, "CircuitBreakerTripped")) == 2, operator.said)
    assert told(receiver, "CircuitBreakerTripped") == [("critical", "firing"), ("info", "resolved")]
    assert told(receiver, "PolicyViolation") == [("warning", "firing"), ("info", "resolved")]
    left = specs.writer.find("v1", "ConfigMap", webhook_state.NAME, namespace=NAMESPACE)
    assert left is not None
    assert not left.get("data"), "what has nothing to say has no key"
    specs.writer.delete("v1", "ConfigMap", webhook_state.NAME, namespace=NAMESPACE)
    namespaces.delete(specs.plane, "operator-engines")
