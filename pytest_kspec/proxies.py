"""Which proxy leads to an API server or a registry, as Go decides it, and the connections through it.

`proxy-url` of a kubeconfig always holds. Else it is HTTPS_PROXY or HTTP_PROXY by the server's scheme, unless
NO_PROXY names the server, or it is on this machine. Names are resolved by a SOCKS proxy, as in kubectl.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
from typing import Any, NamedTuple
from urllib.parse import SplitResult, unquote, urlsplit

import urllib3

SCHEMES = ("http", "https", "socks5", "socks5h")
_PORTS = {"http": 80, "https": 443, "socks5": 1080, "socks5h": 1080}


class Proxy(NamedTuple):
    """url: without its user; auth: "user:password" or ""."""

    url: str
    auth: str = ""


def parse_endpoint(text: str, schemes: tuple[str, ...]) -> SplitResult:
    """Split the URL of a server or proxy. Raises ValueError with a text that shows nothing of it."""
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in text):
        raise ValueError("it contains spaces or control characters")
    try:
        parts = urlsplit(text)
        port, host = parts.port, parts.hostname
    except ValueError:
        raise ValueError("it is not a URL with a valid host and port") from None
    if parts.scheme not in schemes:
        shown = f"`{parts.scheme[:20]}:` is not" if parts.scheme and "://" in text else "it has no scheme"
        raise ValueError(f"its scheme must be {', '.join(schemes[:-1])} or {schemes[-1]}; {shown}")
    if not host:
        raise ValueError("it has no host")
    if port == 0:
        raise ValueError("0 is not a port")
    try:
        host.encode("idna")
        urllib3.util.parse_url(f"{parts.scheme}://{parts.netloc}")  # who connects is as strict
    except (UnicodeError, urllib3.exceptions.LocationParseError):
        raise ValueError("its host is not a valid name") from None
    return parts


def given_proxy(text: str) -> Proxy:
    """`proxy-url`. Raises ValueError."""
    parts = parse_endpoint(text, SCHEMES)
    scheme = "socks5h" if parts.scheme == "socks5" else parts.scheme
    auth = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}" if parts.username else ""
    return Proxy(f"{scheme}://{_authority(parts)}", auth)


def proxy_of_environment(server: SplitResult) -> Proxy | None:
    """What the environment says for a server; None: no proxy. Raises ValueError naming the variable."""
    name = f"{server.scheme}_PROXY".upper()
    text = _variable(name)
    if not text or not _wanted(server, _variable("NO_PROXY")):
        return None
    try:
        return given_proxy(text if "://" in text else f"http://{text}")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _variable(name: str) -> str:
    """In capitals before small letters, unlike curl."""
    return os.environ.get(name) or os.environ.get(name.lower()) or ""


def pool(
    proxy: Proxy | None, tls: ssl.SSLContext | None = None, server_name: str | None = None, **options: Any
) -> urllib3.PoolManager:
    """A urllib3 manager. options: urllib3's, such as `maxsize`."""
    if tls is not None:
        options |= {"ssl_context": tls, "server_hostname": server_name}
    if proxy is None:
        return urllib3.PoolManager(**options)
    if proxy.url.startswith("socks"):
        from urllib3.contrib.socks import SOCKSProxyManager

        user, _, password = proxy.auth.partition(":")
        return SOCKSProxyManager(proxy.url, username=user or None, password=password or None, **options)
    headers = urllib3.make_headers(proxy_basic_auth=proxy.auth) if proxy.auth else None
    return urllib3.ProxyManager(proxy.url, proxy_headers=headers, proxy_ssl_context=tls, **options)


def _authority(parts: SplitResult) -> str:
    host = parts.hostname or ""
    return f"{f'[{host}]' if ':' in host else host}:{parts.port or _PORTS[parts.scheme]}"


def _wanted(server: SplitResult, no_proxy: str) -> bool:
    """Go's rules (golang.org/x/net/http/httpproxy): never for this machine; NO_PROXY has names, domains, addresses,
    networks, each but the last with an optional port.
    """
    host, port = _ascii(server.hostname or ""), str(server.port or _PORTS[server.scheme])
    if host == "localhost":
        return False
    address = _address(host)
    if address is not None and address.is_loopback:
        return False
    for entry in (part.strip().lower() for part in no_proxy.split(",")):
        if entry == "*":
            return False
        if "/" in entry:
            if address is not None and _within(address, entry):
                return False
            continue
        name, only = _split_port(entry)
        below = name.startswith((".", "*."))  # only what is below this domain
        name = _ascii(name.removeprefix("*.").removeprefix("."))
        if only and only != port:
            continue
        other = _address(name)
        if other is not None or address is not None:
            if other is not None and other == address:
                return False
        elif name and (host.endswith("." + name) or (host == name and not below)):
            return False
    return True


def _ascii(host: str) -> str:
    """As it is asked for in the DNS."""
    try:
        return host.encode("idna").decode().lower() if not host.isascii() else host.lower()
    except UnicodeError:
        return host.lower()


def _split_port(entry: str) -> tuple[str, str]:
    """Host and port of `host`, `host:port`, `[address]:port` or `address`."""
    if entry.startswith("["):
        host, _, rest = entry[1:].partition("]")
        return host, rest.removeprefix(":")
    if entry.count(":") == 1:
        host, _, port = entry.partition(":")
        return host, port
    return entry, ""


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(found, "ipv4_mapped", None) or found


def _within(address: ipaddress.IPv4Address | ipaddress.IPv6Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False
