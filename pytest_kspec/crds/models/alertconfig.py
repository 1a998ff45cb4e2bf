"""AlertConfig: who hears of what happens, and where secrets of theirs are."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from pytest_kspec.crds.models.base import Observed, SecretKeyRef, TimeStamp, Url
from pytest_kspec.spec.base import Count, Flag, SpecModel, Text

_EVENTS = "Events that are sent, such as ComplianceFailure or DriftDetected. Empty: all."


class SlackNotifier(SpecModel):
    """An incoming webhook of Slack."""

    enabled: Flag = Field(True, description="Whether it is used.")
    webhook_url: Url | None = Field(
        None, alias="webhookURL", description="Its address. Whoever can read this object can post with it."
    )
    webhook_url_secret_ref: SecretKeyRef | None = Field(
        None,
        alias="webhookURLSecretRef",
        description="Secret with its address, by default under the key url; counts before webhookURL.",
    )
    channel: str = Field("", description="Channel, if not the webhook's own.")
    username: str = Field("kspec-bot", description="Name that messages come from.")
    icon_emoji: str = Field(":shield:", description="Icon of that name.")
    events: list[Text] = Field(default_factory=list, description=_EVENTS)

    @model_validator(mode="after")
    def _has_address(self) -> SlackNotifier:
        if self.enabled and self.webhook_url is None and self.webhook_url_secret_ref is None:
            raise ValueError("it has no address: set webhookURL or webhookURLSecretRef.")
        return self


class WebhookNotifier(SpecModel):
    """An HTTP request for each alert."""

    name: Text = Field(description="What to call it; unique.")
    url: Url | None = Field(None, description="Address.")
    url_secret_ref: SecretKeyRef | None = Field(
        None, description="Secret with the address, by default under the key url; counts before url."
    )
    method: Literal["POST", "GET", "PUT", "PATCH"] = Field("POST", description="HTTP method.")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers.")
    headers_secret_ref: SecretKeyRef | None = Field(
        None, description="Secret with further headers: each key is a header, or `key` names one of them."
    )
    template: str = Field("", description="Template of the body. Empty: JSON of the alert.")
    events: list[Text] = Field(default_factory=list, description=_EVENTS)
    retry_attempts: Annotated[int, Field(strict=True, ge=0, le=10)] = Field(
        3, description="How often a failed request is repeated; 0: never."
    )
    timeout_seconds: Annotated[int, Field(strict=True, ge=1, le=60)] = Field(
        10, description="Seconds, 1 to 60."
    )

    @model_validator(mode="after")
    def _has_address(self) -> WebhookNotifier:
        if self.url is None and self.url_secret_ref is None:
            raise ValueError("it has no address: set url or urlSecretRef.")
        return self


class AlertRoute(SpecModel):
    """Which alerts go where."""

    match: dict[str, str] = Field(
        default_factory=dict, description="Labels of the alert with these values. Empty: every alert."
    )
    notifiers: list[Text] = Field(
        default_factory=list, description="Names of webhooks, or slack, that such an alert goes to."
    )
    continue_: Flag = Field(
        False, alias="continue", description="Whether later routes are looked at as well."
    )


class AlertConfigSpec(SpecModel):
    """Who hears of what."""

    enabled: Flag = Field(True, description="Whether anything is sent.")
    default_severity: Literal["info", "warning", "critical"] = Field(
        "warning", description="Severity of alerts that have none."
    )
    slack: SlackNotifier | None = Field(None, description="An incoming webhook of Slack.")
    webhooks: list[WebhookNotifier] = Field(default_factory=list, description="HTTP requests.")
    routes: list[AlertRoute] = Field(
        default_factory=list, description="Which alerts go where; the first that matches. Empty: all to all."
    )


class NotifierStatus(SpecModel):
    """How one notifier does."""

    last_alert_time: TimeStamp | None = Field(None, description="When it last sent something.")
    alerts_sent: Count = Field(0, description="Alerts that it sent.")
    alerts_failed: Count = Field(0, description="Alerts that it could not send.")
    last_error: str = Field("", description="Why not, the last time.")


class AlertConfigStatus(Observed):
    """What was sent."""

    last_alert_time: TimeStamp | None = Field(None, description="When something was last sent.")
    alerts_sent: Count = Field(0, description="Alerts that were sent.")
    alerts_failed: Count = Field(0, description="Alerts that could not be sent.")
    notifier_status: dict[str, NotifierStatus] = Field(
        default_factory=dict, description="Each notifier, by name."
    )
