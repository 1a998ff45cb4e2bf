"""Where alerts may be sent: no address that only this machine or its cloud should reach.

A name is resolved once, every address of it is looked at, and the connection goes to the address that was looked at: a
name that leads elsewhere a moment later leads nowhere. Redirects are not followed at all.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pytest_kspec.errors import SourceError, UsageError

ALLOW = "KSPEC_ALERT_ALLOW"
"""Variable of whoever runs kspec: networks that alerts may be sent to in spite of what is said here."""

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_METADATA = tuple(
    ipaddress.ip_network(text)
    for text in (
        *("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32", "fd20:ce::254/128"),
        *("100.100.100.200/32", "192.0.0.192/32", "168.63.129.16/32"),
    )
)
_WITHIN = tuple(
    ipaddress.ip_network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0:0/96")
)
"""Addresses of IPv6 whose last 32 bits are one of IPv4: NAT64 (of all, of one network), IPv4-compatible, translated."""


class NotAllowed(SourceError):
    """An address that alerts are not sent to."""


@dataclass(frozen=True)
class Guard:
    """loopback: whether this machine itself may be a receiver; allowed: networks that may be in any case."""

    loopback: bool = True
    allowed: tuple[Network, ...] = ()

    def resolve(self, host: str, port: int, where: str) -> str:
        """The address to connect to. Raises NotAllowed, SourceError."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            text = getattr(error, "strerror", None) or "not a name"
            raise SourceError(f"the name of the server cannot be resolved ({text}).", where=where) from None
        addresses = [str(entry[4][0]) for entry in found]
        for text in addresses:
            self.check(text, where)
        return addresses[0]

    def check(self, text: str, where: str) -> None:
        """Raises NotAllowed for an address that is not to be reached."""
        address = _plain(text)
        if any(address in network for network in self.allowed if network.version == address.version):
            return
        if address.is_loopback and self.loopback:
            return
        if (
            address.is_loopback
            or address.is_unspecified
            or address.is_multicast
            or address.is_link_local
            or any(address in network for network in _METADATA if network.version == address.version)
        ):
            raise NotAllowed(
                "the address of the server belongs to this machine or to its cloud.",
                where=where,
                fix=f"To allow it, name its network in ${ALLOW}, such as {address}/{address.max_prefixlen}.",
            )


def guard_of_environment(*, loopback: bool) -> Guard:
    """With the networks that the variable names. Raises UsageError."""
    return Guard(loopback, tuple(_networks(os.environ.get(ALLOW, "").split(","))))


def _networks(texts: Iterable[str]) -> Iterable[Network]:
    for text in filter(None, map(str.strip, texts)):
        try:
            yield ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise UsageError(
                f"'{text[:50]}' is not a network.", where=f"${ALLOW}", fix="Write 10.0.0.0/8, for example."
            ) from None


def _plain(text: str) -> Address:
    """The address that is meant: of IPv4 within IPv6, that of IPv4."""
    address: Any = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address.sixtofour is not None:
            return address.sixtofour
        if address.teredo is not None:
            return address.teredo[1]
        if int(address) > 1 and any(address in network for network in _WITHIN):
            return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return address  # type: ignore[no-any-return]
