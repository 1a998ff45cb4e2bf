"""How often one client may ask. Every server that limits does it with this.

A client is who sends: the address of the connection, or a user whose identity was proven. What a request says of
itself, such as X-Forwarded-For, decides nothing here. A network of IPv6 is one client: whoever has one address there
has 2^64.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from collections.abc import Callable

REMEMBERED_CLIENTS = 1024
_OF_ONE_CLIENT = 64
"""Bits of an IPv6 address that providers give to one customer."""


def client_of(address: str) -> str:
    """The client behind the address of a connection: the address itself, or its network of IPv6."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, _OF_ONE_CLIENT), strict=False))


class Rate:
    """A token bucket for each client address; of the most recent `REMEMBERED_CLIENTS` ones. Thread-safe."""

    def __init__(self, per_second: float, burst_s: float, clock: Callable[[], float]) -> None:
        self._rate = per_second
        self._burst = max(per_second * burst_s, 1.0)
        self._clock = clock
        self._clients: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def allow(self, client: str) -> bool:
        """Whether one more request of this client is within its rate."""
        if not self._rate:
            return True
        now = self._clock()
        with self._lock:
            return self._take(client, now)

    def _take(self, client: str, now: float) -> bool:
        tokens, then = self._clients.get(client, (self._burst, now))
        tokens = min(self._burst, tokens + (now - then) * self._rate)
        allowed = tokens >= 1.0
        self._clients[client] = (tokens - 1.0 if allowed else tokens, now)
        self._clients.move_to_end(client)
        if len(self._clients) > REMEMBERED_CLIENTS:
            self._clients.popitem(last=False)
        return allowed
