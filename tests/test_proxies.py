"""When NO_PROXY keeps a proxy away: Go's own table (golang.org/x/net/http/httpproxy, TestUseProxy)."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest

from pytest_kspec.proxies import Proxy, given_proxy, parse_endpoint, proxy_of_environment

NO_PROXY = (
    "foobar.com, .barbaz.net, *.wildcard.io, 192.168.1.1, 192.168.1.2:81, 192.168.1.3:80, 10.0.0.0/30, "
    "2001:db8::52:0:1, [2001:db8::52:0:2]:443, [2001:db8::52:0:3]:80, 2002:db8:a::45/64"
)


@pytest.fixture(autouse=True)
def proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "no_proxy", "NO_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTP_PROXY", "proxy.example.com:3128")


def used(host: str) -> bool:
    found = proxy_of_environment(urlsplit(f"http://{host}"))
    assert found in (None, Proxy("http://proxy.example.com:3128"))
    return found is not None


@pytest.mark.parametrize(
    ("host", "through"),
    [
        ("localhost", False),
        ("LOCALHOST:8080", False),
        ("127.0.0.1", False),
        ("127.0.0.2", False),
        ("[::1]", False),
        ("[::ffff:127.0.0.1]", False),
        ("[::2]", True),
        ("192.168.1.1", False),
        ("192.168.1.2", True),
        ("192.168.1.3", False),
        ("192.168.1.4", True),
        ("10.0.0.2", False),
        ("[2001:db8::52:0:1]", False),
        ("[2001:db8::52:0:2]", True),
        ("[2001:db8::52:0:3]", False),
        ("[2002:db8:a::123]", False),
        ("[fe80::424b:c8be:1643:a1b6]", True),
        ("barbaz.net", True),
        ("www.barbaz.net", False),
        ("foobar.com", False),
        ("www.FOOBAR.com:8080", False),
        ("foofoobar.com", True),
        ("baz.com", True),
        ("localhost.net", True),
        ("local.localhost", True),
        ("barbarbaz.net", True),
        ("wildcard.io", True),
        ("nested.wildcard.io", False),
        ("awildcard.io", True),
    ],
)
def test_no_proxy(host: str, through: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", NO_PROXY)
    assert used(host) == through


@pytest.mark.parametrize(
    ("no_proxy", "host", "through"),
    [
        ("*b.com", "a.b.com", True),  # a star stands before a dot only
        ("*", "example.com", False),
        ("x, *", "10.1.2.3", False),
        (":1", "example.com", True),
        (",, ,", "example.com", True),
        ("10.0.0.0/99", "10.0.0.1", True),
        (".示例.com", "a.xn--fsq092h.com", False),
        ("xn--fsq092h.com", "示例.com", False),
        ("example.com:81", "example.com:81", False),
        ("example.com:81", "example.com:82", True),
    ],
)
def test_odd_values(no_proxy: str, host: str, through: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert used(host) == through


def test_which_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert proxy_of_environment(urlsplit("https://example.com")) is None
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:a%40b@proxy.example.com")
    assert proxy_of_environment(urlsplit("https://example.com")) == Proxy(
        "socks5h://proxy.example.com:1080", "me:a@b"
    )
    monkeypatch.setenv("https_proxy", "http://other.example.com:1")
    assert proxy_of_environment(urlsplit("https://example.com")) == Proxy(
        "socks5h://proxy.example.com:1080", "me:a@b"
    )
    monkeypatch.setenv("HTTPS_PROXY", "")
    assert proxy_of_environment(urlsplit("https://example.com")) == Proxy("http://other.example.com:1")
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.setenv("no_proxy", "example.com")
    assert proxy_of_environment(urlsplit("https://example.com")) is not None
    monkeypatch.setenv("HTTPS_PROXY", "ftp://me:s3cret@x")
    with pytest.raises(ValueError, match=r"^HTTPS_PROXY: its scheme must be .*; `ftp:` is not$"):
        proxy_of_environment(urlsplit("https://example.com"))


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://proxy", "http://proxy:80"),
        ("HTTPS://Proxy:3128/path", "https://proxy:3128"),
        ("socks5h://[::1]", "socks5h://[::1]:1080"),
    ],
)
def test_urls_of_proxies(text: str, url: str) -> None:
    assert given_proxy(text) == Proxy(url)


@pytest.mark.parametrize(
    "text",
    [
        *("", "s3cret", "s3cret:1", "//s3cret", "http://", "http://:1", "http://s3cret:0", "http://s3cret:x"),
        *("http://%s3cret:1", "http://s3cret%00:1", "http://[::1]s3cret:1", "socks5://s3cret%zz"),
        *("http://s3 cret", "http://s3cret\n", "http://[s3cret", "http://s3cret..x", "socks4://s3cret"),
    ],
)
def test_what_is_no_url_is_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(it|its|0) ") as raised:
        parse_endpoint(text, ("http", "https", "socks5"))
    assert "s3cret" not in str(raised.value)
    assert raised.value.__cause__ is None
