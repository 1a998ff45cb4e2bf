"""Servers that note what arrives, kubeconfigs that name them, and both clients: kspec and kubectl."""

import base64
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from pytest_kspec.cluster.api.http import Connection
from pytest_kspec.cluster.limits import Limits
from pytest_kspec.errors import KspecError
from tests.cluster.api import Api, Reply, Request
from tests.cluster.socks import SocksServer
from tests.controlplane.certificates import Authority

KUBECTL = Path(sys.executable).with_name("kubectl")
QUICK = Limits(connect_timeout_s=2.0, read_timeout_s=5.0, retries=0)
PLUGIN = "client.authentication.k8s.io/v1"


class Seen(NamedTuple):
    """One request, as far as a kubeconfig has a say in it."""

    path: str
    authorization: str
    fields: tuple[tuple[str, str], ...]
    peer: str
    name: str
    compressed: bool
    through: str


REFUSED = "refused"


class World:
    """A server over TLS and one without, a proxy of each kind, and a folder with files that entries name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.authority = Authority(folder)
        (folder / "other").mkdir()
        self.stranger = Authority(folder / "other", "other-ca")
        self.client = self.authority.issue("client")
        self.second = self.authority.issue("second")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pair = self.authority.issue("server", hosts=["127.0.0.1", "localhost", "api.example.com", "::1"])
        tls.load_cert_chain(pair.certificate, pair.key)
        tls.load_verify_locations(self.authority.certificate)
        tls.verify_mode = ssl.CERT_OPTIONAL
        self.names: list[str | None] = []
        tls.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self.api = Api({}, tls)
        self.plain = Api({})
        self.proxy = Api({})
        self.socks = SocksServer()
        for api in (self.api, self.plain, self.proxy):
            api.answers = _Everything()

    def __enter__(self) -> "World":
        for server in (self.api, self.plain, self.proxy, self.socks):
            server.__enter__()
        return self

    def __exit__(self, *args: object) -> None:
        for server in (self.api, self.plain, self.proxy, self.socks):
            server.__exit__(*args)

    def data(self, path: Path) -> str:
        return base64.b64encode(path.read_bytes()).decode()

    def seen(self, run: Callable[[], bool]) -> Seen | str:
        """What `run` sent; REFUSED if it says that it did not work."""
        for server in (self.api, self.plain, self.proxy):
            server.seen.clear()
        self.socks.asked.clear()
        self.names.clear()
        if not run():
            return REFUSED
        for server in (self.api, self.plain, self.proxy):
            for request in server.seen:
                return self._note(request, server)
        return "nothing arrived"

    def _note(self, request: Request, server: Api) -> Seen:
        fields = tuple(sorted(f for f in request.fields if f[0].lower().startswith("impersonate")))
        through = f"http {request.headers.get('proxy-authorization', '')}" if server is self.proxy else ""
        through = through or "; ".join(self.socks.asked)
        return Seen(
            request.path,
            request.headers.get("authorization", ""),
            tuple((name.lower(), value) for name, value in fields),
            request.peer,
            (self.names[-1] or "").lower() if self.names else "",
            "gzip" in request.headers.get("accept-encoding", ""),
            through,
        )


class _Everything(dict[str, Any]):
    """Every path is served."""

    def get(self, _path: str, _default: Any = None) -> Reply:
        return Reply({"gitVersion": "v1.37.0"})


def kubectl() -> bool:
    done = subprocess.run(
        [KUBECTL, "--context", "prod", "get", "--raw", "/version"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=30,
        check=False,
    )
    return done.returncode == 0


said: list[str] = []
"""The errors of kspec."""


def kspec() -> bool:
    connection = Connection("prod", limits=QUICK)
    try:
        return connection.get("/version").status == 200
    except KspecError as error:
        said.append(str(error))
        return False
    finally:
        connection.close()


def write(path: Path, cluster: Any, user: Any, context: dict[str, Any] | None = None) -> None:
    context = {"cluster": "c", "user": "u", **(context or {})}
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "prod", "context": context}],
    }
    path.write_text(yaml.safe_dump(data))


def both(world: World, monkeypatch: pytest.MonkeyPatch, *paths: Path) -> Seen | str:
    """What kspec sends, which is what kubectl sends."""
    monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, paths)))
    ours, theirs = world.seen(kspec), world.seen(kubectl)
    assert ours == theirs, said
    assert not [text for text in said if "s3cret" in text]
    return ours


def script(path: Path, text: str) -> str:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def prints(status: dict[str, Any], version: str = PLUGIN) -> str:
    return f"echo '{json.dumps({'apiVersion': version, 'kind': 'ExecCredential', 'status': status})}'"


def cluster_of(world: World, changes: dict[str, Any]) -> dict[str, Any]:
    port = world.api.url.rpartition(":")[2]
    words = {
        "PORT": port,
        "PLAIN": world.plain.url.rpartition(":")[2],
        "USERPROXY": world.proxy.url.replace("//", "//me:s3%40ret@"),
        "SOCKSPROXY": f"socks5://127.0.0.1:{world.socks.port}",
        "PROXY": world.proxy.url,
        "SOCKS": str(world.socks.port),
        "STRANGER": world.data(world.stranger.certificate),
        "SERVER": world.data(world.folder / "server.crt"),
        "LINES": "\n".join(base64.encodebytes(world.authority.bundle).decode().split()) + "\n",
    }
    fields: dict[str, Any] = {
        "server": "https://127.0.0.1:PORT",
        "certificate-authority-data": world.data(world.authority.certificate),
        **changes,
    }

    def filled(value: Any) -> Any:
        if isinstance(value, list):
            return [filled(v) for v in value]
        if isinstance(value, str) and len(value) < 100:
            for word, text in words.items():
                value = value.replace(word, text)
        return value

    return {name: filled(value) for name, value in fields.items() if value is not None}


def user_of(world: World, user: Any) -> Any:
    def oidc(expires: int | None) -> dict[str, Any]:
        claims = base64.urlsafe_b64encode(json.dumps({"exp": expires}).encode()).decode().rstrip("=")
        token = {"id-token": f"e30.{claims}.c2ln"} if expires is not None else {}
        return {
            "name": "oidc",
            "config": {"idp-issuer-url": "https://127.0.0.1:1", "client-id": "x", **token},
        }

    far = 4_000_000_000
    named: dict[str, Any] = {
        "BOTH": {"auth-provider": oidc(far), "exec": {"command": "true", "apiVersion": PLUGIN}},
        "OIDC": {"auth-provider": oidc(far)},
        "OLD": {"auth-provider": oidc(1_000_000)},
        "NONE": {"auth-provider": oidc(None)},
        "TOKEN": {"auth-provider": oidc(1_000_000), "token": "s3cret"},
    }
    if isinstance(user, str):
        return named.get(user, user)
    if not isinstance(user, dict):
        return user
    words = {
        "CERT": world.data(world.client.certificate),
        "KEY": world.data(world.client.key),
        "OTHERKEY": world.data(world.second.key),
    }
    return {
        name: words.get(value, value) if isinstance(value, str) else value for name, value in user.items()
    }
