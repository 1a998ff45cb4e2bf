"""What one client may cost: connections, seconds, bytes; how often it may ask, `rate` says.

An API server calls with a body of at most 3 MB and waits 30 s at most; nothing legitimate needs more. Over a
limit the answer is an HTTP error, which the API server treats as the registered failure policy says.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pytest_kspec.serving.rate import client_of

MIB = 1 << 20
ONE_READ = 256 << 10
"""Bytes that may come at once: so much of the request before may stand before a new one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """body and headers in bytes, times in seconds. rate: reviews a second of one client address, 0 for no limit.

    read_s: how long a client may take to read enough of an answer that the next part of it fits into the buffer

    idle_s is longer than the 90 s of an API server, so that it closes idle connections and never finds one
    closed under its hands. of_one: connections of one client address, 0 for as many as there are: who holds all of
    them keeps out the probes, which end the process.
    """

    body: int = 7 * MIB  # old and new object of 3 MiB each
    headers: int = 64 << 10
    headers_s: float = 10.0
    body_s: float = 10.0
    read_s: float = 30.0
    idle_s: int = 120
    connections: int = 1000
    of_one: int = 0
    rate: float = 0.0
    burst_s: float = 2.0


def protocol(limits: Limits, on_refused: Callable[[], None]) -> type[HttpToolsProtocol]:
    """Uvicorn's protocol with the limits that it does not have. on_refused: once for each connection that is ended.

    Connections beyond the limit are closed at once instead of being held open for a 503. A request ends its
    connection whose headers do not arrive in time, or whose first line, headers, or anything that the parser
    collects before it hands it on (one endless header, trailers, chunk extensions), are larger than allowed. So does
    a client that does not read its answer.
    """
    most = 2 * limits.body + limits.headers  # bytes of one request, with what chunks add to a body
    held: Counter[str] = Counter()

    class Limited(HttpToolsProtocol):
        _deadline: asyncio.TimerHandle | None = None
        _unread: asyncio.TimerHandle | None = None
        _in_headers = False
        _size = 0
        _received = 0
        _refused = False
        _client = ""

        def data_received(self, data: bytes) -> None:
            if self._refused:
                return
            super().data_received(data)
            self._received += len(data)
            if self._in_headers and self._deadline is None:  # of most requests they come at once
                self._expect_headers()
            if self._received > (most if self._deadline is None else limits.headers + ONE_READ):
                self._refuse()

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if limits.of_one:
                self._client = client_of(self.client[0] if self.client else "")
                held[self._client] += 1
            if len(self.connections) > limits.connections or held[self._client] > limits.of_one:
                self._refuse()
                return
            self._expect_headers()

        def pause_writing(self) -> None:
            super().pause_writing()
            if self._unread is None:
                self._unread = self.loop.call_later(limits.read_s, self._refuse)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._is_read()

        def _is_read(self) -> None:
            if self._unread is not None:
                self._unread.cancel()
                self._unread = None

        def connection_lost(self, exc: Exception | None) -> None:
            self._headers_are_here()
            self._is_read()
            if limits.of_one:
                held[self._client] -= 1
                if not held[self._client]:
                    del held[self._client]
            # Uvicorn leaves the timer of a connection that was reset, which keeps 40 KB until it goes off.
            self._unset_keepalive_if_required()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._size = self._received = 0
            self._in_headers = True

        def on_header(self, name: bytes, value: bytes) -> None:
            super().on_header(name, value)
            self._size += len(name) + len(value)
            if self._size > limits.headers:
                self._refuse()

        def on_headers_complete(self) -> None:
            self._headers_are_here()
            if self.transport.is_closing():
                return
            super().on_headers_complete()

        def on_url(self, url: bytes) -> None:
            super().on_url(url)
            self._size += len(url)
            if self._size > limits.headers:
                self._refuse()

        def _expect_headers(self) -> None:
            self._deadline = self.loop.call_later(limits.headers_s, self._refuse)

        def _headers_are_here(self) -> None:
            self._in_headers = False
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _refuse(self) -> None:
            # The parser goes on through what it was given, and comes back with each further header.
            if not self._refused:
                self._refused = True
                self._in_headers = False
                on_refused()
                self.transport.abort()

    return Limited
