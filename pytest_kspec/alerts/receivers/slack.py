"""Incoming webhooks of Slack: one message with an attachment for each of the first alerts.

Slack reads `<!channel>`, links and marks out of texts. The three characters that begin them are escaped, as Slack's
documentation requires, and marks and links are turned off: a name is shown as it is.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from pytest_kspec.alerts import message
from pytest_kspec.alerts.alert import Fact, Level
from pytest_kspec.alerts.http import Answer, Request
from pytest_kspec.alerts.ledger import Notification
from pytest_kspec.alerts.routing import level_of
from pytest_kspec.alerts.sending import AlertSending
from pytest_kspec.crds.models.alertconfig import SlackNotifier

_COLOURS = {Level.INFO: "good", Level.WARNING: "warning", Level.CRITICAL: "danger"}
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
LONGEST_FIELD = 300


def deliver(sending: AlertSending) -> None:
    """Post it. Raises KspecError."""
    notifier = sending.notifier
    assert isinstance(notifier, SlackNotifier)
    url = sending.url(notifier.webhook_url_secret_ref, notifier.webhook_url)
    sending.send(request(sending.made, notifier, sending.default, url))


def request(made: Notification, notifier: SlackNotifier, default: Level, url: str) -> Request:
    """What is posted."""
    shown, left = message.listed(made)
    text = message.title(made)
    if left:
        text += f"\n{len(shown)} are listed; {left} more are not."
    body: dict[str, Any] = {
        "text": escaped(text),
        "username": notifier.username,
        "icon_emoji": notifier.icon_emoji,
        "mrkdwn": False,
        "parse": "none",
        "link_names": False,
        "unfurl_links": False,
        "unfurl_media": False,
        "attachments": [_attachment(fact, default) for fact in shown],
    }
    if notifier.channel:
        body["channel"] = notifier.channel
    return Request(
        url,
        msgspec.json.encode(body),
        {"Content-Type": "application/json; charset=utf-8"},
        accepts=_accepted,
    )


def escaped(text: str) -> str:
    """Text as Slack shows it."""
    return text.translate(_ESCAPES)


def _accepted(answer: Answer) -> bool:
    return answer.status == 200


def _attachment(fact: Fact, default: Level) -> dict[str, Any]:
    alert = fact.alert
    title = escaped(message.title_of(fact))
    fields = [("Severity", level_of(fact, default).value), ("Event Type", fact.event)]
    fields += [(name, value) for name, value in alert.labels.items() if name != "cluster_uid"]
    for key, name in (("findings", "Count"), ("score", "Compliance Score")):
        if alert.metadata.get(key) is not None:
            fields.append((name, str(alert.metadata[key])))
    return {
        "color": "good" if fact.resolved_at else _COLOURS[level_of(fact, default)],
        "fallback": title,
        "title": title,
        "text": escaped("" if fact.resolved_at else message.block(alert.description)),
        "footer": escaped(message.line(message.source(fact))),
        "ts": int(datetime.fromisoformat(fact.resolved_at or fact.started_at).timestamp()),
        "mrkdwn_in": [],
        "fields": [
            {
                "title": escaped(message.line(name, LONGEST_FIELD)),
                "value": escaped(message.line(value, LONGEST_FIELD)),
                "short": True,
            }
            for name, value in fields
        ],
    }
