"""What a type of notifier is given to send one message, ours and those of installed packages alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pytest_kspec.alerts import http, message
from pytest_kspec.alerts.alert import Level
from pytest_kspec.alerts.guard import Guard
from pytest_kspec.alerts.ledger import Notification
from pytest_kspec.alerts.secrets import Secrets
from pytest_kspec.crds.models.alertconfig import AlertSecretRef, CustomNotifier, Receiver
from pytest_kspec.errors import SourceError
from pytest_kspec.proxies import parse_endpoint


@dataclass(frozen=True)
class AlertSending:
    """One message on its way to one notifier.

    Authors of notifiers use `document`, `options`, `secret` and `post`; the rest is internal.
    """

    made: Notification
    notifier: Receiver
    default: Level
    secrets: Secrets
    guard: Guard
    patience: http.Patience
    where: str

    @property
    def document(self) -> dict[str, Any]:
        """The message as plain data, in the format `kspec` of webhooks."""
        return message.whole(self.made, self.default)

    @property
    def options(self) -> Mapping[str, str]:
        """`options` of the notifier, as the user wrote them."""
        return self.notifier.options if isinstance(self.notifier, CustomNotifier) else {}

    def secret(self) -> str:
        """What `secretRef` of the notifier names, by default under the key `token`; "" without one.

        Raises KspecError where it cannot be read.
        """
        ref = self.notifier.secret_ref if isinstance(self.notifier, CustomNotifier) else None
        return self.secrets.read(ref, "token") if ref is not None else ""

    def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, secrets: tuple[str, ...] = ()
    ) -> None:
        """Send an HTTP request: bounded in time and size, with the retries of the notifier, redirects not followed,
        and only to addresses that alerts may go to.

        secrets: texts that no error may show; the answer may repeat them
        Raises SourceError where it was not accepted, which is what a notifier raises.
        """
        self.send(http.Request(address(url, self.where), body, headers, secrets=secrets))

    def send(self, request: http.Request) -> None:
        """As `post`, for our own notifiers."""
        http.send(request, self.guard, self.patience, self.where)

    def url(self, ref: AlertSecretRef | None, given: object) -> str:
        """The URL of a Secret, or the one that the configuration has. Raises SourceError that shows nothing of it."""
        return address(self.secrets.read(ref, "url") if ref is not None else str(given), self.where)


def address(url: str, where: str) -> str:
    """A URL that no model looked at. Raises SourceError that shows nothing of it."""
    try:
        parse_endpoint(url, ("http", "https"))
    except ValueError as error:
        raise SourceError(f"its URL cannot be used: {error}.", where=where) from None
    return url
