"""Registries, receivers of alerts and stores of secrets that never come to the end of an answer: each byte in time.

What is tried is what bounds of the body do not see: status line, headers, interim answers, trailers. Whoever may create
a pod chooses a registry.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage

import pytest

from pytest_kspec.alerts.guard import Guard
from pytest_kspec.alerts.http import NotDelivered, Patience, Request, send
from pytest_kspec.alerts.receivers import email
from pytest_kspec.crds.models.alertconfig import EmailNotifier
from pytest_kspec.errors import SourceError, SourceUnavailable
from pytest_kspec.kube.images import parse_image
from pytest_kspec.secretstores.aws import SecretsManager
from pytest_kspec.secretstores.reference import Reference
from pytest_kspec.secretstores.vault import Vault
from pytest_kspec.signatures.credentials import DockerConfig
from pytest_kspec.signatures.http import Patience as RegistryPatience
from pytest_kspec.signatures.registry import Registry
from tests.cluster.api import Api, Reply
from tests.hostile import acts

BOUND_S = 0.5
LONG_S = 60.0
"""Beyond what any machine needs, and far below what these answers take."""

ANSWERS: dict[str, Reply] = {
    **{f"slow {name}": reply for name, reply in acts.SLOW.items()},
    **{name: acts.WITHOUT_END[name] for name in ("interim answers", "trailers", "gzip members")},
}


def registry(api: Api) -> None:
    patience = RegistryPatience(total_s=BOUND_S, retries=1, backoff_s=0.01)
    made = Registry(DockerConfig({"HOME": "/nonexistent"}), patience)
    try:
        made.manifest(parse_image(f"{api.url.removeprefix('http://')}/team/app"), "v1")
    finally:
        made.close()


def receiver(api: Api) -> None:
    send(
        Request(f"{api.url}/x", b"{}", {}), Guard(), Patience(1, BOUND_S, time.monotonic() + 2 * BOUND_S), "x"
    )


def vault(api: Api) -> None:
    Vault({"VAULT_ADDR": api.url, "VAULT_TOKEN": "t"}).read(Reference("vault", "a/b", key="k"))


def aws(api: Api) -> None:
    SecretsManager().read(Reference("aws", "a", key="k"))


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_kspec.secretstores.vault.TIMEOUT_S", BOUND_S)
    monkeypatch.setattr("pytest_kspec.secretstores.aws._READ_S", BOUND_S)
    for name, value in {
        "AWS_ACCESS_KEY_ID": "AKIATESTS",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_REGION": "eu-central-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)


def outcome(ask: Callable[[], None]) -> BaseException | None:
    """What became of it; a test that hangs fails, and does not hang."""
    found: list[BaseException | None] = []

    def run() -> None:
        try:
            ask()
        except BaseException as error:  # noqa: BLE001 - it is what is asked for
            found.append(error)
        else:
            found.append(None)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(LONG_S)
    assert found, "it waits still"
    return found[0]


@pytest.mark.parametrize("ask", [registry, receiver, vault, aws])
@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_without_an_end_is_given_up(
    answer: str, ask: Callable[[Api], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with Api({}) as api:
        monkeypatch.setattr(api, "reply", lambda request: ANSWERS[answer])
        monkeypatch.setenv("AWS_ENDPOINT_URL", api.url)
        error = outcome(lambda: ask(api))
    if error is None:  # a receiver whose status is there has taken the message
        assert ask is receiver
        assert answer in ("slow body", "slow chunks", "gzip members", "trailers")
    else:
        assert isinstance(error, SourceError), error


@pytest.fixture
def proxied(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Reply], None]]:
    """A proxy of the environment that answers so."""
    with Api({}) as api:
        for name in ("HTTPS_PROXY", "https_proxy"):
            monkeypatch.setenv(name, api.url)

        def answer(reply: Reply) -> None:
            monkeypatch.setattr(api, "reply", lambda request: reply)

        yield answer


@pytest.mark.parametrize(
    "ask",
    [
        lambda: vault_at("https://vault.example.com"),
        lambda: send(
            Request("https://hooks.example.com/x", b"{}", {}),
            Guard(),
            Patience(0, BOUND_S, time.monotonic() + BOUND_S),
            "x",
        ),
    ],
)
def test_a_proxy_that_never_answers_is_given_up(
    ask: Callable[[], None], proxied: Callable[[Reply], None]
) -> None:
    proxied(acts.SLOW["header"])
    assert isinstance(outcome(ask), SourceUnavailable | NotDelivered)


def vault_at(address: str) -> None:
    Vault({"VAULT_ADDR": address, "VAULT_TOKEN": "t"}).read(Reference("vault", "a/b", key="k"))


@pytest.mark.parametrize(
    ("block", "pause_s", "said"),
    [
        (b"220-hello\r\n" * 1000, 0.0, "longer than 256 KiB"),
        (b"2", 0.05, "does not answer"),
        (b"220-x\r\n", 0.05, "does not answer"),
    ],
)
def test_a_mail_server_that_never_stops_greeting(block: bytes, pause_s: float, said: str) -> None:
    notifier = EmailNotifier.model_validate(
        {"from": "a@example.com", "to": ["b@example.com"], "host": "127.0.0.1", "tls": "none"}
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            connection, _ = listening.accept()
            with connection, contextlib.suppress(OSError):
                while True:
                    connection.sendall(block)
                    time.sleep(pause_s)

        threading.Thread(target=greet, daemon=True).start()
        there = notifier.model_copy(update={"port": listening.getsockname()[1]})
        patience = Patience(0, BOUND_S, time.monotonic() + LONG_S)
        error = outcome(lambda: email.send(EmailMessage(), there, "", Guard(), patience, "mail"))
    assert isinstance(error, NotDelivered)
    assert said in str(error)
