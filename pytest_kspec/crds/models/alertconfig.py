"""AlertConfig: who hears of what happens, and where secrets of theirs are."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from pytest_kspec.crds.models.base import (
    STORE,
    Count,
    EntryName,
    Flag,
    Interval,
    Observed,
    StoreName,
    Text,
    TimeStamp,
    Url,
)
from pytest_kspec.spec.twins import StrictModel

SLACK, PAGERDUTY, EMAIL, ALERTMANAGER, WEBHOOK = "slack", "pagerduty", "email", "alertmanager", "webhook"
NAMED = (SLACK, PAGERDUTY, EMAIL, ALERTMANAGER)
"""Notifiers that exist once, under these names; webhooks and custom ones have names of their own."""

Level = Literal["info", "warning", "critical"]
PagerDutySeverity = Literal["info", "warning", "error", "critical"]
Retries = Annotated[int, Field(strict=True, ge=0, le=10)]


def _one_line(name: str) -> str:
    if not name.strip() or any(unicodedata.category(letter) in ("Cc", "Zl", "Zp") for letter in name):
        raise ValueError("must have a visible character, and no line breaks or other control characters.")
    return name


_NO_CONTROL = r"\x00-\x1f\x7f-\x9f"
NotifierName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        json_schema_extra={"pattern": f"^[^{_NO_CONTROL}]*[^\\s{_NO_CONTROL}][^{_NO_CONTROL}]*$"},
    ),
    AfterValidator(_one_line),
]
Address = Annotated[str, Field(pattern=r"^[^\s@<>,;\"]+@[^\s@<>,;\"]+$", max_length=254)]

_EVENTS = "Events to send, such as ComplianceFailure or DriftDetected. Empty: all."


class AlertSecretRef(StrictModel):
    """Where a secret is: a key of a Secret; in a file that is used without an operator, a variable or a file."""

    store: StoreName = STORE
    name: str = Field("", description="Name of the Secret. In vault: path in the API.")
    namespace: str = Field(
        "",
        description="Namespace of the Secret. Default: that of this object. Other namespaces must be allowed "
        "(KSPEC_SECRET_REFERENCES).",
    )
    key: str = Field(
        "", description="Key in the Secret. The default is documented at the field that refers to the Secret."
    )
    env: str = Field(
        "",
        description="Environment variable that has the value. Only in files for `kspec scan --alert`; "
        "the operator rejects it.",
    )
    file: str = Field(
        "",
        description="File that has the value. Only in files for `kspec scan --alert`; the operator rejects it.",
    )

    @model_validator(mode="after")
    def _is_one(self) -> AlertSecretRef:
        if sum(map(bool, (self.name, self.env, self.file))) != 1:
            raise ValueError("exactly one of name, env and file must be set.")
        return self


class Receiver(StrictModel):
    """What every notifier has."""

    events: list[Text] = Field(default_factory=list, description=_EVENTS)
    min_severity: Level = Field("info", description="Lowest severity of alerts that are sent.")
    send_resolved: Flag = Field(True, description="Whether a message is sent when an alert ends.")
    group_by: list[Text] | None = Field(
        None,
        description="Labels by which alerts are grouped into messages. Default: groupBy of the configuration.",
    )
    retry_attempts: Retries = Field(
        3, description="Number of retries of a failed request; 0 disables retries."
    )
    timeout_seconds: Annotated[int, Field(strict=True, ge=1, le=60)] = Field(
        10, description="Seconds, 1 to 60."
    )


class SlackNotifier(Receiver):
    """Incoming webhook of Slack."""

    enabled: Flag = Field(True, description="Whether this notifier is enabled.")
    webhook_url: Url | None = Field(
        None,
        alias="webhookURL",
        description="URL of the webhook. Anyone who can read this object can post messages with it.",
    )
    webhook_url_secret_ref: AlertSecretRef | None = Field(
        None,
        alias="webhookURLSecretRef",
        description="Secret with the URL, by default under the key url. Takes precedence over webhookURL.",
    )
    channel: str = Field("", description="Channel to post to. Default: the channel of the webhook.")
    username: str = Field("kspec-bot", description="User name that messages are posted as.")
    icon_emoji: str = Field(":shield:", description="Icon of that user name.")

    @model_validator(mode="after")
    def _has_address(self) -> SlackNotifier:
        if self.enabled and self.webhook_url is None and self.webhook_url_secret_ref is None:
            raise ValueError("webhookURL or webhookURLSecretRef must be set.")
        return self


class WebhookNotifier(Receiver):
    """An HTTP request for each message."""

    name: NotifierName = Field(description="Unique name.")
    url: Url | None = Field(None, description="Address.")
    url_secret_ref: AlertSecretRef | None = Field(
        None, description="Secret with the URL, by default under the key url. Takes precedence over url."
    )
    method: Literal["POST", "GET", "PUT", "PATCH"] = Field("POST", description="HTTP method.")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers.")
    headers_secret_ref: AlertSecretRef | None = Field(
        None,
        description="Secret with additional headers. Each key is a header; if `key` is set, only that one.",
    )
    format: Literal["kspec", "cloudevents", "alertmanager"] = Field(
        "kspec",
        description="Format of the request body: kspec (default), cloudevents (CloudEvents 1.0) or "
        "alertmanager (webhook of Alertmanager).",
    )
    template: str = Field(
        "",
        max_length=16384,
        description="Template of the request body: a JSON document with {{ expressions }} in its texts, or text. "
        "Empty: the format.",
    )

    @model_validator(mode="after")
    def _has_address(self) -> WebhookNotifier:
        if self.url is None and self.url_secret_ref is None:
            raise ValueError("url or urlSecretRef must be set.")
        if self.name in NAMED:
            raise ValueError(f"name must not be one of {', '.join(NAMED)}.")
        if self.template and self.format != "kspec":
            raise ValueError("template and format cannot both be set.")
        return self


class SeverityMap(StrictModel):
    """Severities of PagerDuty."""

    info: PagerDutySeverity = Field("info", description="Severity of info alerts.")
    warning: PagerDutySeverity = Field("warning", description="Severity of warning alerts.")
    critical: PagerDutySeverity = Field("critical", description="Severity of critical alerts.")


class PagerDutyNotifier(Receiver):
    """Events API v2 of PagerDuty."""

    enabled: Flag = Field(True, description="Whether this notifier is enabled.")
    routing_key_secret_ref: AlertSecretRef = Field(
        description="Secret with the integration key, by default under the key routingKey."
    )
    url: Url = Field("https://events.pagerduty.com/v2/enqueue", description="Address of the API.")
    severity_map: SeverityMap | None = Field(
        None, description="Severity of PagerDuty for each severity of alerts. Default: the same."
    )


class EmailNotifier(Receiver):
    """Messages by SMTP."""

    enabled: Flag = Field(True, description="Whether this notifier is enabled.")
    host: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]+$", max_length=253)] = Field(
        description="Name of the SMTP server."
    )
    port: Annotated[int, Field(strict=True, ge=1, le=65535)] | None = Field(
        None, description="Port of the server. Default: 587; 465 with tls: implicit."
    )
    tls: Literal["starttls", "implicit", "none"] = Field(
        "starttls",
        description="TLS: starttls (default; a server without it is an error), implicit, or none.",
    )
    ca_bundle: str = Field(
        "", description="Certificates in PEM format to trust. Default: those of the system."
    )
    from_: Address = Field(alias="from", description="Address of the sender.")
    to: Annotated[list[Address], Field(min_length=1, max_length=50)] = Field(
        description="Addresses of recipients."
    )
    username: str = Field("", description="User name. Empty: no login.")
    password_secret_ref: AlertSecretRef | None = Field(
        None, description="Secret with the password, by default under the key password."
    )

    @model_validator(mode="after")
    def _login_is_whole(self) -> EmailNotifier:
        if bool(self.username) != (self.password_secret_ref is not None):
            raise ValueError("username and passwordSecretRef must be set together.")
        if self.username and self.tls == "none":
            raise ValueError("a password is not sent without TLS: set tls to starttls or implicit.")
        return self


class AlertmanagerNotifier(Receiver):
    """API v2 of Alertmanager."""

    enabled: Flag = Field(True, description="Whether this notifier is enabled.")
    url: Url = Field(description="Address of Alertmanager, without /api/v2/alerts.")
    headers_secret_ref: AlertSecretRef | None = Field(
        None, description="Secret with headers, such as Authorization. Each key is a header."
    )
    resolve_after: Interval = Field(
        "25h", description="Time after which Alertmanager resolves an alert that was not sent again."
    )


class CustomNotifier(Receiver):
    """A notifier of a type that an installed package adds."""

    name: NotifierName = Field(description="Unique name.")
    type: EntryName = Field(description="Type of the notifier: the name that the package gives it.")
    options: dict[str, str] = Field(
        default_factory=dict, description="Options, which the package documents. Not for secrets."
    )
    secret_ref: AlertSecretRef | None = Field(
        None, description="Secret that the notifier needs, by default under the key token."
    )

    @model_validator(mode="after")
    def _has_a_name_of_its_own(self) -> CustomNotifier:
        if self.name in NAMED:
            raise ValueError(f"name must not be one of {', '.join(NAMED)}.")
        return self


class AlertRoute(StrictModel):
    """A route: which alerts are sent to which notifiers."""

    match: dict[str, str] = Field(
        default_factory=dict,
        description="Labels that the alert must have; * stands for any text. Empty: every alert.",
    )
    severities: list[Level] = Field(
        default_factory=list, description="Severities that the alert may have. Empty: all."
    )
    notifiers: list[Text] = Field(
        default_factory=list,
        description="Names of the webhooks and custom notifiers, or slack, pagerduty, email or alertmanager, that "
        "receive the alert.",
    )
    continue_: Flag = Field(False, alias="continue", description="Whether later routes are also evaluated.")


class Inhibition(StrictModel):
    """Alerts that are not sent while another one is active."""

    source: dict[str, str] = Field(description="Labels of the alert that is active.")
    target: dict[str, str] = Field(description="Labels of the alerts that are suppressed while it is active.")
    equal: list[Text] = Field(
        default_factory=list, description="Labels that must have the same value in both alerts."
    )


class AlertConfigSpec(StrictModel):
    """Alerts: which are sent, and to which notifiers."""

    enabled: Flag = Field(True, description="Whether alerts are sent.")
    default_severity: Level = Field(
        "warning", description="Severity of alerts that have no severity of their own."
    )
    slack: SlackNotifier | None = Field(None, description="Incoming webhook of Slack.")
    webhooks: list[WebhookNotifier] = Field(default_factory=list, description="HTTP requests.")
    pagerduty: PagerDutyNotifier | None = Field(None, description="Events API v2 of PagerDuty.")
    email: EmailNotifier | None = Field(None, description="Messages by SMTP.")
    alertmanager: AlertmanagerNotifier | None = Field(None, description="API v2 of Alertmanager.")
    custom: list[CustomNotifier] = Field(
        default_factory=list, description="Notifiers of types that installed packages add."
    )
    routes: list[AlertRoute] = Field(
        default_factory=list,
        description="Routes of alerts; the first route that matches is used. Empty: "
        "every alert is sent to every notifier.",
    )
    group_by: list[Text] = Field(
        default_factory=list,
        description="Labels by which alerts are grouped into messages, such as cluster. Empty: one message for "
        "all alerts.",
    )
    group_wait: Interval = Field(
        "30s", description="Time that the operator waits for more alerts before the first message of a group."
    )
    group_interval: Interval = Field(
        "5m", description="Minimum time between two messages of a group from the operator."
    )
    repeat_interval: Interval = Field(
        "4h", description="Time after which an alert that is still active is sent again."
    )
    inhibit: list[Inhibition] = Field(
        default_factory=list,
        description="Rules by which active alerts suppress others, in addition to the rule for unreachable clusters.",
    )


class NotifierStatus(StrictModel):
    """Status of one notifier."""

    last_alert_time: TimeStamp | None = Field(None, description="Time of the last alert that was sent.")
    alerts_sent: Count = Field(0, description="Number of alerts that were sent.")
    alerts_failed: Count = Field(0, description="Number of alerts that could not be sent.")
    last_error: str = Field("", description="Error of the last failure.")


class AlertConfigStatus(Observed):
    """Observed state of the alerts: what was sent."""

    last_alert_time: TimeStamp | None = Field(None, description="Time of the last alert that was sent.")
    alerts_sent: Count = Field(0, description="Number of alerts that were sent.")
    alerts_failed: Count = Field(0, description="Number of alerts that could not be sent.")
    active: Count = Field(0, description="Number of alerts that are active.")
    not_kept: Count = Field(
        0,
        description="Number of active alerts that did not fit into state; they are sent again by the next leader.",
    )
    state: str = Field(
        "",
        max_length=524288,
        description="Active alerts and what was sent to notifiers, for the next leader.",
    )
    notifier_status: dict[str, NotifierStatus] = Field(
        default_factory=dict, description="Status of each notifier, by name."
    )
