"""`cluster` entries: authorities, names, proxies, of the file and of the environment."""

from typing import Any

import pytest

from tests.cluster.referee.world import REFUSED, Seen, World, both, cluster_of, write

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
    "proxy with a host that is no name": ({"proxy-url": "http://%zz:1"}, False),
    "proxy port 99999": ({"proxy-url": "http://127.0.0.1:99999"}, False),
    "proxy is a number": ({"proxy-url": 8080}, False),
    "proxy is a list": ({"proxy-url": ["PROXY"]}, False),
    "no cluster": ({"server": None, "certificate-authority-data": None}, False),
    "extensions": ({"extensions": [{"name": "x", "extension": {"a": [1, None]}}]}, True),
}


@pytest.mark.parametrize("case", CLUSTERS)
def test_clusters(case: str, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    changes, accepted = CLUSTERS[case]
    (world.folder / "empty").touch()
    config = world.folder / "config"
    write(config, cluster_of(world, changes), {"token": "s3cret", "as": "someone"})
    found = both(world, monkeypatch, config)
    assert (found != REFUSED) == accepted
    assert isinstance(found, Seen) == accepted


ENVIRONMENT: list[tuple[str, dict[str, str], bool]] = [
    # server, variables, through the proxy
    ("http://api.invalid", {"HTTP_PROXY": "PROXY"}, True),
    ("http://api.invalid", {"http_proxy": "PROXY"}, True),
    ("http://api.invalid", {"HTTP_PROXY": "HOSTPORT"}, True),
    ("http://api.invalid", {"HTTP_PROXY": "PROXY", "http_proxy": "http://127.0.0.1:1"}, True),
    ("http://api.invalid", {"HTTP_PROXY": "", "http_proxy": "PROXY"}, True),
    ("http://api.invalid", {"HTTP_PROXY": "PROXY", "NO_PROXY": "x", "no_proxy": "api.invalid"}, True),
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
