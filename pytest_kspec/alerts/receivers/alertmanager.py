"""Alertmanager: alerts for its API v2, and the document that its own webhooks send.

Over the API, groups and repetitions are its own work: it is sent each alert, with a time at which it ends by itself.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from pytest_kspec.alerts import message
from pytest_kspec.alerts.alert import Fact, Level
from pytest_kspec.alerts.http import Request
from pytest_kspec.alerts.ledger import Notification
from pytest_kspec.alerts.routing import labels_of
from pytest_kspec.alerts.sending import AlertSending
from pytest_kspec.crds.models.alertconfig import AlertmanagerNotifier
from pytest_kspec.crds.models.base import seconds
from pytest_kspec.shown import well_formed

_NEVER = "0001-01-01T00:00:00Z"


def deliver(sending: AlertSending) -> None:
    """Post it. Raises KspecError."""
    notifier = sending.notifier
    assert isinstance(notifier, AlertmanagerNotifier)
    ref = notifier.headers_secret_ref
    headers = dict(sending.secrets.read_all(ref)) if ref else {}
    sending.send(request(sending.made, notifier, sending.default, headers))


def request(
    made: Notification, notifier: AlertmanagerNotifier, default: Level, headers: dict[str, str]
) -> Request:
    """What is posted to /api/v2/alerts."""
    ends = datetime.fromisoformat(made.at) + timedelta(seconds=seconds(notifier.resolve_after))
    body = [
        {
            "labels": _labels(fact, default),
            "annotations": _annotations(fact),
            "startsAt": fact.started_at,
            "endsAt": fact.resolved_at or ends.isoformat().replace("+00:00", "Z"),
        }
        for fact in made.facts
    ]
    return Request(
        f"{notifier.url.rstrip('/')}/api/v2/alerts",
        msgspec.json.encode(body),
        {"Content-Type": "application/json", **headers},
        secrets=tuple(headers.values()),
    )


def document(made: Notification, default: Level) -> dict[str, Any]:
    """The document of Alertmanager's webhooks, version 4."""
    labels = [_labels(fact, default) for fact in made.facts]
    annotations = [_annotations(fact) for fact in made.facts]
    return {
        "version": "4",
        "groupKey": made.key,
        "truncatedAlerts": made.left,
        "status": made.state,
        "receiver": made.receiver,
        "groupLabels": made.labels,
        "commonLabels": message.common(labels),
        "commonAnnotations": message.common(annotations),
        "externalURL": "",
        "alerts": [
            {
                "status": fact.state,
                "labels": mine,
                "annotations": about,
                "startsAt": fact.started_at,
                "endsAt": fact.resolved_at or _NEVER,
                "generatorURL": "",
                "fingerprint": fact.alert.id[:16],
            }
            for fact, mine, about in zip(made.facts, labels, annotations, strict=True)
        ],
    }


def _labels(fact: Fact, default: Level) -> dict[str, str]:
    named = {"alertname": f"KSpec{fact.alert.event}", **labels_of(fact, default)}
    if fact.alert.about:
        named.setdefault("about", fact.alert.about)
    return {name: well_formed(value) for name, value in named.items() if value}


def _annotations(fact: Fact) -> dict[str, str]:
    return {
        "summary": well_formed(fact.alert.title),
        "description": well_formed(fact.alert.description[: message.LONGEST_TEXT]),
    }
