"""Messages by SMTP: plain text, over TLS unless the configuration says none, one thread for each group."""

from __future__ import annotations

import contextlib
import hashlib
import io
import smtplib
import socket
import ssl
import time
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime

from pytest_kspec.alerts import message
from pytest_kspec.alerts.alert import Fact, Level
from pytest_kspec.alerts.guard import Guard
from pytest_kspec.alerts.http import NotDelivered, Patience, tls_failed
from pytest_kspec.alerts.ledger import Notification
from pytest_kspec.alerts.routing import level_of
from pytest_kspec.alerts.sending import AlertSending
from pytest_kspec.crds.models.alertconfig import EmailNotifier
from pytest_kspec.measured import Deadline, Timed, TooSlow
from pytest_kspec.redaction.known import without
from pytest_kspec.redaction.text import redact
from pytest_kspec.shown import printable

_SHOWN = 200
_PORTS = {"implicit": 465}
LONGEST_SESSION = 256 << 10
"""Bytes of all replies to one message: a reply has any number of lines, all of which are kept."""


def deliver(sending: AlertSending) -> None:
    """Send it. Raises KspecError."""
    notifier = sending.notifier
    assert isinstance(notifier, EmailNotifier)
    ref = notifier.password_secret_ref
    password = sending.secrets.read(ref, "password") if ref else ""
    made = mail(sending.made, notifier, sending.default)
    send(made, notifier, password, sending.guard, sending.patience, sending.where)


def mail(made: Notification, notifier: EmailNotifier, default: Level) -> EmailMessage:
    """The message. Its id is the same where it is sent twice; replies belong to the first of its group."""
    domain = notifier.from_.rpartition("@")[2]
    found = EmailMessage(policy=SMTP)
    found["From"] = notifier.from_
    found["To"] = ", ".join(notifier.to)
    found["Subject"] = f"[kspec] {_subject(made, default)}"
    found["Date"] = format_datetime(datetime.fromisoformat(made.at))
    told = "\n".join(f"{fact.alert.id} {fact.state} {fact.token}" for fact in made.facts)
    digest = hashlib.sha256(told.encode()).hexdigest()[:16]
    found["Message-ID"] = f"<{made.key}.{digest}@{domain}>"
    found["References"] = f"<{made.key}@{domain}>"
    found["Auto-Submitted"] = "auto-generated"
    shown, left = message.listed(made)
    parts = [_part(fact, default) for fact in shown]
    if left:
        parts.append(f"{left} more are not listed.\n")
    found.set_content("\n".join(parts))
    return found


def _subject(made: Notification, default: Level) -> str:
    title = message.title(made)
    return f"{message.worst(made, default).value}: {title}" if made.firing else title


def _part(fact: Fact, default: Level) -> str:
    alert = fact.alert
    lines = [
        message.title_of(fact),
        f"  severity: {level_of(fact, default).value}; event: {fact.event}; since: {fact.started_at}",
        *(f"  {name}: {message.line(value)}" for name, value in alert.labels.items()),
    ]
    if fact.resolved_at:
        lines.append(f"  ended: {fact.resolved_at}")
    else:
        lines += [f"  {text}" for text in message.block(alert.description).splitlines()]
    return "\n".join(lines) + "\n"


def send(
    found: EmailMessage, notifier: EmailNotifier, password: str, guard: Guard, patience: Patience, where: str
) -> None:
    """Deliver it. Raises NotDelivered, NotAllowed."""
    for attempt in range(patience.retries + 1):
        try:
            _once(found, notifier, password, guard, patience, where)
            return
        except _Again as error:
            wait = min(30.0, 2.0**attempt)
            if attempt == patience.retries or time.monotonic() + wait > patience.deadline:
                raise NotDelivered(str(error), where=where) from None
            patience.sleep(wait)


class _TooLong(Exception):
    """Replies that have no end. No OSError, which smtplib would take for a connection that was closed."""


class _Replies(Deadline):
    """How long all replies may take, and how many bytes they may have."""

    _left = LONGEST_SESSION

    def take_raw(self, count: int) -> None:
        """Raises _TooLong."""
        self._left -= count
        if self._left < 0:
            raise _TooLong


class _Again(Exception):
    """What may succeed a moment later."""


