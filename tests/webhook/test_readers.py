"""Who may read: what is remembered and for how long, what is not asked, and certificates in place of tokens."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_kspec.cluster.writing import readers as room
from pytest_kspec.cluster.writing.readers import REMEMBERED, WAITING, Readers
from pytest_kspec.cluster.writing.reviewing import User
from pytest_kspec.errors import AccessDenied, SourceUnavailable
from pytest_kspec.serving.rate import Rate
from pytest_kspec.webhook.app import Reading
from tests.controlplane.certificates import Authority
from tests.webhook.reviewing import forbid
from tests.webhook.running import Running, get, write_spec
from tests.webhook.test_reviews import RULE, policy, reviewer


class Access:
    """An API server that knows the token "alice", who may read /metrics, and counts what it is asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked: list[Any] = []
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()
        monkeypatch.setattr(room, "user_of", self.user_of)
        monkeypatch.setattr(room, "may_read", self.may_read)

    def do(self, action: Any) -> Any:
        return action(self)

    source = None

    def user_of(self, source: Any, token: Any, audiences: Any = ()) -> Any:
        assert self.gate.wait(30)
        self.asked.append((token, *audiences))
        if self.error is not None:
            raise self.error
        return User(token) if token in ("alice", "bob") else None

    def may_read(self, source: Any, user: Any, path: str) -> bool:
        return (user.username, path) == ("alice", "/metrics")


def bearer(token: Any) -> list[Any]:
    return [(b"accept", b"*/*"), (b"authorization", f"Bearer {token}".encode())]


def test_a_request_after_the_end_is_answered_and_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(monkeypatch)
    made = Readers(cast(Any, access))
    assert asyncio.run(made.judge(bearer("alice"), "/metrics")) == "may"
    made.close()
    assert asyncio.run(made.judge(bearer("alice"), "/metrics")) == "may"
    assert asyncio.run(made.judge(bearer("bob"), "/metrics")) == "unavailable"
    assert made.judge_now(bearer("bob"), "/metrics", 5) == "unavailable"
    assert access.asked == [("alice",)]


def test_an_answer_is_remembered_for_a_while_and_a_failure_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    access, clock = Access(monkeypatch), [0.0]
    made = Readers(cast(Any, access), lambda: clock[0], audience="kspec-webhook")

    def judge(token: Any, path: str = "/metrics") -> Any:
        return asyncio.run(made.judge(bearer(token), path))

    assert [judge("alice") for _ in range(5)] == ["may"] * 5
    assert len(access.asked) == 1
    assert judge("alice", "/policies") == judge("bob") == "forbidden"
    assert judge("mallory") == judge("mallory") == "unknown"
    assert access.asked[-2:] == [("mallory",), ("mallory", "kspec-webhook")]
    clock[0] += 61
    access.error = SourceUnavailable("away")
    assert judge("alice") == "unavailable"
    access.error = AccessDenied("no TokenReview for you")
    assert judge("alice") == "unavailable"
    access.error = None
    assert judge("alice") == "may"
    for number in range(REMEMBERED + 50):
        judge(f"guess-{number}")
    assert len(made._known) == REMEMBERED
    assert not any(b"alice" in key[0] for key in made._known)
    made.close()


def test_a_flood_of_guesses_asks_the_api_server_only_so_much_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    access = Access(monkeypatch)
    access.gate.clear()  # until all have asked
    made = Readers(cast(Any, access))

    async def flood() -> tuple[Any, Any]:
        same = asyncio.gather(*(made.judge(bearer("alice"), "/metrics") for _ in range(100)))
        others = asyncio.gather(*(made.judge(bearer(f"guess-{n}"), "/metrics") for n in range(100)))
        asyncio.get_running_loop().call_soon(access.gate.set)
        return await same, await others

    same, others = asyncio.run(flood())
    assert same == ["may"] * 100
    assert others.count("unavailable") == 100 - (WAITING - 1)
    assert access.asked.count(("alice",)) == 1
    made.close()


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"Bearer ")],
        [(b"authorization", b"alice")],
        [(b"authorization", b"Bearer \xff")],
    ],
)
def test_who_says_nothing_is_unknown_and_the_api_server_not_asked(
    monkeypatch: pytest.MonkeyPatch, headers: list[Any] | list[tuple[Any, ...]]
) -> None:
    access = Access(monkeypatch)
    made = Readers(cast(Any, access))
    assert asyncio.run(made.judge(headers, "/metrics")) == "unknown"
    assert access.asked == []
    made.close()


def test_by_certificate(tmp_path: Path) -> None:
    write_spec(tmp_path / "strict.yaml", forbid("hostNetwork"))
    (tmp_path / "other").mkdir()
    arguments = (str(tmp_path / "strict.yaml"), f"--self-signed={tmp_path / 'tls'}", "--cluster=none")
    server = Running(tmp_path, *arguments)
    try:
        server.wait_ready()
        status, text = server.read("/policies")
        assert (status, json.loads(text)["policies"][0]["id"]) == (200, "strict")
        assert server.read("/metrics")[0] == 200
        for client in (None, Authority(tmp_path / "other", "other").issue("mallory")):
            with pytest.raises((ssl.SSLError, OSError)):
                get(server.read_port, "/metrics", client)
        assert get(server.port, "/metrics")[0] == 404
    finally:
        server.stop()


def test_without_a_cluster_and_without_an_authority_nobody_is_told(tmp_path: Path) -> None:
    write_spec(tmp_path / "strict.yaml", forbid("hostNetwork"))
    arguments = (str(tmp_path / "strict.yaml"), f"--self-signed={tmp_path / 'tls'}", "--cluster=none")
    server = Running(tmp_path, *arguments, tokens=True)
    try:
        server.wait_ready()
        with pytest.raises(ConnectionRefusedError):
            get(server.read_port, "/metrics")
        assert "metrics and policies are not served" in server.log.read_text()
    finally:
        server.stop()


def test_one_client_may_read_so_often_whatever_its_headers_say() -> None:
    app = Reading(reviewer(policy(RULE)), Readers(None), Rate(1, 2, lambda: 0.0))
    statuses: list[int] = []

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    def read(address: Any, number: int) -> None:
        headers = [(b"x-forwarded-for", b"203.0.113.%d" % number)]
        scope = {
            "type": "http",
            "method": "GET",
            "path": "/metrics",
            "headers": headers,
            "client": (address, 1),
        }
        asyncio.run(app(scope, cast(Any, None), send))

    for number in range(4):
        read("198.51.100.1", number)
    read("198.51.100.2", 0)
    assert statuses == [200, 200, 429, 429, 200]
