"""kubectl is the judge of what a kubeconfig means: both are given the same one, and a server notes what arrives."""

import base64
import json
import os
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from pytest_kspec.cluster.api.http import Connection
from pytest_kspec.cluster.api.kubeconfig import read_kubeconfig
from pytest_kspec.cluster.limits import Limits
from pytest_kspec.errors import KspecError, SourceError
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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with World(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith(("KUBE", "SSL_CERT")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    said.clear()


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


CLUSTERS: dict[str, tuple[dict[str, Any], bool]] = {
    # name: fields beside `server` and the authority ("FIELD": None takes one away), accepted
    "as it is": ({}, True),
    "no authority": ({"certificate-authority-data": None}, False),
    "authority of another": ({"certificate-authority-data": "STRANGER"}, False),
    "authority in a file": ({"certificate-authority-data": None, "certificate-authority": "ca.crt"}, True),
    "authority in a file and as data": ({"certificate-authority": "ca.crt"}, False),
    "authority in no file": ({"certificate-authority-data": None, "certificate-authority": "no.crt"}, False),
    "authority in an empty file": (
        {"certificate-authority-data": None, "certificate-authority": "empty"},
        False,
    ),
    "authority is no base64": ({"certificate-authority-data": "s3cret!"}, False),
    "authority is no PEM": ({"certificate-authority-data": "czNjcmV0"}, False),
    "authority in lines": ({"certificate-authority-data": "LINES"}, True),
    "the server's own certificate": ({"certificate-authority-data": "SERVER"}, True),
    "insecure": ({"certificate-authority-data": None, "insecure-skip-tls-verify": True}, True),
    "insecure: false": ({"insecure-skip-tls-verify": False}, True),
    "insecure with an authority": ({"insecure-skip-tls-verify": True}, False),
    "insecure is text": ({"insecure-skip-tls-verify": "true"}, False),
    "server name": ({"tls-server-name": "api.example.com"}, True),
    "server name of another": ({"tls-server-name": "api.example.org"}, False),
    "insecure with a server name of another": (
        {
            "certificate-authority-data": None,
            "insecure-skip-tls-verify": True,
            "tls-server-name": "api.example.org",
        },
        True,
    ),
    "no compression": ({"disable-compression": True}, True),
    "scheme in capitals": ({"server": "HTTPS://localhost:PORT"}, True),
    "path": ({"server": "https://127.0.0.1:PORT/k8s/clusters/c-1/"}, True),
    "path, query and fragment": ({"server": "https://127.0.0.1:PORT/k8s?a=b#c"}, True),
    "query": ({"server": "https://127.0.0.1:PORT?a=b"}, True),
    "host in capitals": ({"server": "https://LOCALHOST:PORT"}, True),
    "no scheme": ({"server": "127.0.0.1:PLAIN"}, True),
    "no scheme, a name": ({"server": "localhost:PLAIN"}, True),
    "plain HTTP": ({"server": "http://127.0.0.1:PLAIN"}, True),
    "plain HTTP with a path": ({"server": "http://127.0.0.1:PLAIN/prefix"}, True),
    "no server": ({"server": None}, False),
    "server is empty": ({"server": ""}, False),
    "server is a number": ({"server": 5}, False),
    "server is a list": ({"server": ["https://127.0.0.1:PORT"]}, False),
    "ftp": ({"server": "ftp://127.0.0.1:PORT"}, False),
    "port 99999": ({"server": "https://127.0.0.1:99999"}, False),
    "port is a word": ({"server": "https://127.0.0.1:port"}, False),
    "host with a space": ({"server": "https://local host:PORT"}, False),
    "no host": ({"server": "https://:99999"}, False),
    "only a scheme": ({"server": "https://"}, False),
    "bracket": ({"server": "https://[::1"}, False),
    "host of no letters": ({"server": "https://ü..ü:PORT"}, False),
    "http proxy": ({"server": "http://api.invalid", "proxy-url": "PROXY"}, True),
    "http proxy with a password": ({"server": "http://api.invalid", "proxy-url": "USERPROXY"}, True),
    "http proxy for loopback": ({"server": "http://127.0.0.1:PLAIN", "proxy-url": "PROXY"}, True),
    "socks5": ({"proxy-url": "socks5://127.0.0.1:SOCKS"}, True),
    "socks5, names are the proxy's": (
        {"server": "https://api.invalid:PORT", "tls-server-name": "localhost", "proxy-url": "SOCKSPROXY"},
        True,
    ),
    "socks5 with a password": ({"proxy-url": "socks5://me:s3%40ret@127.0.0.1:SOCKS"}, True),
    "socks5 is down": ({"proxy-url": "socks5://127.0.0.1:1"}, False),
    "socks4": ({"proxy-url": "socks4://127.0.0.1:SOCKS"}, False),
    "proxy is empty": ({"proxy-url": ""}, True),
    "proxy without a scheme": ({"proxy-url": "127.0.0.1:SOCKS"}, False),
    "proxy ftp": ({"proxy-url": "ftp://127.0.0.1:SOCKS"}, False),
    "proxy is garbage": ({"proxy-url": "::garbage::"}, False),
    "proxy port 99999": ({"proxy-url": "http://127.0.0.1:99999"}, False),
    "proxy is a number": ({"proxy-url": 8080}, False),
    "proxy is a list": ({"proxy-url": ["PROXY"]}, False),
    "no cluster": ({"server": None, "certificate-authority-data": None}, False),
    "extensions": ({"extensions": [{"name": "x", "extension": {"a": [1, None]}}]}, True),
}


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


@pytest.mark.parametrize("case", CLUSTERS)
def test_clusters(case: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    changes, accepted = CLUSTERS[case]
    (world.folder / "empty").touch()
    config = world.folder / "config"
    write(config, cluster_of(world, changes), {"token": "s3cret", "as": "someone"})
    found = both(world, monkeypatch, config)
    assert (found != REFUSED) == accepted
    assert isinstance(found, Seen) == accepted


USERS: dict[str, tuple[Any, bool]] = {
    "nobody": ({}, False),
    "null": (None, False),
    "nobody, as somebody": ({"as": "someone"}, False),
    "token": ({"token": "s3cret"}, True),
    "token of many characters": ({"token": "a.b-c_d~e+f/g=" * 100}, True),
    "token is a number": ({"token": 12345}, False),
    "token with a line": ({"token": "s3cret\nline"}, False),
    "token is null": ({"token": None}, False),
    "token file": ({"tokenFile": "token"}, True),
    "token file before token": ({"tokenFile": "token", "token": "s3cret"}, True),
    "token file that is not there": ({"tokenFile": "nowhere"}, False),
    "token file that is not there, and a token": ({"tokenFile": "nowhere", "token": "s3cret"}, True),
    "token file that is empty": ({"tokenFile": "empty"}, False),
    "token file that is empty, and a token": ({"tokenFile": "empty", "token": "s3cret"}, True),
    "token file is a folder": ({"tokenFile": "other"}, False),
    "basic": ({"username": "me", "password": "s3cret:ü"}, True),
    "user name only": ({"username": "me"}, True),
    "password only": ({"password": "s3cret"}, False),
    "basic and token": ({"username": "me", "password": "s3cret", "token": "s3cret"}, False),
    "basic and token file": ({"username": "me", "password": "s3cret", "tokenFile": "token"}, False),
    "certificate": ({"client-certificate": "client.crt", "client-key": "client.key"}, True),
    "certificate as data": ({"client-certificate-data": "CERT", "client-key-data": "KEY"}, True),
    "certificate in a file, key as data": (
        {"client-certificate": "client.crt", "client-key-data": "KEY"},
        True,
    ),
    "certificate and token": (
        {"client-certificate-data": "CERT", "client-key-data": "KEY", "token": "s3cret"},
        True,
    ),
    "certificate twice": (
        {"client-certificate": "client.crt", "client-certificate-data": "CERT", "client-key-data": "KEY"},
        False,
    ),
    "key twice": (
        {"client-certificate-data": "CERT", "client-key": "client.key", "client-key-data": "KEY"},
        False,
    ),
    "certificate without a key": ({"client-certificate-data": "CERT"}, False),
    "key without a certificate": ({"client-key-data": "KEY", "token": "s3cret"}, True),
    "key of another": ({"client-certificate-data": "CERT", "client-key-data": "OTHERKEY"}, False),
    "key is no PEM": ({"client-certificate-data": "CERT", "client-key-data": "czNjcmV0"}, False),
    "certificate is no base64": ({"client-certificate-data": "s3cret!", "client-key-data": "KEY"}, False),
    "certificate in no file": ({"client-certificate": "no.crt", "client-key": "client.key"}, False),
    "encrypted key": ({"client-certificate-data": "CERT", "client-key": "encrypted.key"}, False),
    "as": ({"token": "s3cret", "as": "someone"}, True),
    "as with blanks and letters": ({"token": "s3cret", "as": "Jürgen of the 名"}, True),
    "as of everything": (
        {
            "token": "s3cret",
            "as": "system:serviceaccount:a:b",
            "as-uid": "u-1",
            "as-groups": ["one", "two", "one", "with, comma"],
            "as-user-extra": {
                "scopes": ["a", "b"],
                "example.com/Reason %": ["why", ""],
                "ümlaut": ["ü"],
                "none": [],
                "null": None,
            },
        },
        True,
    ),
    "as with a certificate": (
        {"client-certificate-data": "CERT", "client-key-data": "KEY", "as": "someone", "as-groups": []},
        True,
    ),
    "as with a line": ({"token": "s3cret", "as": "some\r\none: x"}, False),
    "as is empty": ({"token": "s3cret", "as": ""}, True),
    "as is a number": ({"token": "s3cret", "as": 5}, False),
    "groups without as": ({"token": "s3cret", "as-groups": ["one"]}, False),
    "uid without as": ({"token": "s3cret", "as-uid": "u"}, False),
    "extra without as": ({"token": "s3cret", "as-user-extra": {"a": ["b"]}}, False),
    "groups are text": ({"token": "s3cret", "as": "someone", "as-groups": "one"}, False),
    "group is a number": ({"token": "s3cret", "as": "someone", "as-groups": [5]}, False),
    "extra is a list": ({"token": "s3cret", "as": "someone", "as-user-extra": ["a"]}, False),
    "extra is text": ({"token": "s3cret", "as": "someone", "as-user-extra": {"a": "b"}}, False),
    "user is a list": (["token", "s3cret"], False),
    "user is text": ("s3cret", False),
    "auth provider gcp": ({"auth-provider": {"name": "gcp", "config": {"access-token": "s3cret"}}}, False),
    "auth provider azure": ({"auth-provider": {"name": "azure", "config": {}}}, False),
    "auth provider of nobody": ({"auth-provider": {"name": "s", "config": {}}}, False),
    "auth provider and exec": ("BOTH", False),
    "oidc": ("OIDC", True),
    "oidc that has expired": ("OLD", False),
    "oidc without a token": ("NONE", False),
    "oidc and a token": ("TOKEN", True),
    "extensions": ({"extensions": [{"name": "x", "extension": {}}], "token": "s3cret"}, True),
}


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


@pytest.mark.parametrize("case", USERS)
def test_users(case: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    user, accepted = USERS[case]
    (world.folder / "empty").touch()
    (world.folder / "token").write_text("from-file\n")
    subprocess.run(
        ["openssl", "ec", "-aes128", "-passout", "pass:x", "-in", world.client.key, "-out", "encrypted.key"],
        cwd=world.folder,
        check=True,
        capture_output=True,
    )
    config = world.folder / "config"
    write(config, cluster_of(world, {}), user_of(world, user))
    found = both(world, monkeypatch, config)
    assert isinstance(found, Seen) == accepted


@pytest.mark.parametrize("case", ["as", "as of everything", "token", "basic", "certificate"])
def test_over_plain_http_no_credentials_are_sent(
    case: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = world.folder / "config"
    write(config, cluster_of(world, {"server": world.plain.url}), user_of(world, USERS[case][0]))
    found = both(world, monkeypatch, config)
    assert isinstance(found, Seen)
    assert (found.authorization, found.peer) == ("", "")


PLUGINS: dict[str, tuple[dict[str, Any], str, bool]] = {
    # name: what is different in `exec`, the script, accepted
    "token": ({}, prints({"token": "from-plugin"}), True),
    "v1beta1": (
        {"apiVersion": f"{PLUGIN}beta1"},
        prints({"token": "t"}, f"{PLUGIN}beta1"),
        True,
    ),
    "v1beta1, no mode": (
        {"apiVersion": f"{PLUGIN}beta1", "interactiveMode": None},
        prints({"token": "t"}, f"{PLUGIN}beta1"),
        True,
    ),
    "v1alpha1": ({"apiVersion": f"{PLUGIN}alpha1"}, prints({"token": "t"}, f"{PLUGIN}alpha1"), False),
    "no version": ({"apiVersion": None}, prints({"token": "t"}), False),
    "another version comes": ({}, prints({"token": "t"}, f"{PLUGIN}beta1"), False),
    "no mode": ({"interactiveMode": None}, prints({"token": "t"}), False),
    "mode of nobody": ({"interactiveMode": "Sometimes"}, prints({"token": "t"}), False),
    "mode Always without a terminal": ({"interactiveMode": "Always"}, prints({"token": "t"}), False),
    "mode IfAvailable": ({"interactiveMode": "IfAvailable"}, prints({"token": "t"}), True),
    "arguments": (
        {"args": ["a b", "c"]},
        f'test "$1" = "a b" && test "$2" = c && {prints({"token": "t"})}',
        True,
    ),
    "environment": (
        {"env": [{"name": "MODE", "value": "x y"}, {"name": "EMPTY"}]},
        f'test "$MODE" = "x y" && {prints({"token": "t"})}',
        True,
    ),
    "environment without a name": ({"env": [{"value": "x"}]}, prints({"token": "t"}), False),
    "environment is a mapping": ({"env": {"MODE": "x"}}, prints({"token": "t"}), False),
    "arguments are text": ({"args": "a b"}, prints({"token": "t"}), False),
    "standard input is empty": ({}, f'test -z "$(cat)" && {prints({"token": "t"})}', True),
    "no credentials": ({}, prints({}), False),
    "no status": ({}, f'echo \'{{"apiVersion": "{PLUGIN}", "kind": "ExecCredential"}}\'', False),
    "no JSON": ({}, "echo s3cret", False),
    "nothing": ({}, "true", False),
    "fails": ({}, f"{prints({'token': 't'})}; exit 3", False),
    "a certificate": ({}, "CERTIFICATE", True),
    "a certificate without its key": ({}, prints({"clientCertificateData": "x"}), False),
    "a certificate that is none": ({}, prints({"clientCertificateData": "x", "clientKeyData": "x"}), False),
    "expires": ({}, prints({"token": "t", "expirationTimestamp": "2999-01-01T00:00:00Z"}), True),
    "expires at no time": ({}, prints({"token": "t", "expirationTimestamp": "soon"}), False),
    "no command": ({"command": None}, prints({"token": "t"}), False),
    "command that is not there": ({"command": "./nowhere"}, "", False),
    "command of no path": ({"command": "kspec-no-such-program"}, "", False),
}


@pytest.mark.parametrize("case", PLUGINS)
def test_exec_plugins(case: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    changes, text, accepted = PLUGINS[case]
    if text == "CERTIFICATE":
        pair = [path.read_text() for path in world.client]
        text = prints({"clientCertificateData": pair[0], "clientKeyData": pair[1]}).replace("\\n", "\\\\n")
        text = text.replace("\\\\n", "\\n").replace("echo", "printf '%s'")
    script(world.folder / "login", text)
    plugin = {"command": "./login", "apiVersion": PLUGIN, "interactiveMode": "Never", **changes}
    plugin = {name: value for name, value in plugin.items() if value is not None}
    config = world.folder / "config"
    write(config, cluster_of(world, {}), {"exec": plugin, "as": "someone"})
    assert isinstance(both(world, monkeypatch, config), Seen) == accepted


@pytest.mark.parametrize(
    ("cluster", "user"),
    [
        ({}, {}),
        ({"proxy-url": "SOCKSPROXY", "tls-server-name": "localhost", "disable-compression": True}, {}),
        ({"certificate-authority-data": None, "certificate-authority": "ca.crt"}, {}),
        ({"certificate-authority-data": None, "insecure-skip-tls-verify": True}, {}),
        ({"extensions": [{"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}]}, {}),
    ],
)
def test_what_an_exec_plugin_is_told(
    cluster: dict[str, Any], user: dict[str, Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = world.folder / "told"
    script(world.folder / "login", f'echo "$KUBERNETES_EXEC_INFO" >>{told}\n{prints({"token": "t"})}')
    plugin = {
        "command": "./login",
        "apiVersion": PLUGIN,
        "interactiveMode": "Never",
        "provideClusterInfo": True,
    }
    config = world.folder / "config"
    write(config, cluster_of(world, cluster), {"exec": plugin, **user})
    told.write_text("")
    assert isinstance(both(world, monkeypatch, config), Seen)
    ours, theirs = (json.loads(line) for line in told.read_text().split("\n") if line)
    assert ours == theirs


@pytest.mark.parametrize(
    "user",
    [
        {"token": "s3cret"},
        {"username": "me", "password": "s3cret"},
        {"client-certificate-data": "CERT", "client-key-data": "KEY"},
    ],
)
def test_an_exec_plugin_does_not_run_beside_other_credentials(
    user: dict[str, Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = world.folder / "told"
    told.unlink(missing_ok=True)
    script(world.folder / "login", f"touch {told}; exit 1")
    plugin = {"command": "./login", "apiVersion": PLUGIN, "interactiveMode": "Never"}
    config = world.folder / "config"
    write(config, cluster_of(world, {}), {**user_of(world, user), "exec": plugin})
    assert isinstance(both(world, monkeypatch, config), Seen)
    assert not told.exists()
    write(config, cluster_of(world, {"server": world.plain.url}), {"exec": plugin})
    assert isinstance(both(world, monkeypatch, config), Seen)
    assert not told.exists()


def test_files_are_merged_and_paths_are_of_their_own_file(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder, token in ((one, "from-one"), (two, "from-two")):
        folder.mkdir()
        (folder / "token").write_text(token)
    (two / "ca.crt").write_bytes(world.authority.bundle)
    head = {"apiVersion": "v1", "kind": "Config"}
    user = {"name": "u", "user": {"tokenFile": "token", "as": "someone"}}
    (one / "config").write_text(yaml.safe_dump({**head, "current-context": "prod", "users": [user]}))
    cluster = cluster_of(world, {"certificate-authority-data": None, "certificate-authority": "ca.crt"})
    write(two / "config", cluster, {"tokenFile": "token"})
    found = both(world, monkeypatch, one / "config", tmp_path / "nowhere", two / "config", one / "config")
    assert isinstance(found, Seen)
    assert (found.authorization, found.fields) == ("Bearer from-one", (("impersonate-user", "someone"),))
    found = both(world, monkeypatch, two / "config", one / "config")
    assert isinstance(found, Seen)
    assert (found.authorization, found.fields) == ("Bearer from-two", ())
    assert read_kubeconfig().current == "prod"


@pytest.mark.parametrize(
    "context",
    [
        {"cluster": "nowhere"},
        {"cluster": ""},
        {"cluster": 5},
        {"user": "nobody"},
        {"user": ""},
        {"user": None},
        {"namespace": 5},
    ],
)
def test_contexts_that_are_refused(
    context: dict[str, Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = world.folder / "config"
    write(config, cluster_of(world, {}), {"token": "s3cret"}, context)
    assert both(world, monkeypatch, config) == REFUSED


ENVIRONMENT: list[tuple[str, dict[str, str], bool]] = [
    # server, variables, through the proxy
    ("http://api.invalid", {"HTTP_PROXY": "PROXY"}, True),
    ("http://api.invalid", {"http_proxy": "PROXY"}, True),
    ("http://api.invalid", {"HTTP_PROXY": "HOSTPORT"}, True),
    ("http://127.0.0.1:PLAIN", {"HTTP_PROXY": "PROXY"}, False),
    ("http://localhost:PLAIN", {"HTTP_PROXY": "PROXY"}, False),
    ("http://127.0.0.1:PLAIN", {"ALL_PROXY": "PROXY"}, False),
    ("http://127.0.0.1:PLAIN", {"HTTP_PROXY": "::garbage::"}, False),
    ("https://127.0.0.1:PORT", {"HTTPS_PROXY": "http://127.0.0.1:1"}, False),
    ("https://localhost:PORT", {"HTTPS_PROXY": "socks5://127.0.0.1:1"}, False),
    ("https://api.invalid:PORT", {"HTTPS_PROXY": "SOCKSPROXY", "NO_PROXY": "example.com"}, True),
    ("http://api.invalid", {"HTTP_PROXY": "PROXY", "NO_PROXY": "example.com,.api.invalid"}, True),
    ("http://api.invalid", {"HTTP_PROXY": "PROXY", "NO_PROXY": "api.invalid:81,10.0.0.0/8"}, True),
]


@pytest.mark.parametrize(("server", "variables", "through"), ENVIRONMENT)
def test_proxies_of_the_environment(
    server: str, variables: dict[str, str], through: bool, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = {"HOSTPORT": world.proxy.url.removeprefix("http://")}
    filled = cluster_of(world, {name: words.get(value, value) for name, value in variables.items()})
    for name in variables:
        monkeypatch.setenv(name, filled[name])
    config = world.folder / "config"
    write(config, cluster_of(world, {"server": server, "tls-server-name": "localhost"}), {"token": "s3cret"})
    found = both(world, monkeypatch, config)
    assert isinstance(found, Seen)
    assert bool(found.through) == through


def test_where_this_client_refuses_and_kubectl_does_not(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A field that kubectl passes over may be what somebody relies on; a user in a URL gets into messages."""
    config = world.folder / "config"
    server = world.api.url.replace("//", "//me:s3cret@")
    for cluster, user, message in [
        ({"certificate-authority-date": "x"}, {}, "unknown field `certificate-authority-date`"),
        ({}, {"as-group": ["x"], "as": "someone"}, r"unknown field `as-group`.* Did you mean `as-groups`\?"),
        ({"server": server}, {}, "`server` contains a user name or a password"),
    ]:
        write(config, cluster_of(world, cluster), {"token": "s3cret", **user})
        monkeypatch.setenv("KUBECONFIG", str(config))
        assert isinstance(world.seen(kubectl), Seen), message
        with pytest.raises(SourceError, match=message) as raised:
            Connection("prod").get("/version")
        assert "s3cret" not in str(raised.value)
