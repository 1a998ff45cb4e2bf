"""Reading from a server that may be hostile: no answer costs more bytes or seconds than it was allowed.

Every read of a connection passes a `Meter`, which knows what is left (see `measured`). Bodies are decompressed here
too: what counts is the size that they unpack to.
"""

from __future__ import annotations

import math
import sys
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

import urllib3
from urllib3.exceptions import ProtocolError

from pytest_kspec.cluster.limits import MEGABYTES, SECONDS, size

MAX_HEAD_BYTES = 1 << 20
"""Status line and headers of one answer, and of every interim answer (1xx) before it."""

MAX_ERROR_BYTES = 1 << 20
"""Of an answer that is no success; only its message is of use, so the rest is not read."""

_CHUNK = 256 << 10
_GZIP = 16 + zlib.MAX_WBITS


class Exceeded(Exception):
    """An allowance is used up. The text says which one, and what raises it."""


class Allowance:
    """Seconds and bytes that something may cost, and what is left of them. what: its name in errors."""

    def __init__(self, what: str, seconds: float, most: int) -> None:
        self.what = what
        self.seconds, self.bytes = seconds, most
        self.seconds_left, self.bytes_left = seconds, most

    def problem(self) -> Exceeded | None:
        """The error where nothing is left of one of them."""
        if self.seconds_left <= 0:
            return self.too_slow()
        return self.too_large() if self.bytes_left < 0 else None

    def too_slow(self) -> Exceeded:
        """The error where no seconds are left."""
        return Exceeded(f"{self.what} took more than {self.seconds:g} s ({SECONDS} raises this bound)")

    def too_large(self) -> Exceeded:
        """The error where no bytes are left."""
        return Exceeded(f"{self.what} has more than {size(self.bytes)} ({MEGABYTES} raises this bound)")


class Meter:
    """What the request in flight may still cost. Without a request nothing is measured. For one thread."""

    def __init__(self) -> None:
        self._allowances: tuple[Allowance, ...] = ()
        self._started = 0.0
        self._raw_left = sys.maxsize

    @contextmanager
    def measure(self, *allowances: Allowance) -> Iterator[None]:
        """Everything within is charged to these. Raises Exceeded."""
        self._allowances, self._started, self._raw_left = allowances, time.monotonic(), MAX_HEAD_BYTES
        try:
            self.seconds_left()
            yield
        finally:
            spent = time.monotonic() - self._started
            for allowance in allowances:
                allowance.seconds_left -= spent
            self._allowances, self._raw_left = (), sys.maxsize

    def seconds_left(self) -> float:
        """Until the first allowance ends. Raises Exceeded."""
        left, spent = math.inf, time.monotonic() - self._started
        for allowance in self._allowances:
            left = min(left, allowance.seconds_left - spent)
            if left <= 0:
                raise allowance.too_slow()
        return left

    def take(self, count: int) -> None:
        """Bytes of a body, decompressed. Raises Exceeded."""
        for allowance in self._allowances:
            allowance.bytes_left -= count
            if allowance.bytes_left < 0:
                raise allowance.too_large()

    def room(self) -> int:
        """Bytes of a body that may still come."""
        return max(0, min((allowance.bytes_left for allowance in self._allowances), default=sys.maxsize))

    def take_raw(self, count: int) -> None:
        """Bytes as they come from the socket: headers, chunks, trailers. Raises Exceeded."""
        self._raw_left -= count
        if self._raw_left < 0:
            raise Exceeded(f"the status line and headers of an answer are larger than {size(MAX_HEAD_BYTES)}")

    def expect_body(self) -> None:
        """The headers are there."""
        room = self.room()
        self._raw_left = room + room // 8 + MAX_HEAD_BYTES

    @property
    def measuring(self) -> bool:
        """Whether a request is in flight, and not one of somebody else, such as the `kube` fixture's."""
        return bool(self._allowances)


def read_body(response: urllib3.BaseHTTPResponse, meter: Meter) -> bytes:
    """The whole body, decompressed; of an error only its beginning.

    Raises Exceeded, urllib3's HTTPError; the connection is closed then.
    """
    cut = MAX_ERROR_BYTES if response.status >= 300 else None
    meter.expect_body()
    parts: list[bytes] = []
    held = 0
    done = False
    try:
        for part in _unpacked(response, meter):
            parts.append(part)
            held += len(part)
            if cut is not None and held > cut:
                return b"".join(parts)[:cut]
            meter.take(len(part))
        done = True
    finally:
        if not done:
            response.close()
    return parts[0] if len(parts) == 1 else b"".join(parts)


def read_parts(response: urllib3.BaseHTTPResponse, meter: Meter) -> Iterator[bytes]:
    """A body that comes bit by bit, decompressed, each part when it is there. Raises Exceeded, urllib3's HTTPError."""
    meter.expect_body()
    for part in _unpacked(response, meter):
        meter.take(len(part))
        yield part


def _unpacked(response: urllib3.BaseHTTPResponse, meter: Meter) -> Iterator[bytes]:
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    stream = response.stream(_CHUNK, decode_content=False)
    if encoding in ("", "identity"):
        yield from stream
        return
    if encoding not in ("gzip", "x-gzip"):
        raise ProtocolError(f"its body is encoded as {encoding[:40]!r}, which was not required")
    unpack, started = zlib.decompressobj(_GZIP), False
    try:
        for raw in stream:
            started = True
            yield unpack.decompress(raw, meter.room() + 1)  # one more than there is room for: too large
            if unpack.unused_data:
                raise ProtocolError("data follows its gzip stream")
    except zlib.error as error:
        raise ProtocolError("its gzip stream is damaged") from error
    if started and not unpack.eof:
        raise ProtocolError("its gzip stream ends too early")
