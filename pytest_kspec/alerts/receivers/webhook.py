"""Generic webhooks: v0.3's JSON, CloudEvents 1.0, the document of Alertmanager, or a template of the user's."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

from pytest_kspec.alerts import message, templates
from pytest_kspec.alerts.alert import Fact, Level
from pytest_kspec.alerts.http import Request
from pytest_kspec.alerts.ledger import Notification
from pytest_kspec.alerts.receivers import alertmanager
from pytest_kspec.alerts.sending import AlertSending
from pytest_kspec.crds.models.alertconfig import WebhookNotifier
from pytest_kspec.shown import well_formed

JSON = "application/json"


def deliver(sending: AlertSending) -> None:
    """Send it. Raises KspecError."""
    notifier = sending.notifier
    assert isinstance(notifier, WebhookNotifier)
    url = sending.url(notifier.url_secret_ref, notifier.url)
    headers = dict(notifier.headers)
    if notifier.headers_secret_ref:
        headers |= sending.secrets.read_all(notifier.headers_secret_ref)
    sending.send(request(sending.made, notifier, sending.default, url, headers))


def request(
    made: Notification, notifier: WebhookNotifier, default: Level, url: str, headers: dict[str, str]
) -> Request:
    """What is sent. headers: those of the configuration and of its Secret."""
    body, kind = _body(made, notifier, default)
    named = {name.lower() for name in headers}
    return Request(
        url,
        body,
        {**({} if "content-type" in named else {"Content-Type": kind}), **headers},
        notifier.method,
        secrets=tuple(headers.values()),
    )


def _body(made: Notification, notifier: WebhookNotifier, default: Level) -> tuple[bytes, str]:
    if notifier.template:
        return templates.render(notifier.template, message.values(made, default))
    if notifier.format == "alertmanager":
        return msgspec.json.encode(alertmanager.document(made, default)), JSON
    if notifier.format == "cloudevents":
        events = [event(fact, default) for fact in made.facts]
        if len(events) == 1:
            return msgspec.json.encode(events[0]), "application/cloudevents+json"
        return msgspec.json.encode(events), "application/cloudevents-batch+json"
    return msgspec.json.encode(message.whole(made, default)), JSON


def event(fact: Fact, default: Level) -> dict[str, Any]:
    """A CloudEvent. Its id is that of the alert, its state and its beginning: the same where it is sent twice."""
    alert = fact.alert
    began = "".join(filter(str.isalnum, fact.started_at))
    return {
        "specversion": "1.0",
        "id": f"{alert.id}-{fact.state}-{began}-{fact.revision}",
        "source": f"kspec/{quote(well_formed(alert.cluster_id), safe=':')}",
        "type": f"io.kspec.{fact.event}.v1",
        "subject": message.line(alert.spec) or "kspec",
        "time": fact.resolved_at or fact.started_at,
        "datacontenttype": JSON,
        "data": message.document(fact, default),
    }
