"""Pages over real HTTP, and clients that are slow or many."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import urllib3

from pytest_kspec.errors import UsageError
from pytest_kspec.operator import probes
from pytest_kspec.operator.probes import Page, Probes, parse_address
from tests.operator.conftest import until

LOCAL = "127.0.0.1:0"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(probes, "MOST_CONNECTIONS", 4)
    monkeypatch.setattr(probes, "LIFE_S", 0.5)
    served = Probes(LOCAL, {"/healthz": lambda: Page(200, b"ok\n")}, "--health")
    yield served.port
    served.close()


def get(port: int, path: str) -> tuple[int, bytes]:
    url = f"http://127.0.0.1:{port}{path}"
    answer = urllib3.request("GET", url, timeout=10, retries=False, redirect=False)
    return answer.status, answer.data


def test_pages_and_nothing_else(port: int) -> None:
    assert get(port, "/healthz") == get(port, "/healthz?x=1") == (200, b"ok\n")
    assert get(port, "/../etc/passwd") == (404, b"not found\n")


def test_clients_that_say_nothing_occupy_it_for_a_while_only(port: int) -> None:
    silent = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(8)]
    for one in silent:
        assert one.recv(1) == b"", "refused at once, or ended after a while"
        one.close()
    until(lambda: answers(port))  # the places of those that were ended are free soon after


def answers(port: int) -> bool:
    try:
        return get(port, "/healthz")[0] == 200
    except urllib3.exceptions.HTTPError:
        return False


@pytest.mark.parametrize(
    ("text", "expected"),
    [(":8080", ("", 8080)), ("127.0.0.1:1", ("127.0.0.1", 1)), ("[::1]:80", ("::1", 80))],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text, "--x") == expected


@pytest.mark.parametrize("text", ["", "8080", ":", ":x", ":70000", "a:-1", ":٨"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="is not an address"):
        parse_address(text, "--x")


def test_an_address_that_is_taken(port: int) -> None:
    with pytest.raises(UsageError, match=rf"--health 127\.0\.0\.1:{port}: cannot listen there"):
        Probes(f"127.0.0.1:{port}", {}, "--health")


def test_one_client_may_ask_so_often_and_its_headers_do_not_matter() -> None:
    served = Probes(LOCAL, {"/metrics": lambda: Page(200, b"x" * 2000)}, "--metrics", rate=1 / 3600)
    try:
        url = f"http://127.0.0.1:{served.port}/metrics"
        answers = [
            urllib3.request(
                "GET",
                url,
                headers={"X-Forwarded-For": f"203.0.113.{n}", "Accept-Encoding": "gzip"},
                timeout=10,
                retries=False,
            )
            for n in range(20)
        ]
    finally:
        served.close()
    assert answers[0].status == 200
    assert answers[0].headers["Content-Encoding"] == "gzip"
    assert answers[0].data == b"x" * 2000
    refused = [one for one in answers if one.status == 429]
    assert len(refused) == 19, "one an hour, however long this took"
    assert {one.headers["Retry-After"] for one in refused} == {"1"}
