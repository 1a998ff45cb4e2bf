"""The audit log that several processes may write to: chained lines, rotated by size, whole or not there.

A batch is written under a lock on the file. Where it cannot be written whole (a full disk), the file is cut back to its
last whole record: what is lost is counted, and the chain goes on. On standard output and in pipes each process has a
chain of its own, in which a record that was lost is missing.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import stat
from collections.abc import Sequence
from typing import Any

from pytest_kspec.audit.chain import Chain, first_of, last_of
from pytest_kspec.audit.sink import AuditLog, Format, Lost, harmless, whole
from pytest_kspec.errors import UsageError
from pytest_kspec.shown import printable

log = logging.getLogger("kspec.audit")

SIZE = "KSPEC_AUDIT_MAX_SIZE"
LARGEST = 100 << 20
"""Bytes of a file, by default; the next record begins another one."""

_MOST_MIB = 10_240

KEPT = 9
"""Files that are kept beside the newest, as FILE.1 (the newest of them) to FILE.9."""

_TRIES = 10


def largest_of_environment() -> int:
    """Bytes of a file, as $KSPEC_AUDIT_MAX_SIZE says. Raises UsageError."""
    text = os.environ.get(SIZE) or ""
    if not text:
        return LARGEST
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 1 <= int(text) <= _MOST_MIB):
        what = f"'{text[:40]}' is not a number of MiB from 1 to {_MOST_MIB}."
        raise UsageError(what, where=f"${SIZE}")
    return int(text) << 20


class ChainedLog(AuditLog):
    """As `AuditLog`. largest: bytes after which another file begins; 0: never."""

    def __init__(self, path: str, form: Format, *, largest: int = LARGEST) -> None:
        self._largest = largest
        self._chain: Chain | None = None
        self._end = -1  # of the file, after what this process wrote
        self._why = ""
        self.stuck = ""  # why a full file is not rotated
        super().__init__(path, form)

    def write(self, records: Sequence[Any]) -> None:
        """One batch. Raises Lost with the number of records that are not in the log."""
        # Who reads a log with `tail` has a terminal, too: what it would obey is escaped in files as on standard output.
        made = [[harmless(line) for line in self._form(entry)] for entry in records]
        done = 0
        try:
            if self._descriptor < 0:
                self._open()
            if not self._is_file():
                self._pass_on(made)
                return
            self._lock()
            try:
                done = self._append(made)
            finally:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        except OSError as error:
            raise Lost(len(records), error.strerror or str(error)) from error
        if done < len(records):
            raise Lost(len(records) - done, self._why)

    # -- inside, under the lock ------------------------------------------------------------------------------

    def _append(self, made: Sequence[Sequence[bytes]]) -> int:
        """How many records were written; where these are not all, `_why` says why."""
        size = os.fstat(self._descriptor).st_size
        known = self._current(size)
        chain = Chain(known.seq, known.head)
        torn = b"\n" if size and self._last_byte(size) != b"\n" else b""
        parts, ends = [], []
        for lines in made:
            before = Chain(chain.seq, chain.head)
            parts.append(b"".join(chain.add(line) + b"\n" for line in lines))
            ends.append(Chain(chain.seq, chain.head))
        if self._is_full(size + len(torn) + sum(map(len, parts))) and (kept := self._kept_then()):
            # What rotation will remove is said before it does, under the same lock: no other process writes between.
            parts[-1] = b"".join(before.add(line, kept) + b"\n" for line in made[-1])
            ends[-1] = before
        done = len(parts)
        try:
            self._write_all(torn + b"".join(parts))
        except OSError as error:
            self._why = error.strerror or str(error)
            written = os.fstat(self._descriptor).st_size - size - len(torn)
            done = whole(parts, max(0, written))
        if done:
            self._chain, self._end = ends[done - 1], size + len(torn) + sum(map(len, parts[:done]))
        if done < len(parts):
            self._cut(self._end if done else size)
        elif self._is_full(self._end):
            self._move_on()
        return done

    def _cut(self, end: int) -> None:
        """Whole records only. A file that may only grow (`chattr +a`) keeps a line that is none."""
        with contextlib.suppress(OSError):
            os.ftruncate(self._descriptor, end)

    def _pass_on(self, made: Sequence[Sequence[bytes]]) -> None:
        """To what cannot be cut back. Raises Lost."""
        self._chain = chain = self._chain or Chain()
        self._send([b"".join(chain.add(line) + b"\n" for line in lines) for lines in made])

    def _current(self, size: int) -> Chain:
        """The end of the chain: in memory, where nobody else wrote; else in this file, else in the one before."""
        if self._chain is not None and size == self._end:
            return self._chain
        for path in (self._path, f"{self._path}.1") if size else (f"{self._path}.1",):
            try:
                with open(path, "rb") as stream:
                    found = last_of(stream)
            except FileNotFoundError:
                continue
            if found is not None:
                return found
        return self._chain or Chain()

    def _lock(self) -> None:
        """Hold the file that has the name now. Raises OSError."""
        for _ in range(_TRIES):
            if self._descriptor < 0:
                self._open()
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
            if not self._moved():
                return
            self.close()
            self._end = -1
        raise OSError("the file is replaced repeatedly")

    def _is_full(self, size: int) -> bool:
        return bool(self._largest) and size >= self._largest

    def _kept_then(self) -> int:
        """The first record that the next rotation leaves; 0: it removes nothing, or what is not part of the chain."""
        try:
            with open(f"{self._path}.{KEPT}", "rb") as stream:
                removed = last_of(stream)
            with open(f"{self._path}.{KEPT - 1}" if KEPT > 1 else self._path, "rb") as stream:
                left = first_of(stream)
        except OSError:
            return 0
        follows = removed and left and (left.seq, left.prev) == (removed.seq + 1, removed.head)
        return left.seq if left and follows else 0

    def _move_on(self) -> None:
        """Rotate; where that is not permitted, the file grows: no record is lost by it."""
        try:
            self._rotate()
        except OSError as error:
            is_new, self.stuck = not self.stuck, error.strerror or str(error)
            if is_new:
                log.error("%s cannot be rotated, so it grows: %s", printable(self._path), self.stuck)
        else:
            self.stuck = ""

    def _rotate(self) -> None:
        """Move files on by one, the oldest falls off; the chain goes on in the next file."""
        for number in range(KEPT - 1, 0, -1):
            if os.path.exists(f"{self._path}.{number}"):
                os.replace(f"{self._path}.{number}", f"{self._path}.{number + 1}")
        os.replace(self._path, f"{self._path}.1")
        self._end = -1

    def _last_byte(self, size: int) -> bytes:
        with open(self._path, "rb") as stream:
            stream.seek(size - 1)
            return stream.read(1)

    def _is_file(self) -> bool:
        return self._path != "-" and stat.S_ISREG(os.fstat(self._descriptor).st_mode)
