"""A chain over the lines of a file: each has a number and the digest of the line before it, whatever its format.

A line that is missing, added, moved or changed breaks it. Lines that were cut off at the end do not: for that, the last
digest is noted elsewhere (`kspec audit verify` prints it, and compares it with --head). A chain begins with record 1;
where rotation removed the oldest file, a later line says which record is the first that was kept.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NamedTuple

START = "0" * 64
"""The digest before the first line."""

LONGEST_LINE = 4 << 20
_OF_JSON = re.compile(rb'"seq":(\d{1,18}),"prev":"([0-9a-f]{64})"(?:,"kept":(\d{1,18}))?\}{1,2}$')
_OF_TEXT = re.compile(
    rb" cn1Label=seq cn1=(\d{1,18}) cs6Label=prev cs6=([0-9a-f]{64})(?: cn2Label=kept cn2=(\d{1,18}))?$"
)


class Link(NamedTuple):
    """Number of a line, from 1, and the digest of the line before.

    kept: the first record that rotation left; 0: it removed nothing, or said so before
    """

    seq: int
    prev: str
    kept: int = 0


@dataclass
class Chain:
    """Where a file's chain is. seq: of the last line; head: its digest."""

    seq: int = 0
    head: str = START

    def add(self, line: bytes, kept: int = 0) -> bytes:
        """The line with its link, which becomes the last one."""
        self.seq += 1
        made = linked(line, Link(self.seq, self.head, kept))
        self.head = digest(made)
        return made


def linked(line: bytes, link: Link) -> bytes:
    """A line with its link: a last key of a JSON object, last fields of CEF."""
    if line.startswith(b"{"):  # a line of CEF may end with a brace: its details are JSON
        comma = b"" if line.endswith(b"{}") else b","
        kept = b',"kept":%d' % link.kept if link.kept else b""
        return b'%s%s"chain":{"seq":%d,"prev":"%s"%s}}' % (
            line[:-1],
            comma,
            link.seq,
            link.prev.encode(),
            kept,
        )
    kept = b" cn2Label=kept cn2=%d" % link.kept if link.kept else b""
    return b"%s cn1Label=seq cn1=%d cs6Label=prev cs6=%s%s" % (line, link.seq, link.prev.encode(), kept)


def link_of(line: bytes) -> Link | None:
    """The link of a line; None: it has none."""
    found = (_OF_JSON if line.endswith(b"}") else _OF_TEXT).search(line[-256:])
    return Link(int(found[1]), found[2].decode(), int(found[3] or 0)) if found is not None else None


def digest(line: bytes) -> str:
    """Of a line, without its end."""
    return hashlib.sha256(line).hexdigest()


def first_of(stream: BinaryIO) -> Link | None:
    """The link of the first line of a file."""
    return link_of(stream.readline(LONGEST_LINE).removesuffix(b"\n"))


def last_of(stream: BinaryIO) -> Chain | None:
    """The chain at the end of a file; None: none of its last lines has a link."""
    size = stream.seek(0, 2)
    stream.seek(max(0, size - LONGEST_LINE))
    for line in reversed(stream.read(LONGEST_LINE).split(b"\n")):
        link = link_of(line)
        if link is not None:
            return Chain(link.seq, digest(line))
    return None


@dataclass
class Verified:
    """What became of a verification. first, last: numbers; head: digest of the last line; problems: a line each.

    before: digest of the record before the first; kept: the first record that rotation left, as later ones say; 0: all
    lowest: the smallest number
    """

    lines: int = 0
    first: int = 0
    last: int = 0
    head: str = START
    before: str = START
    kept: int = 0
    lowest: int = 0
    problems: list[str] = field(default_factory=list)


MOST_PROBLEMS = 100


def verify(files: Iterable[tuple[str, BinaryIO]], noted: str = "", first: int = 1) -> Verified:
    """Follow the chain through files, the oldest first. Reads them line by line.

    noted: the digest of a record that was there before: it must be there now, or be the one before the first.
    first: the first record that must be there
    """
    made = Verified()
    found = not noted or noted == START
    for name, stream in files:
        for number, line in enumerate(_lines(stream), 1):
            if len(made.problems) >= MOST_PROBLEMS:
                made.problems.append("and more; the rest was not read")
                return made
            _next(made, f"{name}:{number}", line)
            found = found or made.head == noted
    follows = noted not in ("", START) and noted == made.before
    if made.first > max(first, made.kept) and not follows:
        made.problems.insert(0, _no_beginning(made))
    if not found and not follows:
        made.problems.append("no record has the digest that was given")
    return made


def _no_beginning(made: Verified) -> str:
    if made.lowest < made.first:
        return (
            f"the first record in these files is {made.first}, and record {made.lowest} comes later: "
            "name the oldest file first"
        )
    missing = "record 1 is" if made.first == 2 else f"records 1 to {made.first - 1} are"
    return (
        f"{missing} missing: the first record in these files is {made.first}. Name the files that were rotated before, "
        f"or pass --from {made.first} if it is known that they were removed"
    )


def _next(made: Verified, where: str, line: bytes) -> None:
    if not line:
        return
    made.lines += 1
    link = link_of(line)
    if link is None or link.seq < 1:
        made.problems.append(f"{where}: this line is not a record: it was cut off, added or changed")
        return
    expected = made.last + 1
    if made.last and link.seq != expected:
        count = link.seq - expected
        lines = "1 line is" if count == 1 else f"{count} lines are"
        said = f"{lines} missing before it" if count > 0 else "it is out of order"
        if link.seq == 1 and link.prev == START:
            said = "another chain begins here"
        made.problems.append(f"{where}: record {link.seq} follows record {made.last}: {said}")
    elif link.prev != made.head and (made.last or link.seq == 1):
        before = f"record {made.last}" if made.last else "the beginning"
        made.problems.append(f"{where}: the line before it, {before}, was changed")
    if not made.first:
        made.first, made.before = link.seq, link.prev
    made.lowest = min(made.lowest or link.seq, link.seq)
    made.last, made.head, made.kept = link.seq, digest(line), max(made.kept, link.kept)


def _lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines without their ends; one that is longer than any record is given as several."""
    while line := stream.readline(LONGEST_LINE):
        yield line.removesuffix(b"\n")
