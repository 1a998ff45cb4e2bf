"""AlertConfig: who hears of what happens, and where secrets of theirs are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pytest_kspec.crds.models.base import Observed, SecretKeyRef, TimeStamp, Url
from pytest_kspec.spec.base import Count, Flag, SpecModel, Text

_EVENTS = "Events to send, such as ComplianceFailure or DriftDetected. Empty: all."


class SlackNotifier(SpecModel):
    """Incoming webhook of Slack."""

    enabled: Flag = Field(True, description="Whether this notifier is enabled.")
    webhook_url: Url | None = Field(
        None,
        alias="webhookURL",
        description="URL of the webhook. Anyone who can read this object can post messages with it.",
    )
    webhook_url_secret_ref: SecretKeyRef | None = Field(
        None,
        alias="webhookURLSecretRef",
        description="Secret with the URL, by default under the key url. Takes precedence over webhookURL.",
    )
    channel: str = Field("", description="Channel to post to. Default: the channel of the webhook.")
    username: str = Field("kspec-bot", description="User name that messages are posted as.")
    icon_emoji: str = Field(":shield:", description="Icon of that user name.")
    events: list[Text] = Field(default_factory=list, description=_EVENTS)

    @model_validator(mode="after")
    def _has_address(self) -> SlackNotifier:
        if self.enabled and self.webhook_url is None and self.webhook_url_secret_ref is None:
            raise ValueError("webhookURL or webhookURLSecretRef must be set.")
        return self


class WebhookNotifier(SpecModel):
    """An HTTP request for each alert."""

    name: Text = Field(description="Unique name.")
    url: Url | None = Field(None, description="Address.")
    url_secret_ref: SecretKeyRef | None = Field(
        None, description="Secret with the URL, by default under the key url. Takes precedence over url."
    )
    method: Literal["POST", "GET", "PUT", "PATCH"] = Field("POST", description="HTTP method.")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers.")
    headers_secret_ref: SecretKeyRef | None = Field(
        None,
        description="Secret with additional headers. Each key is a header; if `key` is set, only that one.",
    )
    template: str = Field("", description="Template of the request body. Empty: the alert as JSON.")
    events: list[Text] = Field(default_factory=list, description=_EVENTS)
    retry_attempts: Annotated[int, Field(strict=True, ge=0, le=10)] = Field(
        3, description="Number of retries of a failed request; 0 disables retries."
    )
    timeout_seconds: Annotated[int, Field(strict=True, ge=1, le=60)] = Field(
        10, description="Seconds, 1 to 60."
    )

    @model_validator(mode="after")
    def _has_address(self) -> WebhookNotifier:
        if self.url is None and self.url_secret_ref is None:
            raise ValueError("url or urlSecretRef must be set.")
        return self


class AlertRoute(SpecModel):
    """Which alerts go where."""

    match: dict[str, str] = Field(
        default_factory=dict, description="Labels that the alert must have. Empty: every alert."
    )
    notifiers: list[Text] = Field(
        default_factory=list, description="Names of the webhooks, or slack, that receive the alert."
    )
    continue_: Flag = Field(False, alias="continue", description="Whether later routes are also evaluated.")


class AlertConfigSpec(SpecModel):
    """Who hears of what."""

    enabled: Flag = Field(True, description="Whether alerts are sent.")
    default_severity: Literal["info", "warning", "critical"] = Field(
        "warning", description="Default severity of alerts."
    )
    slack: SlackNotifier | None = Field(None, description="Incoming webhook of Slack.")
    webhooks: list[WebhookNotifier] = Field(default_factory=list, description="HTTP requests.")
    routes: list[AlertRoute] = Field(
        default_factory=list,
        description="Routes of alerts; the first route that matches is used. Empty: "
        "every alert is sent to every notifier.",
    )


class NotifierStatus(SpecModel):
    """How one notifier does."""

    last_alert_time: TimeStamp | None = Field(None, description="Time of the last alert that was sent.")
    alerts_sent: Count = Field(0, description="Number of alerts that were sent.")
    alerts_failed: Count = Field(0, description="Number of alerts that could not be sent.")
    last_error: str = Field("", description="Error of the last failure.")


class AlertConfigStatus(Observed):
    """What was sent."""

    last_alert_time: TimeStamp | None = Field(None, description="Time of the last alert that was sent.")
    alerts_sent: Count = Field(0, description="Number of alerts that were sent.")
    alerts_failed: Count = Field(0, description="Number of alerts that could not be sent.")
    notifier_status: dict[str, NotifierStatus] = Field(
        default_factory=dict, description="Status of each notifier, by name."
    )
