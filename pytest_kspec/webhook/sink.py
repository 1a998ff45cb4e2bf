"""Where records go: a queue of bounded length and a thread. Whoever adds a record never waits.

A full queue drops what comes and counts it. A sink that fails (a full disk, an API server that is away) loses
its batch, counts it, and goes on with the next.
"""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO, Protocol

from pytest_kspec.errors import KspecError
from pytest_kspec.webhook import audit

log = logging.getLogger("kspec.webhook")

BATCH = 200
_STOP = object()


class Sink(Protocol):
    """Takes records in order, in one thread. Raises OSError or KspecError where they are lost."""

    name: str

    def write(self, records: Sequence[Any]) -> None:
        """Write them."""
        ...

    def close(self) -> None:
        """No more will come."""
        ...


class Queue:
    """Between the server and one sink. on_dropped(sink, count): records that are lost."""

    def __init__(self, sink: Sink, length: int, on_dropped: Callable[[str, int], None]) -> None:
        self._sink = sink
        self._queue: queue.Queue[Any] = queue.Queue(length)
        self._on_dropped = on_dropped
        self._complained = False
        self._thread = threading.Thread(target=self._run, name=f"kspec-{sink.name}", daemon=True)
        self._thread.start()

    def put(self, record: Any) -> None:
        """Add one; never waits, never raises."""
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self._on_dropped(self._sink.name, 1)
            self._complain("its queue is full")

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is left, for at most so many seconds."""
        try:
            self._queue.put(_STOP, timeout=timeout_s)
        except queue.Full:
            return
        self._thread.join(timeout_s)

    def _run(self) -> None:
        stopped = False
        while not stopped:
            batch = [self._queue.get()]
            while len(batch) < BATCH:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            stopped = batch[-1] is _STOP
            records = batch[:-1] if stopped else batch
            try:
                if records:
                    self._sink.write(records)
                    self._complained = False
            except (OSError, KspecError) as error:
                self._on_dropped(self._sink.name, len(records))
                self._complain(str(error))
        self._sink.close()

    def _complain(self, what: str) -> None:
        if not self._complained:
            self._complained = True
            log.error("%s: records are lost: %s", self._sink.name, what)


class AuditLog:
    """A file that is appended to, or standard output. A file that was moved away (logrotate) is made anew."""

    name = "audit"

    def __init__(self, path: str, form: audit.Format) -> None:
        """`path`: "-" is standard output. Raises OSError where it cannot be opened."""
        self._path = path
        self._form = form
        self._stream = self._open()

    def write(self, records: Sequence[Any]) -> None:
        """One batch, one write."""
        lines = b"".join(line + b"\n" for entry in records for line in self._form(entry))
        if self._path != "-" and self._moved():
            self._stream.close()
            self._stream = self._open()
        self._stream.write(lines)
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        if self._path != "-":
            self._stream.close()

    def _open(self) -> BinaryIO:
        if self._path == "-":
            return sys.stdout.buffer
        return open(os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab", buffering=0)

    def _moved(self) -> bool:
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._stream.fileno()))
        except FileNotFoundError:
            return True
