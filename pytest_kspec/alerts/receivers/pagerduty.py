"""Events API v2 of PagerDuty: one incident for each group, opened, added to and resolved under one key."""

from __future__ import annotations

from typing import Any

import msgspec

from pytest_kspec.alerts import message
from pytest_kspec.alerts.alert import Level
from pytest_kspec.alerts.http import Answer, Request
from pytest_kspec.alerts.ledger import Notification
from pytest_kspec.alerts.sending import AlertSending
from pytest_kspec.crds.models.alertconfig import PagerDutyNotifier, SeverityMap

LONGEST_SUMMARY = 1024
LONGEST_SOURCE = 255


def deliver(sending: AlertSending) -> None:
    """Post it. Raises KspecError."""
    notifier = sending.notifier
    assert isinstance(notifier, PagerDutyNotifier)
    key = sending.secrets.read(notifier.routing_key_secret_ref, "routingKey")
    sending.send(request(sending.made, notifier, sending.default, key))


def request(made: Notification, notifier: PagerDutyNotifier, default: Level, key: str) -> Request:
    """What is posted. key: the integration key."""
    body: dict[str, Any] = {
        "routing_key": key,
        "event_action": "trigger" if made.firing else "resolve",
        "dedup_key": f"kspec-{made.key}",
    }
    if made.firing:
        body |= {"payload": _payload(made, notifier, default), "client": "pytest-kspec"}
    return Request(
        notifier.url,
        msgspec.json.encode(body),
        {"Content-Type": "application/json"},
        secrets=(key,),
        accepts=_accepted,
    )


def _accepted(answer: Answer) -> bool:
    return answer.status == 202


def _payload(made: Notification, notifier: PagerDutyNotifier, default: Level) -> dict[str, Any]:
    shown, left = message.listed(made)
    first = made.firing[0].alert
    clusters = {fact.alert.cluster_id for fact in made.firing}
    where = first.cluster if len(clusters) == 1 else f"{len(clusters)} clusters"
    severities = notifier.severity_map or SeverityMap()
    return {
        "summary": message.line(message.title(made), LONGEST_SUMMARY),
        "source": message.line(where, LONGEST_SOURCE) or "kspec",
        "severity": getattr(severities, message.worst(made, default).value),
        "timestamp": min(fact.started_at for fact in made.firing),
        "component": message.line(first.spec),
        "group": message.line(", ".join(made.labels.values())),
        "class": first.event,
        "custom_details": {
            "active": len(made.firing) + made.left,
            "resolved": len(made.resolved),
            "not_listed": left,
            "alerts": [message.document(fact, default) for fact in shown],
        },
    }
