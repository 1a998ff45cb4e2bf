"""Delivery over HTTP: what is repeated and when, what is never followed, and what is shown of an answer."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pytest_kspec.alerts.deliver import deliver_all
from pytest_kspec.alerts.guard import ALLOW, Guard, NotAllowed, guard_of_environment
from pytest_kspec.alerts.http import NotDelivered, Patience, Request, send
from pytest_kspec.alerts.secrets import Referenced
from pytest_kspec.errors import KspecError, UsageError
from pytest_kspec.secretstores.stores import Secrets
from tests.alerts.conftest import firing, notification, plan
from tests.alerts.receiving import HttpReceiver, Received, Reply

GUARD = Guard()
SECRET = "s3cr3t-value-1"


class Clock:
    """Notes how long is waited, and waits not."""

    def __init__(self) -> None:
        self.waits: list[float] = []

    def __call__(self, seconds: float) -> None:
        self.waits.append(seconds)


def patience(retries: int = 3, *, total: float = 60.0, clock: Clock | None = None) -> Patience:
    return Patience(retries, 5.0, time.monotonic() + total, clock or Clock())


def request(receiver: HttpReceiver, path: str = f"/services/{SECRET}") -> Request:
    return Request(f"{receiver.url}{path}", b"{}", {}, secrets=(f"{receiver.url}{path}", SECRET))


def answers(*replies: Reply) -> Callable[[Received], Reply]:
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_what_may_succeed_is_repeated(receiver: HttpReceiver, status: int) -> None:
    receiver.answer = answers(Reply(status), Reply(status), Reply())
    send(request(receiver), GUARD, patience(), "slack")
    assert len(receiver.requests) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 413, 501])
def test_what_cannot_succeed_is_not(receiver: HttpReceiver, status: int) -> None:
    receiver.answer = answers(Reply(status, b"invalid_payload"))
    with pytest.raises(NotDelivered, match=f"HTTP {status}: invalid_payload"):
        send(request(receiver), GUARD, patience(), "slack")
    assert len(receiver.requests) == 1


def test_retries_are_counted_and_none_are_possible(receiver: HttpReceiver) -> None:
    receiver.answer = answers(Reply(500))
    for retries in (0, 2):
        receiver.requests.clear()
        with pytest.raises(NotDelivered):
            send(request(receiver), GUARD, patience(retries), "slack")
        assert len(receiver.requests) == retries + 1


def test_retry_after_is_honoured_to_the_second(receiver: HttpReceiver) -> None:
    receiver.answer = answers(Reply(429, headers={"Retry-After": "7"}), Reply())
    clock = Clock()
    send(request(receiver), GUARD, patience(clock=clock), "slack")
    assert clock.waits == [pytest.approx(7.0)]


def test_a_wait_that_is_too_long_is_an_error_at_once(receiver: HttpReceiver) -> None:
    receiver.answer = answers(Reply(429, b"rate_limited", {"Retry-After": "3600"}))
    clock = Clock()
    with pytest.raises(NotDelivered, match="It requests a delay of 3600 s") as caught:
        send(request(receiver), GUARD, patience(clock=clock), "slack")
    assert (caught.value.again_s, clock.waits, len(receiver.requests)) == (3600, [], 1)


@pytest.mark.parametrize(
    "text",
    [
        "soon",
        "-1",
        "",
        "Wed, 99 Foo 2026",
        f"Thu, 01 Jan 2026 00:00:00 +{'9' * 20}",
        f"1 Jan {'9' * 20} 00:00:00",
    ],
)
def test_an_odd_retry_after_is_none(receiver: HttpReceiver, text: str) -> None:
    receiver.answer = answers(Reply(503, headers={"Retry-After": text}), Reply())
    send(request(receiver), GUARD, patience(), "slack")
    assert len(receiver.requests) == 2


@pytest.mark.parametrize("text", ["9" * 400, "31536000", "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_a_receiver_cannot_ask_never_to_be_told_again(receiver: HttpReceiver, text: str) -> None:
    receiver.answer = answers(Reply(503, headers={"Retry-After": text}))
    with pytest.raises(NotDelivered, match="It requests a delay of 86400 s") as caught:
        send(request(receiver), GUARD, patience(), "slack")
    assert caught.value.again_s == 86_400


def speaking(answer: bytes) -> tuple[int, list[bytes]]:
    """The port of a server that says this to each client, and what it was asked."""
    server = socket.create_server(("127.0.0.1", 0))
    asked: list[bytes] = []

    def serve() -> None:
        with server, contextlib.suppress(TimeoutError):
            server.settimeout(10)
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    asked.append(connection.recv(65536))
                    connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    return server.getsockname()[1], asked


CUT = [
    b"Content-Length: 100\r\n\r\nok",
    b"Transfer-Encoding: chunked\r\n\r\n5\r\nok",
    b"Transfer-Encoding: chunked\r\n\r\nno number\r\nok",
]


@pytest.mark.parametrize("rest", CUT)
def test_a_message_that_was_taken_is_not_sent_again_for_the_rest_of_the_answer(rest: bytes) -> None:
    port, asked = speaking(b"HTTP/1.1 202 Accepted\r\n" + rest)
    send(Request(f"http://127.0.0.1:{port}/", b"{}", {}), GUARD, patience(1), "hook")
    assert len(asked) == 1


def test_what_came_of_a_refusal_is_shown() -> None:
    port, _ = speaking(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 100\r\n\r\nno such team")
    with pytest.raises(NotDelivered, match="it answers with HTTP 403: no such team"):
        send(Request(f"http://127.0.0.1:{port}/", b"{}", {}), GUARD, patience(1), "hook")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_never_followed(receiver: HttpReceiver, status: int) -> None:
    receiver.answer = answers(Reply(status, headers={"Location": f"{receiver.url}/inside"}))
    with pytest.raises(NotDelivered, match="redirects"):
        send(request(receiver), GUARD, patience(), "slack")
    assert [one.path for one in receiver.requests] == [f"/services/{SECRET}"]


def test_an_answer_is_shown_on_one_line_without_secrets(receiver: HttpReceiver) -> None:
    body = f"no such hook {receiver.url}/services/{SECRET}\n::error::x \x1b[31m token={SECRET}".encode()
    receiver.answer = answers(Reply(404, body + b"x" * 500))
    with pytest.raises(NotDelivered) as caught:
        send(request(receiver), GUARD, patience(), "slack")
    said = str(caught.value)
    assert SECRET not in said
    assert "\n" not in said
    assert "\x1b" not in said
    assert len(said) < 400


def test_no_part_of_its_url_is_shown_where_a_receiver_repeats_it(receiver: HttpReceiver) -> None:
    """Slack answers with the path, others with what they decoded of it."""
    path = "/services/T0A1B2C3/B9Z8Y7X6/XyZ%2Fabc-DEF?key=q-u-e-r-y"
    given = Request(f"{receiver.url}{path}", b"{}", {})
    for echo in ("XyZ/abc-DEF", "xyz%2fabc-def", "T0A1B2C3", "q-u-e-r-y", given.url):
        receiver.answer = answers(Reply(403, f"no_team: {echo}".encode()))
        with pytest.raises(NotDelivered) as caught:
            send(given, GUARD, patience(), "slack")
        assert caught.value.what == "it answers with HTTP 403: no_team: …."


def test_a_server_that_is_not_there_is_asked_again_and_named(receiver: HttpReceiver) -> None:
    clock = Clock()
    gone = Request("http://127.0.0.1:1/x", b"", {})
    with pytest.raises(NotDelivered, match="hook: it does not answer"):
        send(gone, GUARD, patience(2, clock=clock), "hook")
    assert len(clock.waits) == 2


INWARD = [
    *("169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "0.0.0.0", "[::]", "224.0.0.1", "[fe80::1]"),
    *("[::ffff:169.254.169.254]", "[64:ff9b::a9fe:a9fe]", "[2002:a9fe:a9fe::1]", "2852039166", "0xa9fea9fe"),
    *("169.254.43518", "0251.0376.0251.0376", "168.63.129.16", "[fd20:ce::254]", "[::169.254.169.254]"),
    *("[64:ff9b:1::a9fe:a9fe]", "[2001:0:4136:e378:8000:63bf:5601:5601]", "[::ffff:0:169.254.169.254]"),
]  # fmt: skip


@pytest.mark.parametrize("host", INWARD)
def test_addresses_of_this_machine_and_its_cloud_are_refused(host: str) -> None:
    with pytest.raises(NotAllowed):
        send(Request(f"http://{host}/latest", b"", {}), GUARD, patience(0), "hook")


WRITTEN = ["169.254.169.254.", "%31%36%39.254.169.254", "169.254.169.254%2e", "%2531%36%39.254.169.254"]
"""What urllib3, or a proxy, would read as an address."""


@pytest.mark.parametrize("host", INWARD + WRITTEN)
def test_a_proxy_is_not_asked_for_them_either(
    host: str, receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, receiver.url)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(KspecError) as caught:
        send(Request(f"http://{host}/latest", b"", {}), GUARD, patience(0), "hook")
    assert isinstance(caught.value, NotAllowed) or "must not contain '%'" in str(caught.value)
    assert receiver.requests == []


def test_loopback_is_refused_where_others_write_the_configuration(receiver: HttpReceiver) -> None:
    for host in ("127.0.0.1", "localhost", "127.1", "[::ffff:127.0.0.1]"):
        with pytest.raises(KspecError):
            send(Request(f"http://{host}:{receiver.port}/", b"", {}), Guard(False), patience(0), "hook")
    assert receiver.requests == []


def test_networks_are_allowed_by_who_runs_kspec(
    receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ALLOW, "127.0.0.0/8, fd00::/8")
    send(request(receiver), guard_of_environment(loopback=False), patience(), "hook")
    monkeypatch.setenv(ALLOW, "everything")
    with pytest.raises(UsageError, match="'everything' is not a network"):
        guard_of_environment(loopback=False)


def test_a_name_is_resolved_once_and_the_connection_goes_there(
    receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the second answer would lead inward."""
    asked: list[str] = []
    really = socket.getaddrinfo

    def resolve(host: str, port: int, *more: Any, **named: Any) -> list[Any]:
        if host == "127.0.0.1":
            return really(host, port, *more, **named)
        asked.append(host)
        inward = "169.254.169.254" if len(asked) > 1 else "127.0.0.1"
        return [(2, 1, 6, "", (inward, port))]

    monkeypatch.setattr("pytest_kspec.alerts.guard.socket.getaddrinfo", resolve)
    url = f"http://hooks.example:{receiver.port}/x"
    send(Request(url, b"", {}), GUARD, patience(0), "hook")
    assert asked == ["hooks.example"]
    assert receiver.requests[0].headers["host"] == f"hooks.example:{receiver.port}"