def _once(
    found: EmailMessage, notifier: EmailNotifier, password: str, guard: Guard, patience: Patience, where: str
) -> None:
    port = notifier.port or _PORTS.get(notifier.tls, 587)
    address = guard.resolve(notifier.host, port, where)
    timeout_s = min(patience.timeout_s, patience.deadline - time.monotonic())
    if timeout_s <= 0:
        raise NotDelivered("the time limit ended before it could be sent.", where=where)
    context = (
        ssl.create_default_context(cadata=notifier.ca_bundle or None) if notifier.tls != "none" else None
    )
    try:
        kind = _Implicit if notifier.tls == "implicit" else _Plain
        server = kind(address, notifier.host, port, timeout_s, context)
        try:
            if notifier.tls == "starttls":
                if not server.has_extn("starttls"):
                    raise NotDelivered(
                        "the server does not offer STARTTLS.",
                        where=where,
                        fix="Set tls: implicit if its port uses TLS.",
                    )
                server.starttls(context=context)
                server.ehlo()
            if notifier.username:
                _log_in(server, notifier.username, password, where)
            refused = server.send_message(found)
            # What is answered to the farewell changes nothing: the message is there, and would be there twice.
            with contextlib.suppress(smtplib.SMTPException, OSError, TooSlow, _TooLong):
                server.quit()
        finally:
            server.close()
    except smtplib.SMTPResponseException as error:
        text = (
            error.smtp_error.decode("utf-8", "replace")
            if isinstance(error.smtp_error, bytes)
            else error.smtp_error
        )
        secrets = (password, f"\0{notifier.username}\0{password}") if password else ()
        shown = printable(redact(without(str(text), secrets, "…")))[:_SHOWN]
        what = f"the server answers {error.smtp_code}: {shown}"
        if 400 <= error.smtp_code < 500:
            raise _Again(f"{what.rstrip('.')}.") from None
        raise NotDelivered(f"{what.rstrip('.')}.", where=where) from None
    except smtplib.SMTPRecipientsRefused as error:
        codes = ", ".join(f"{name}: {code}" for name, (code, _) in error.recipients.items())
        raise NotDelivered(f"the server refuses the recipients ({codes}).", where=where) from None
    except ssl.SSLError as error:
        raise NotDelivered(tls_failed(error), where=where) from None
    except _TooLong:
        what = f"the replies of the server are longer than {LONGEST_SESSION >> 10} KiB."
        raise NotDelivered(what, where=where) from None
    except (smtplib.SMTPException, OSError, TooSlow) as error:
        raise _Again(f"the server does not answer ({type(error).__name__}).") from None
    if refused:
        raise NotDelivered(f"the server refuses {len(refused)} of the recipients.", where=where)


def _log_in(server: smtplib.SMTP, username: str, password: str, where: str) -> None:
    """Raises NotDelivered, and what smtplib does."""
    try:
        server.login(username, password)
    except UnicodeEncodeError:
        what = "the login failed: SMTP allows only ASCII characters in user name and password."
        raise NotDelivered(what, where=where) from None
    except ValueError:
        raise NotDelivered("the login failed: the server's challenge is not base64.", where=where) from None


class _Plain(smtplib.SMTP):
    """A connection to an address that was looked at; its certificate is compared with the name."""

    def __init__(
        self, address: str, host: str, port: int, timeout_s: float, context: ssl.SSLContext | None
    ) -> None:
        self._address = address
        self._tls = context
        self._deadline = _Replies(timeout_s)
        super().__init__(host, port, local_hostname="[127.0.0.1]", timeout=timeout_s)
        self.ehlo()

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        return socket.create_connection((self._address, port), timeout)

    def getreply(self) -> tuple[int, bytes]:
        """A reply has any number of lines, and each byte of it a timeout of its own."""
        if self.file is None and self.sock is not None:
            self.file = io.BufferedReader(
                Timed(self.sock.makefile("rb", buffering=0), self.sock, self._deadline)
            )
        try:
            return super().getreply()
        except (TooSlow, _TooLong):
            self.close()
            raise


class _Implicit(_Plain):
    """The same with TLS from the beginning."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        assert self._tls is not None
        return self._tls.wrap_socket(super()._get_socket(host, port, timeout), server_hostname=host)
