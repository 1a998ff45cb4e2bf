"""Real receivers: an SMTP server with STARTTLS, and Alertmanager."""

from __future__ import annotations

import contextlib
import json
import shutil
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from pytest_kspec.alerts.alert import Fact
from pytest_kspec.alerts.deliver import deliver_all
from pytest_kspec.alerts.guard import Guard
from pytest_kspec.alerts.ledger import Notification, stamp
from pytest_kspec.alerts.secrets import Referenced
from pytest_kspec.secretstores.stores import Secrets
from tests.alerts.conftest import EVIL, alert, firing, notification, plan, resolved
from tests.alerts.receiving import http_receiver
from tests.controlplane.certificates import Authority
from tests.controlplane.process import Process, free_port

PROGRAM = "prometheus-alertmanager"
PASSWORD = "s3cr3t/p@ss word"


class Mailbox:
    """What arrived. refuse: an answer to RCPT instead."""

    def __init__(self) -> None:
        self.mails: list[tuple[bool, list[str], str]] = []
        self.refuse = ""
        self.port = 0

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.refuse:
            return self.refuse
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        secure = session.ssl is not None
        self.mails.append((secure, envelope.rcpt_tos, envelope.content.decode("utf-8", "replace")))
        return "250 OK"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def mailbox(authority: Authority, tmp_path: Path) -> Iterator[Mailbox]:
    """A server that takes mail over STARTTLS only, from one user."""
    pair = authority.issue("mail")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    made = Mailbox()

    def check(server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        right = (data.login, data.password) == (b"kspec", PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    controller = Controller(
        made,
        hostname="127.0.0.1",
        port=free_port(),
        tls_context=context,
        require_starttls=True,
        authenticator=check,
        auth_required=True,
    )
    controller.start()
    made.port = controller.port
    try:
        yield made
    finally:
        controller.stop()


def send(spec: dict[str, Any], *facts: Fact, within_s: float = 20) -> str:
    """What went wrong, or ""."""
    to = plan(**spec)
    (name,) = [route.name for route in to.receivers]
    (sent,) = deliver_all(
        [notification(*facts, receiver=name)],
        to,
        Referenced(Secrets()),
        Guard(),
        within_s=within_s,
        on_delivered=lambda _: None,
    )
    return sent.problem


def mail(mailbox: Mailbox, authority: Authority, **more: Any) -> dict[str, Any]:
    return {
        "email": {
            "host": "localhost",
            "port": mailbox.port,
            "caBundle": authority.bundle.decode(),
            "from": "kspec@example.com",
            "to": ["oncall@example.com", "lead@example.com"],
            "username": "kspec",
            "passwordSecretRef": {"env": "MAIL_PASSWORD"},
            "retryAttempts": 0,
            **more,
        }
    }


def test_mail_goes_over_starttls_and_after_a_login(
    mailbox: Mailbox, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    assert send(mail(mailbox, authority), firing(level="critical"), resolved(about="b")) == ""
    ((secure, recipients, text),) = mailbox.mails
    assert (secure, recipients) == (True, ["oncall@example.com", "lead@example.com"])
    assert "Subject: [kspec] critical: 1 active, 1 resolved on prod-eu" in text
    assert "images is not met on prod-eu" in text
    assert "Resolved: b is not met on prod-eu" in text


def test_a_wrong_password_is_an_error_that_does_not_show_it(
    mailbox: Mailbox, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", "wr0ng-passw0rd")
    said = send(mail(mailbox, authority), firing())
    assert said.startswith("the notifier email: the server answers 535")
    assert "wr0ng" not in said
    assert mailbox.mails == []


def test_a_certificate_that_is_not_trusted_ends_it(
    mailbox: Mailbox, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    said = send(mail(mailbox, authority, caBundle=""), firing())
    assert said.startswith("the notifier email: its certificate is not valid: ")
    assert "certificate in certificate chain" in said or "local issuer" in said
    assert mailbox.mails == []


def test_a_server_that_refuses_recipients_is_named(
    mailbox: Mailbox, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAIL_PASSWORD", PASSWORD)
    mailbox.refuse = "550 no such user"
    assert "refuses the recipients (oncall@example.com: 550" in send(mail(mailbox, authority), firing())


@pytest.mark.parametrize("begin", [b"220-", b"220 here\r\n250-"], ids=["banner", "ehlo"])
def test_a_server_that_does_not_stop_talking_is_given_up(begin: bytes) -> None:
    """All lines of a reply are kept until its last one: a gigabyte in ten seconds."""
    server = socket.create_server(("127.0.0.1", 0))
    sent = 0

    def talk() -> None:
        nonlocal sent
        connection, _ = server.accept()
        with server, connection, contextlib.suppress(OSError):
            connection.sendall(begin + b"x\r\n")
            while sent < 200 << 20:
                sent += connection.send((begin[-4:] + b"x" * 4000 + b"\r\n") * 100)

    talking = threading.Thread(target=talk, daemon=True)
    talking.start()
    to = {"host": "127.0.0.1", "port": server.getsockname()[1], "tls": "none", "retryAttempts": 0}
    said = send({"email": {**to, "from": "kspec@example.com", "to": ["oncall@example.com"]}}, firing())
    assert said == "the notifier email: the replies of the server are longer than 256 KiB."
    talking.join(20)
    assert sent < 100 << 20  # beside what the kernel holds


ODD_LOGINS = [
    ("CRAM-MD5", b"334 !!!!x", "passw0rd", "the server's challenge is not base64."),
    ("PLAIN", b"535 no", "pässw0rd", "SMTP allows only ASCII characters in user name and password."),
    ("CRAM-MD5", b"334 VXNlcg==", "пароль", "SMTP allows only ASCII characters in user name and password."),
]


@pytest.mark.parametrize(("method", "answer", "password", "what"), ODD_LOGINS)
def test_a_login_that_cannot_be_is_an_error_of_this_notifier(
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    answer: bytes,
    password: str,
    what: str,
) -> None:
    """A challenge that is none, and characters that the method does not have: neither is an error of kspec."""
    monkeypatch.setenv("MAIL_PASSWORD", password)
    pair = authority.issue("mail")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    server = socket.create_server(("127.0.0.1", 0))

    def talk() -> None:
        with server, contextlib.suppress(OSError):
            connection, _ = server.accept()
            with context.wrap_socket(connection, server_side=True) as secure, secure.makefile("rwb") as lines:
                lines.write(b"220 here\r\n")
                lines.flush()
                for line in lines:
                    hello = b"250-here\r\n250 AUTH " + method.encode()
                    lines.write((hello if line.upper().startswith(b"EHLO") else answer) + b"\r\n")
                    lines.flush()

    threading.Thread(target=talk, daemon=True).start()
    to = {"host": "localhost", "port": server.getsockname()[1], "tls": "implicit", "retryAttempts": 0}
    more = {"caBundle": authority.bundle.decode(), "from": "kspec@example.com", "to": ["a@example.com"]}
    login = {"username": "kspec", "passwordSecretRef": {"env": "MAIL_PASSWORD"}}
    said = send({"email": {**to, **more, **login}}, firing(), within_s=10)
    assert said == f"the notifier email: the login failed: {what}"


def test_a_message_that_was_taken_is_not_sent_again_for_the_farewell() -> None:
    taken: list[bytes] = []
    server = socket.create_server(("127.0.0.1", 0))

    def talk() -> None:
        with server, contextlib.suppress(OSError):
            connection, _ = server.accept()
            with connection, connection.makefile("rwb") as lines:
                lines.write(b"220 here\r\n")
                lines.flush()
                for line in lines:
                    word = line[:4].upper()
                    if word == b"DATA":
                        lines.write(b"354 go on\r\n")
                        lines.flush()
                        taken.append(b"".join(iter(lines.readline, b".\r\n")))
                    lines.write(b"421 too many\r\n" if word == b"QUIT" else b"250 yes\r\n")
                    lines.flush()

    threading.Thread(target=talk, daemon=True).start()
    to = {"host": "127.0.0.1", "port": server.getsockname()[1], "tls": "none", "retryAttempts": 1}
    assert send({"email": {**to, "from": "kspec@example.com", "to": ["oncall@example.com"]}}, firing()) == ""
    assert len(taken) == 1


def test_without_starttls_nothing_is_sent() -> None:
    plain = Mailbox()
    controller = Controller(plain, hostname="127.0.0.1", port=free_port())
    controller.start()
    try:
        server = {
            "host": "127.0.0.1",
            "port": controller.port,
            "from": "a@example.com",
            "to": ["b@example.com"],
        }
        assert "does not offer STARTTLS" in send({"email": {**server, "retryAttempts": 0}}, firing())
        assert plain.mails == []
        assert send({"email": {**server, "tls": "none"}}, firing()) == ""
        assert len(plain.mails) == 1
    finally:
        controller.stop()


def test_a_certificate_of_a_web_server_that_is_not_trusted_is_named(authority: Authority) -> None:
    pair = authority.issue("hook")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(pair.certificate, pair.key)
    with http_receiver(context) as receiver:
        hook = {"name": "hook", "url": f"https://localhost:{receiver.port}/", "retryAttempts": 0}
        said = send({"webhooks": [hook]}, firing())
        assert said.startswith("the notifier hook: its certificate is not valid: ")
        assert receiver.requests == []


@contextmanager
def alertmanager_at(folder: Path) -> Iterator[str]:
    """A real one, with `am.yml` of the folder; its URL."""
    program = shutil.which(PROGRAM)
    assert program is not None, f"No Alertmanager: apt-get install {PROGRAM}."
    config = folder / "am.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    url = f"http://127.0.0.1:{free_port()}"
    words = [f"--config.file={config}", f"--storage.path={folder}/data", "--cluster.listen-address="]
    process = Process(
        "alertmanager", [program, *words, f"--web.listen-address={url.removeprefix('http://')}"], folder
    )
    process.start()
    try:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{url}/-/ready", timeout=5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield url
    finally:
        process.stop()


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """A real one; its URL."""
    with alertmanager_at(tmp_path) as url:
        yield url


def active(url: str) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{url}/api/v2/alerts?active=true", timeout=10) as answer:
        found: list[dict[str, Any]] = json.load(answer)
        return found


def test_alertmanager_opens_and_resolves(alertmanager: str) -> None:
    now = datetime.now(UTC)
    fact = Fact(
        alert(cluster=EVIL, cluster_id="uid-1", title=EVIL, level="critical"),
        stamp(now - timedelta(minutes=2)),
    )
    spec: dict[str, Any] = {"alertmanager": {"url": alertmanager}}
    to = plan(**spec)

    def post(*facts: Fact) -> str:
        ours = tuple(one for one in facts if not one.resolved_at)
        ended = tuple(one for one in facts if one.resolved_at)
        made = Notification("alertmanager", "k" * 32, {}, ours, ended, stamp(now))
        (sent,) = deliver_all(
            [made], to, Referenced(Secrets()), Guard(), within_s=20, on_delivered=lambda _: None
        )
        return sent.problem

    assert post(fact) == ""
    (found,) = active(alertmanager)
    assert (found["labels"]["alertname"], found["labels"]["severity"]) == (
        "KSpecComplianceFailure",
        "critical",
    )
    assert found["status"]["state"] == "active"
    assert post(fact) == ""
    assert len(active(alertmanager)) == 1, "the same alert"
    assert post(replace(fact, resolved_at=stamp(now - timedelta(minutes=1)))) == ""
    assert active(alertmanager) == []
