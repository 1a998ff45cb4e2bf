"""What each receiver is sent, as published: Slack's models, PagerDuty's fields, the SDK of CloudEvents."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_structured_event
from hypothesis import given
from hypothesis import strategies as st
from slack_sdk.models.attachments import Attachment, AttachmentField

from pytest_kspec.alerts import message
from pytest_kspec.alerts.alert import Fact, Level
from pytest_kspec.alerts.receivers import alertmanager, email, pagerduty, slack, webhook
from pytest_kspec.crds.models.alertconfig import (
    AlertmanagerNotifier,
    EmailNotifier,
    PagerDutyNotifier,
    SlackNotifier,
    WebhookNotifier,
)
from tests.alerts.conftest import EVIL, firing, notification, resolved

DEFAULT = Level.WARNING
SLACK = SlackNotifier.model_validate({"webhookURL": "https://hooks.example/x", "channel": "#ops"})
PAGER = PagerDutyNotifier.model_validate(
    {"routingKeySecretRef": {"env": "K"}, "severityMap": {"warning": "error"}}
)
MAIL = EmailNotifier.model_validate(
    {"host": "mail", "from": "kspec@example.com", "to": ["a@example.com", "b@example.com"]}
)
MANY = [firing(about=f"check-{n}") for n in range(25)]
NAMES = st.text(max_size=60) | st.just(EVIL)


def posted_to_slack(*facts: Fact) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(
        slack.request(notification(*facts), SLACK, DEFAULT, "https://h/services/T/B/k").body
    )
    assert len(made["text"]) <= 40_000
    assert len(made["attachments"]) <= 20
    for one in made["attachments"]:
        fields = [AttachmentField(**field) for field in one["fields"]]
        read = {name: value for name, value in one.items() if name not in ("fields", "mrkdwn_in")}
        Attachment(**read, fields=fields, markdown_in=one["mrkdwn_in"]).validate_json()
        assert one["mrkdwn_in"] == []
    return made


def test_slack_has_an_attachment_for_each_and_counts_the_rest() -> None:
    made = posted_to_slack(firing(level="critical"), resolved(about="b"))
    assert (made["channel"], made["username"], made["icon_emoji"]) == ("#ops", "kspec-bot", ":shield:")
    assert [one["color"] for one in made["attachments"]] == ["danger", "good"]
    assert made["attachments"][0]["title"] == "images is not met on prod-eu"
    many = posted_to_slack(*MANY)
    assert len(many["attachments"]) == 10
    assert many["text"] == "25 active on prod-eu: ComplianceFailure\n10 are listed; 15 more are not."


@given(name=NAMES)
def test_slack_reads_nothing_out_of_names(name: str) -> None:
    made = posted_to_slack(firing(cluster=name, title=name, description=name, about=name))
    (one,) = made["attachments"]
    texts = [made["text"], one["title"], one["text"], one["fallback"], one["footer"]]
    texts += [field["value"] for field in one["fields"]]
    assert not any("<" in text or ">" in text for text in texts)
    assert (made["mrkdwn"], made["parse"], made["link_names"]) == (False, "none", False)


def event_for_pagerduty(*facts: Fact) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(pagerduty.request(notification(*facts), PAGER, DEFAULT, "R" * 32).body)
    assert made["event_action"] in ("trigger", "acknowledge", "resolve")
    assert 0 < len(made["dedup_key"]) <= 255
    assert made["routing_key"] == "R" * 32
    if made["event_action"] == "trigger":
        payload = made["payload"]
        assert 0 < len(payload["summary"]) <= 1024
        assert payload["source"]
        assert payload["severity"] in ("critical", "error", "warning", "info")
    return made


def test_pagerduty_opens_and_resolves_under_one_key() -> None:
    opened, ended = event_for_pagerduty(firing()), event_for_pagerduty(resolved())
    assert (opened["event_action"], ended["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == ended["dedup_key"]
    assert opened["payload"]["severity"] == "error", "of the map"
    assert event_for_pagerduty(firing(), resolved(about="b"))["event_action"] == "trigger"
    assert event_for_pagerduty(*MANY)["payload"]["custom_details"]["not_listed"] == 15


@given(name=NAMES)
def test_pagerduty_is_sent_what_it_accepts(name: str) -> None:
    event_for_pagerduty(firing(cluster=name, title=name * 50, about=name))


def test_webhooks_of_v03_are_sent_its_keys() -> None:
    notifier = WebhookNotifier.model_validate({"name": "x", "url": "https://x"})
    made = json.loads(webhook.request(notification(firing()), notifier, DEFAULT, "https://x", {}).body)
    assert list(made) == [
        *("level", "title", "description", "source", "timestamp", "event_type", "labels", "metadata")
    ]
    assert made["source"] == "ClusterSpec/strict"
    ended = json.loads(webhook.request(notification(resolved()), notifier, DEFAULT, "https://x", {}).body)
    assert (ended["level"], ended["event_type"], ended["metadata"]["status"]) == (
        "info",
        "ComplianceRestored",
        "resolved",
    )
    many = json.loads(webhook.request(notification(*MANY), notifier, DEFAULT, "https://x", {}).body)
    assert (many["metadata"]["count"], len(many["metadata"]["alerts"])) == (25, 10)


@given(name=NAMES)
def test_cloudevents_are_read_by_the_sdk(name: str) -> None:
    notifier = WebhookNotifier.model_validate({"name": "x", "url": "https://x", "format": "cloudevents"})
    fact = firing(cluster=name, cluster_id=name or "c", title=name, about=name)
    sent = webhook.request(notification(fact), notifier, DEFAULT, "https://x", {})
    event = from_structured_event(HTTPMessage(dict(sent.headers), sent.body))
    assert (event.get_type(), event.get_subject()) == ("io.kspec.ComplianceFailure.v1", "strict")
    assert event.get_data()["metadata"]["alert_id"] == fact.alert.id  # type: ignore[index, call-overload]
    again = webhook.request(notification(fact), notifier, DEFAULT, "https://x", {})
    assert again.body == sent.body, "the same id where it is sent twice"
    several = webhook.request(notification(fact, resolved()), notifier, DEFAULT, "https://x", {})
    assert several.headers["Content-Type"] == "application/cloudevents-batch+json"
    assert [one["type"] for one in json.loads(several.body)] == [
        "io.kspec.ComplianceFailure.v1",
        "io.kspec.ComplianceRestored.v1",
    ]


def test_the_document_of_alertmanager() -> None:
    notifier = WebhookNotifier.model_validate({"name": "x", "url": "https://x", "format": "alertmanager"})
    made = json.loads(
        webhook.request(
            notification(firing(), resolved(about="b"), left=3), notifier, DEFAULT, "https://x", {}
        ).body
    )
    assert (made["version"], made["status"], made["truncatedAlerts"]) == ("4", "firing", 3)
    assert [one["status"] for one in made["alerts"]] == ["firing", "resolved"]
    assert made["commonLabels"]["alertname"] == "KSpecComplianceFailure"
    assert "check" not in made["commonLabels"]


def test_alertmanager_is_sent_each_with_an_end() -> None:
    notifier = AlertmanagerNotifier.model_validate({"url": "http://am:9093/", "resolveAfter": "1h"})
    sent = alertmanager.request(notification(firing(), resolved(about="b")), notifier, DEFAULT, {})
    assert sent.url == "http://am:9093/api/v2/alerts"
    assert [one["endsAt"] for one in json.loads(sent.body)] == [
        "2026-06-01T13:00:00Z",
        "2026-06-01T12:05:00Z",
    ]


@given(name=NAMES)
def test_headers_of_mail_hold_no_others(name: str) -> None:
    made = email.mail(notification(firing(cluster=name, title=name, description=name)), MAIL, DEFAULT)
    text = made.as_bytes()
    head = text.partition(b"\r\n\r\n")[0].decode("ascii")
    names = [line.partition(":")[0] for line in head.split("\r\n") if not line.startswith((" ", "\t"))]
    assert sorted(names) == sorted(
        [
            *("From", "To", "Subject", "Date", "Message-ID", "References", "Auto-Submitted"),
            *("Content-Type", "Content-Transfer-Encoding", "MIME-Version"),
        ]
    )
    assert made["To"] == "a@example.com, b@example.com"


def test_mail_is_the_same_where_it_is_sent_twice() -> None:
    first, second = (email.mail(notification(firing()), MAIL, DEFAULT) for _ in range(2))
    assert first["Message-ID"] == second["Message-ID"]
    ended = email.mail(notification(resolved()), MAIL, DEFAULT)
    assert (ended["Message-ID"] != first["Message-ID"], ended["References"]) == (True, first["References"])
    assert ended["Subject"] == "[kspec] Resolved: images is not met on prod-eu"


@pytest.mark.parametrize("facts", [[firing()], MANY, [resolved()]])
def test_the_values_of_templates_have_one_set_of_keys(facts: list[Fact]) -> None:
    assert list(message.values(notification(*facts), DEFAULT)) == [
        *("level", "title", "description", "source", "timestamp", "event_type", "labels", "metadata"),
        *("status", "count", "more", "alerts"),
    ]
