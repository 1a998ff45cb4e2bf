"""Unpacks a .gz that may come from anywhere: one stream, to an end that is there, to no more than a bound.

The standard library's reader goes on with any number of further streams, of which millions that hold nothing fit into a
small file.
"""

from __future__ import annotations

import gzip
import io
import zlib
from typing import Any, BinaryIO

from pytest_kspec.cluster.limits import size

BUFFER_BYTES = 1 << 20
_CHUNK = 64 << 10
GZIP_WBITS = 16 + zlib.MAX_WBITS
"""Tells zlib that there is a gzip header and trailer, whose checksum it verifies."""


def gunzip(file: BinaryIO, most: int, hint: str = "") -> io.BufferedReader:
    """The unpacked bytes of `file`. most: how many there may be; hint: how to raise that, for the error.

    Reading raises gzip.BadGzipFile, zlib.error, EOFError (damaged) and ValueError (too large).
    """
    return io.BufferedReader(_Unpacked(file, most, hint), BUFFER_BYTES)


class _Unpacked(io.RawIOBase):
    def __init__(self, file: BinaryIO, most: int, hint: str) -> None:
        self._file = file
        self._most = self._left = most
        self._hint = hint
        self._unpack = zlib.decompressobj(GZIP_WBITS)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        part = b""
        while not part and not self._unpack.eof:
            packed = self._unpack.unconsumed_tail or self._file.read(_CHUNK)
            if not packed:
                raise EOFError("it ends too early")
            part = self._unpack.decompress(packed, len(buffer))
        self._left -= len(part)
        if self._left < 0:
            raise ValueError(f"it unpacks to more than {size(self._most)}{self._hint}")
        if self._unpack.eof and (self._unpack.unused_data or self._file.read(1)):
            raise gzip.BadGzipFile("data follows its gzip stream")
        buffer[: len(part)] = part
        return len(part)