def test_one_address_inward_among_others_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(2, 1, 6, "", ("93.184.216.34", 80)), (2, 1, 6, "", ("169.254.169.254", 80))]
    monkeypatch.setattr("pytest_kspec.alerts.guard.socket.getaddrinfo", lambda *_, **__: both)
    with pytest.raises(NotAllowed):
        GUARD.resolve("hooks.example", 80, "hook")


def test_a_receiver_that_hangs_delays_no_other(receiver: HttpReceiver) -> None:
    receiver.answer = lambda one: Reply(0) if one.path == "/slow" else Reply()
    hooks = [
        {"name": "slow", "url": f"{receiver.url}/slow", "timeoutSeconds": 60, "retryAttempts": 10},
        *({"name": f"fast{n}", "url": f"{receiver.url}/fast"} for n in range(3)),
    ]
    to = plan(webhooks=hooks)
    made = [notification(firing(), receiver=route.name) for route in to.receivers]
    done: list[str] = []
    sent = deliver_all(
        made,
        to,
        Referenced(Secrets()),
        GUARD,
        within_s=1.5,
        on_delivered=lambda one: done.append(one.made.receiver),
    )
    assert sorted(done) == ["fast0", "fast1", "fast2"]
    assert next(one.problem for one in sent if one.problem).startswith("the notifier slow: ")


