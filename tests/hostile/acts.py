"""What a hostile API server does to a connection. Each ends when the client goes away or the server is stopped."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator

from tests.cluster.api import Reply, Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
LIST = b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":['
ITEM = b'{"metadata":{"name":"x","namespace":"y"},"spec":{}},'
BLOCK = ITEM * 1000


def act(do: Callable[[Wire], None]) -> Reply:
    return Reply(act=do)


def sends(*parts: bytes) -> Reply:
    """These bytes, and the connection ends."""

    def do(wire: Wire) -> None:
        for part in parts:
            wire.send(part)

    return act(do)


def for_ever(start: bytes, block: bytes, pause_s: float = 0.0) -> Reply:
    """One block after the other, as fast as they are read, or one each `pause_s`."""

    def do(wire: Wire) -> None:
        wire.send(start)
        while not wire.wait(pause_s):
            wire.send(block)

    return act(do)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def bomb(size: int, unit: bytes = b" ") -> bytes:
    """A gzip stream of a list with `size` bytes of nothing within."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts: list[bytes] = [packer.compress(LIST)]
    parts += [packer.compress(unit * (1 << 20)) for _ in range(size >> 20)]
    return b"".join(parts) + packer.compress(b"]}") + packer.flush()


def encoded(body: bytes, encoding: str) -> Reply:
    return Reply(body, headers={"Content-Encoding": encoding})


def _without_end() -> Iterator[tuple[str, Reply]]:
    """(name, reply): answers that never end in some part of them."""
    yield "body", for_ever(OK + b"\r\n" + LIST, BLOCK)
    yield "chunks", for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n" + chunk(LIST), chunk(BLOCK))
    yield "chunks of one byte", for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", chunk(b" ") * 5000)
    yield "chunk line", for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n1;x=", b"x" * 65536)
    yield "trailers", for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X-A: b\r\n" * 5000)
    yield "negative chunk", for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n-5\r\n", BLOCK)
    yield "content length", for_ever(OK + b"Content-Length: 99999999999\r\n\r\n" + LIST, BLOCK)
    yield "header line", for_ever(OK + b"X-A: ", b"b" * 65536)
    yield "headers", for_ever(OK, b"X-A: b\r\n" * 1000)
    yield "interim answers", for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000)
    yield "early hints", for_ever(b"", b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" * 1000)
    yield "status line", for_ever(b"HTTP/1.1 200 ", b"O" * 65536)
    gzipped = zlib.compressobj(9, zlib.DEFLATED, 31)
    start = gzipped.compress(LIST + b" " * (1 << 20)) + gzipped.flush(zlib.Z_SYNC_FLUSH)
    block = gzipped.compress(b" " * (8 << 20)) + gzipped.flush(zlib.Z_SYNC_FLUSH)
    yield "gzip stream", for_ever(OK + b"Content-Encoding: gzip\r\n\r\n" + start, block)
    yield "gzip bomb", encoded(bomb(256 << 20), "gzip")
    yield "gzip members", for_ever(OK + b"Content-Encoding: gzip\r\n\r\n", gzip.compress(b"") * 1000)


def _slow(pause_s: float) -> Iterator[tuple[str, Reply]]:
    """(name, reply): a byte now and then, always before a timeout of the socket."""
    yield "body", for_ever(OK + b"\r\n" + LIST, b" ", pause_s)
    yield "chunks", for_ever(OK + b"Transfer-Encoding: chunked\r\n\r\n", chunk(b" "), pause_s)
    yield "header", for_ever(OK + b"X-A: ", b"b", pause_s)
    yield "interim answers", for_ever(b"", b"HTTP/1.1 100 Continue\r\n\r\n", pause_s)
    yield "status line", for_ever(b"HTTP/1.1 200 ", b"O", pause_s)


WITHOUT_END = dict(_without_end())
SLOW = dict(_slow(0.1))
