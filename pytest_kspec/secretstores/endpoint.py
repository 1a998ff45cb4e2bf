"""Where secrets may come from: over TLS, or from this machine."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit

from pytest_kspec.errors import UsageError


def check_endpoint(address: str, where: str) -> None:
    """Raises UsageError for what is no address, and for plain HTTP to another machine."""
    try:
        parts = urlsplit(address)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        host, parts = "", urlsplit("")
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError("this is not an address.", where=where, fix="Write https://HOST:PORT.")
    if parts.username or parts.password:
        raise UsageError("the address contains a user name or a password.", where=where)
    if parts.scheme == "http" and not _is_loopback(host):
        raise UsageError(
            "the connection would not be encrypted: anyone on the network path could read secrets.",
            where=where,
            fix="Write https://HOST:PORT.",
        )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
