"""AlertConfigs in a cluster: side by side, with Secrets, over a change of leader."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.alerts.receiving import HttpReceiver, Reply, http_receiver
from tests.operator.conftest import OperatorProcess, Specs, until

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
        version = API[0] if kind == API[1] else "v1"
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
    (condition,) = status(specs, "odd")["conditions"]
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
