"""Who may read the operator's /metrics: by a real API server, with the rights of the manifests; or by certificate."""

from __future__ import annotations

import contextlib
import http.client
import socket
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cli.commands.operator_metrics import guard_of
from pytest_kspec.cluster.writing.readers import Readers
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.errors import UsageError
from pytest_kspec.operator import probes
from pytest_kspec.operator.guarded import Guard, of_folder, self_signed
from pytest_kspec.operator.probes import Page, Probes
from pytest_kspec.serving.tls import ServerTls
from tests.cli.test_operator import parsed
from tests.controlplane.certificates import Authority, KeyPair
from tests.controlplane.process import free_port
from tests.crds.conftest import Cluster
from tests.webhook.installed import token
from tests.webhook.running import get as asked

from .conftest import OperatorProcess, until

Start = Callable[..., OperatorProcess]
RBAC = "rbac.authorization.k8s.io/v1"


def get(
    port: int, bearer: str = "", path: str = "/metrics", client: KeyPair | None = None
) -> tuple[int, str]:
    return asked(port, path, client, headers={"Authorization": f"Bearer {bearer}"} if bearer else {})


@pytest.fixture
def accounts(operated: Cluster) -> Iterator[None]:
    """One may read, another may not."""
    place = {"namespace": NAMESPACE}
    made: list[dict[str, Any]] = [
        *({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, **place}}
          for name in ("prometheus", "nobody")),
        {
            "apiVersion": RBAC,
            "kind": "ClusterRoleBinding",
            "metadata": {"name": "prometheus-reads"},
            "roleRef": {"apiGroup": RBAC.partition("/")[0], "kind": "ClusterRole", "name": "kspec-metrics-reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "prometheus", **place}],
        },
    ]  # fmt: skip
    for one in made:
        operated.writer.apply(one, field_manager="test")
    yield
    for one in made:
        metadata = one["metadata"]
        operated.writer.delete(
            one["apiVersion"], one["kind"], metadata["name"], namespace=metadata.get("namespace", "")
        )


def test_who_may_is_told_and_nobody_else(operated: Cluster, start: Start, accounts: None) -> None:
    """Of a replica that waits, too: it has the rights of config/ and no others."""
    port = free_port()
    operator = start(f"--metrics-bind-address=:{port}")
    until(lambda: "leads" in operator.said(), operator.said)
    reader, nobody = (token(operated.plane, name, NAMESPACE) for name in ("prometheus", "nobody"))
    until(lambda: get(port, reader)[0] == 200, operator.said)  # what the API server grants comes by a watch
    status, text = get(port, reader)
    assert (status, "kspec_build_info" in text) == (200, True)
    assert get(port, nobody) == (403, "the permission to get the nonResourceURL /metrics is missing\n")
    unknown = (401, "send a bearer token that the API server accepts\n")
    other = token(operated.plane, "prometheus", NAMESPACE, audience="somebody-else")
    for bearer in ("", "garbage", "x" * 20_000, other):
        assert get(port, bearer) == unknown
    assert get(port, reader, path="/policies")[0] == 404
    with pytest.raises((http.client.HTTPException, OSError)):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30)
    waiting_port = free_port()
    waiting = start(f"--metrics-bind-address=:{waiting_port}")
    until(lambda: "waits" in waiting.said(), waiting.said)
    assert get(waiting_port, reader)[0] == 200
    assert get(waiting_port)[0] == 401


class Served:
    """A page behind a guard."""

    def __init__(self, guard: Guard) -> None:
        self.probes = Probes("127.0.0.1:0", {"/metrics": lambda: Page(200, b"secret")}, "--m", guard=guard)
        self.port = self.probes.port


def test_by_certificate(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    authority, other = Authority(tmp_path, "readers"), Authority(tmp_path / "other", "others")
    tls = ServerTls(authority.certificate)
    served = Served(Guard(Readers(None), tls, self_signed()))
    try:
        mine, theirs = authority.issue("prometheus"), other.issue("mallory")
        assert get(served.port, client=mine) == (200, "secret")
        for client in (None, theirs):
            with pytest.raises((ssl.SSLError, OSError)):
                get(served.port, client=client)
    finally:
        served.probes.close()


def test_a_certificate_of_a_folder_is_read_again_and_one_that_is_broken_does_not_replace_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(probes, "LIFE_S", 10.0)
    folder = tmp_path / "tls"
    folder.mkdir()
    served = Served(Guard(Readers(None), ServerTls(), of_folder(folder)))
    try:
        assert "certificate of /metrics" in caplog.text
        with pytest.raises((ssl.SSLError, OSError)):
            get(served.port)
        for _ in range(2):
            certificate, key = self_signed()()
            (folder / "tls.crt").write_bytes(certificate)
            (folder / "tls.key").write_bytes(key)
            assert get(served.port) == (200, "secret")
            found = ssl.get_server_certificate(("127.0.0.1", served.port), timeout=30)
            assert certificate.startswith(found.strip().encode())
        (folder / "tls.key").write_text("nonsense")
        assert get(served.port) == (200, "secret")
    finally:
        served.probes.close()


def test_clients_without_a_handshake_occupy_it_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "MOST_CONNECTIONS", 4)
    monkeypatch.setattr(probes, "PATIENCE_S", 0.5)
    monkeypatch.setattr(probes, "LIFE_S", 0.5)
    served = Served(Guard(Readers(None), ServerTls(), self_signed()))
    try:
        silent = [socket.create_connection(("127.0.0.1", served.port), timeout=30) for _ in range(8)]
        for number, one in enumerate(silent):
            if number % 2:
                one.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")  # not TLS
        for one in silent:
            with contextlib.suppress(ConnectionError):
                while one.recv(1000):
                    pass
            one.close()
        until(lambda: answers(served.port))
    finally:
        served.probes.close()


def answers(port: int) -> bool:
    try:
        return get(port) == (200, "secret")
    except OSError:
        return False


def test_a_certificate_of_this_process_is_kept() -> None:
    made = self_signed(["kspec-metrics.kspec-system.svc"])
    assert made() == made()


@pytest.mark.parametrize(
    ("words", "guarded"),
    [
        ([], True),
        (["--metrics-bind-address=0.0.0.0:8080"], True),
        (["--metrics-bind-address=[::]:8080"], True),
        (["--metrics-bind-address=metrics.example:8080"], True),
        (["--metrics-bind-address=127.0.0.1:8080"], False),
        (["--metrics-bind-address=[::1]:8080"], False),
        (["--metrics-bind-address=localhost:8080"], False),
        (["--metrics-bind-address=0"], False),
        (["--metrics-bind-address=127.0.0.1:8080", "--metrics-secure"], True),
        (["--metrics-bind-address=127.0.0.1:8080", "--metrics-client-ca=x"], True),
        (["--metrics-secure=false"], False),
    ],
)
def test_only_loopback_is_open_unless_it_is_asked_for(
    words: list[str], guarded: bool, caplog: pytest.LogCaptureFixture
) -> None:
    assert (guard_of(parsed(*words)) is not None) is guarded
    assert ("open to everyone" in caplog.text) is ("--metrics-secure=false" in words)


def test_what_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="with HTTPS only"):
        guard_of(parsed("--metrics-secure=false", "--metrics-cert-dir=x"))
    (tmp_path / "ca.crt").write_text("nonsense")
    made = guard_of(parsed(f"--metrics-client-ca={tmp_path / 'ca.crt'}"))
    assert made is not None
    with pytest.raises(UsageError, match="does not contain a certificate of an authority"):
        made()
