"""A server that cannot be reached is tried as often as it may help, and then left alone: each try costs seconds."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import pytest

from pytest_kspec.cluster.limits import Limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.errors import Unreachable
from tests.cluster.api import Api, Reply, kubeconfig
from tests.controlplane.certificates import Authority

RETRIES = 2
LIMITS = Limits(retries=RETRIES, backoff_s=0.01)
SERVER = "https://192.0.2.1:6443"


def ask_three_times(config: str) -> None:
    source = LiveSource("prod", kubeconfig=config, limits=LIMITS)
    try:
        for ask in (source.info, source.types, source.info):
            with pytest.raises(Unreachable, match=r"^prod: the API server does not answer"):
                ask()
    finally:
        source.close()


@pytest.mark.parametrize(
    ("status", "tries"),
    [(403, 1), (404, 1), (407, 1), (426, 1), (408, 1 + RETRIES), (429, 1 + RETRIES), (502, 1 + RETRIES)],
)
def test_a_proxy_that_refuses(status: int, tries: int, tmp_path: Path) -> None:
    with Api({"192.0.2.1:6443": Reply({}, status)}) as proxy:
        ask_three_times(kubeconfig(tmp_path, SERVER, extra={"proxy-url": proxy.url}))
        assert [request.method for request in proxy.seen] == ["CONNECT"] * tries


@pytest.mark.parametrize("scheme", ["http", "https", "socks5"])
def test_a_proxy_that_is_not_there(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and nobody listens
        port = bound.getsockname()[1]
        connected: list[object] = []
        connect = socket.socket.connect

        def counted(self: socket.socket, address: object) -> None:
            if address == ("127.0.0.1", port):
                connected.append(address)
            connect(self, address)  # type: ignore[arg-type]

        monkeypatch.setattr(socket.socket, "connect", counted)
        ask_three_times(kubeconfig(tmp_path, SERVER, extra={"proxy-url": f"{scheme}://127.0.0.1:{port}"}))
    assert connected == [("127.0.0.1", port)] * (1 + RETRIES)


def test_a_certificate_that_nobody_signed(tmp_path: Path) -> None:
    pair = Authority(tmp_path).issue("server")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(pair.certificate, pair.key)
    with Api({}, tls) as api:
        ask_three_times(kubeconfig(tmp_path, api.url))
        assert api.seen == []