def test_no_receiver_is_sent_the_secret_of_another(
    receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("HOOK_A", f"{receiver.url}/a-{SECRET}")
    headers = tmp_path / "headers"
    headers.write_text("Authorization: Bearer b-secret\nX-Team: ops\n")
    to = plan(
        webhooks=[
            {"name": "a", "urlSecretRef": {"env": "HOOK_A"}},
            {"name": "b", "url": f"{receiver.url}/b", "headersSecretRef": {"file": str(headers)}},
        ]
    )
    made = [notification(firing(), receiver=name) for name in "ab"]
    deliver_all(made, to, Referenced(Secrets()), GUARD, within_s=20, on_delivered=lambda _: None)
    by_path = {one.path: one for one in receiver.requests}
    assert by_path["/b"].headers["authorization"] == "Bearer b-secret"
    assert SECRET not in repr(by_path["/b"])
    assert "b-secret" not in repr(by_path[f"/a-{SECRET}"])


def test_a_rotated_secret_is_used_at_once(receiver: HttpReceiver, tmp_path: Any) -> None:
    key = tmp_path / "url"
    to = plan(webhooks=[{"name": "a", "urlSecretRef": {"file": str(key)}}])
    for path in ("/one", "/two"):
        key.write_text(f"{receiver.url}{path}\r\n")
        deliver_all(
            [notification(firing(), receiver="a")], to, Referenced(Secrets()), GUARD, within_s=20,
            on_delivered=lambda _: None,
        )  # fmt: skip
    assert [one.path for one in receiver.requests] == ["/one", "/two"]


@pytest.mark.parametrize(
    ("ref", "asker", "said"),
    [
        ({"env": "KSPEC_UNSET"}, "", "$KSPEC_UNSET: the variable is not set"),
        ({"file": "/nonexistent/x"}, "", "does not exist"),
        ({"name": "slack"}, "", "which only the operator reads"),
        ({"env": "HOME"}, "team-a", "cannot refer to variables and files"),
        ({"file": "/etc/passwd"}, "team-a", "cannot refer to variables and files"),
        ({"name": "x", "namespace": "team-b"}, "team-a", "may not refer to"),
    ],
)
def test_a_secret_that_cannot_be_had_is_an_error(ref: dict[str, str], asker: str, said: str) -> None:
    to = plan(slack={"webhookURLSecretRef": ref})
    (sent,) = deliver_all(
        [notification(firing(), receiver="slack")], to, Referenced(Secrets(), asker), GUARD, within_s=5,
        on_delivered=lambda _: None,
    )  # fmt: skip
    assert said in sent.problem
