"""Clients that mean no good, on raw connections: slow ones, and requests that two readers read differently."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

import pytest

from pytest_kspec.dashboard import web
from pytest_kspec.dashboard.source import StoreSource
from pytest_kspec.serving import limits
from tests.dashboard.serving import WAIT_S, Client, serving
from tests.dashboard.test_browser import Closed


@pytest.fixture
def client(fleet_store: str) -> Iterator[Client]:
    with serving(StoreSource(fleet_store)) as made:
        yield made


@contextmanager
def connected(client: Client) -> Iterator[socket.socket]:
    port = int(client.address.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=WAIT_S) as made:
        yield made


def answers(client: Client, *sent: bytes) -> bytes:
    """All that is answered until the connection is closed, or for a second."""
    with connected(client) as connection:
        for part in sent:
            connection.sendall(part)
        connection.settimeout(1.0)
        found = b""
        try:
            while part := connection.recv(65536):
                found += part
        except (TimeoutError, ConnectionResetError):
            pass
        return found


HEAD = b"POST /login HTTP/1.1\r\nHost: localhost\r\n"
SECOND = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        HEAD + b"Content-Length: 5\r\nContent-Length: 0\r\n\r\n" + SECOND,
        HEAD + b"Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SECOND,
        HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n" + SECOND,
        HEAD + b"Transfer-Encoding: xchunked\r\n\r\n" + SECOND,
        HEAD + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SECOND,
        HEAD + b"Content-Length: +0\r\n\r\n" + SECOND,
        HEAD + b"Content-Length: 0x0\r\n\r\n" + SECOND,
        HEAD + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n" + SECOND,
        HEAD + b"X: a\x00b\r\nContent-Length: 0\r\n\r\n" + SECOND,
        b"POST /login HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n" + SECOND,
    ],
)
def test_a_request_that_two_readers_read_differently_hides_no_second_one(
    client: Client, request_: bytes
) -> None:
    said = answers(client, request_)
    assert b'"openapi"' not in said
    assert client.get("/health").status == 200


@pytest.mark.parametrize(
    "path",
    [
        "/static/../../etc/passwd",
        "/static/..%2f..%2fetc%2fpasswd",
        "/static/%2e%2e/%2e%2e/etc/passwd",
        "/static//etc/passwd",
        "/static/%00",
        "/cluster/../api/v1/results",
        "/%2e%2e/",
    ],
)
def test_a_path_leads_to_no_file(client: Client, path: str) -> None:
    said = answers(client, f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    assert b" 404 " in said.partition(b"\r\n")[0] + b" "
    assert b"root:" not in said


def test_a_form_that_does_not_come_costs_its_time_and_no_more(
    fleet_store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web, "FORM_S", 0.5)
    with (
        serving(StoreSource(fleet_store), lambda _answers: Closed()) as client,
        connected(client) as connection,
    ):
        connection.sendall(HEAD + b"Content-Length: 500\r\n\r\ntoken=")
        assert connection.recv(65536).startswith(b"HTTP/1.1 408 ")


def test_who_does_not_read_is_given_up(fleet_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from pytest_kspec.dashboard import server
    from tests.dashboard import serving as serving_module

    quick = limits.Limits(
        **{**{name: getattr(server.LIMITS, name) for name in limits.Limits.__slots__}, "read_s": 0.5}
    )
    monkeypatch.setattr(serving_module, "LIMITS", quick)
    with serving(StoreSource(fleet_store)) as client, connected(client) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        asked = b"GET /findings?size=500 HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.settimeout(1.0)

        def is_given_up() -> bool:
            try:
                with suppress(TimeoutError):
                    connection.sendall(asked)
            except (ConnectionResetError, BrokenPipeError):
                return True
            return False

        deadline = time.monotonic() + WAIT_S
        while not is_given_up():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert client.get("/health").status == 200


def test_one_client_cannot_hold_all_connections(fleet_store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who comes from elsewhere is answered, such as a probe; and so is it, when it gave some back."""
    from dataclasses import replace

    from pytest_kspec.dashboard import server
    from tests.dashboard import serving as serving_module

    monkeypatch.setattr(serving_module, "LIMITS", replace(server.LIMITS, connections=8, of_one=4))

    def answered(port: int, source: str) -> bool:
        with socket.create_connection(("127.0.0.1", port), WAIT_S, (source, 0)) as connection:
            try:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                return connection.recv(65536).startswith(b"HTTP/1.1 200 ")
            except (ConnectionResetError, BrokenPipeError):
                return False

    with serving(StoreSource(fleet_store)) as client, ExitStack() as stack:
        port = int(client.address.rpartition(":")[2])
        for _ in range(4):
            held = stack.enter_context(
                socket.create_connection(("127.0.0.1", port), WAIT_S, ("127.0.0.2", 0))
            )
            held.sendall(b"GET /health HTTP/1.1\r\nHost: local")
        assert not answered(port, "127.0.0.2")
        assert answered(port, "127.0.0.3")
        stack.close()
        deadline = time.monotonic() + WAIT_S
        while not answered(port, "127.0.0.2"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
