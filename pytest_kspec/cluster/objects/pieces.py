"""Lists of any size, a piece at a time: what is held of a list is a few hundred kilobytes, whatever its size.

A piece ends where the text looks as it does between two items, and its decoder proves that it is there: what a parser
knows after some text hangs on that text alone. `[`, the text and `]` are one JSON array only if the text ends behind an
item of the list, not within one. A guess that is wrong makes the next piece larger, never a wrong piece.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import msgspec

from pytest_kspec.cluster.objects.answers import Buffer
from pytest_kspec.regexes import regex

PIECE_BYTES = 256 << 10
PLAIN_BYTES = 16 << 20
"""Of texts in memory, which stay as they are; what comes on top of it is compressed."""

_GUESSES = 3
_ROOM_BYTES = 4 << 20
_MOST_BYTES = 8 << 20
_FORGET_BYTES = 8 << 20
_FIRST_KEY = regex(rb"\s*\[(\s*\{\s*\"[^\"\\]*\"\s*:)")
_GAPS = (b"},", b"}, ")
_CLOSE = ord("]")

T = TypeVar("T")


def pieces(items: Buffer, decode: Callable[[Buffer], T]) -> Iterator[tuple[Buffer, T]]:
    """Each piece of a JSON array (or `null`) and what `decode` makes of it; `array_of` makes an array of it again.

    decode: of the text of an array. For what is no array in JSON it must raise UnicodeDecodeError or
    msgspec.DecodeError, but no ValidationError.
    Raises what `decode` raises.
    """
    first = _FIRST_KEY.match(bytes(items[:1024])) if len(items) > 2 * PIECE_BYTES else None
    end = len(items) - 1
    if first is None or items[end : end + 1] != b"]":
        yield items, decode(items)
        return
    separators = [gap + first[1] for gap in _GAPS]
    at, size, forgotten = first.start(1), PIECE_BYTES, 0
    while at < end:
        text = _array(items, at, min(at + size, end))
        whole = at + size >= end
        # The first is right nearly always: the others are looked for when it is not.
        for cut in [len(text) - 1] if whole else _cuts(text, separators):
            behind, text[cut] = text[cut], _CLOSE
            try:
                found = decode(memoryview(text)[: cut + 1])
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                if whole or isinstance(error, msgspec.ValidationError):
                    raise
                text[cut] = behind
                continue
            yield items[at : at + cut - 1], found
            at, size = at + cut, PIECE_BYTES
            break
        else:
            size = (
                2 * size if size < _MOST_BYTES else end
            )  # then in one piece: nothing here looks as it should
        if at - forgotten > _FORGET_BYTES:
            forget(items)
            forgotten = at
    forget(items)


def _array(items: Buffer, start: int, end: int) -> bytearray:
    text = bytearray(b"[")
    text += items[start:end]
    text += b"]"
    return text


def array_of(text: Buffer) -> Buffer:
    """The array, or `null`, that a piece stands for."""
    return b"".join((b"[", text, b"]")) if bytes(text[:1024]).lstrip()[:1] == b"{" else text


def _cuts(text: bytearray, separators: list[bytes]) -> Iterator[int]:
    """Places behind the last items that `text` seems to hold, best first."""
    for separator in separators:
        cut = len(text)
        for _ in range(_GUESSES):
            cut = text.rfind(separator, 0, cut)
            if cut < 0:
                break
            yield cut + 1


def forget(text: Buffer) -> None:
    """Give back the memory of a file that is mapped: read again, it comes from the system's cache or from the disk."""
    mapped = text.obj if isinstance(text, memoryview) else None
    if isinstance(mapped, mmap.mmap) and hasattr(mapped, "madvise"):
        mapped.madvise(mmap.MADV_DONTNEED)


class Texts:
    """Texts of pieces, kept until somebody asks for a whole object."""

    def __init__(self) -> None:
        self._plain = 0
        self._compressor: Any = None
        # Not on the heap: between pages that come and go, small texts that stay would keep most of the room of all.
        self._room: mmap.mmap | None = None

    def keep(self, text: Buffer) -> Callable[[], Buffer]:
        """A way to have it again. What is mapped stays where it is; what is in memory is held compressed."""
        if isinstance(text, memoryview) and isinstance(text.obj, mmap.mmap):
            return lambda: text
        plain = bytes(text)
        if self._plain + len(plain) <= PLAIN_BYTES:
            self._plain += len(plain)
            return lambda: plain
        import zstandard

        if self._compressor is None:
            self._compressor = zstandard.ZstdCompressor(level=1)
        packed: bytes = self._compressor.compress(plain)
        if self._room is None or self._room.tell() + len(packed) > len(self._room):
            self._room = mmap.mmap(-1, max(_ROOM_BYTES, len(packed)))
        room, start = self._room, self._room.tell()
        room.write(packed)
        end = room.tell()
        return lambda: zstandard.ZstdDecompressor().decompress(room[start:end])
