"""Where records go: a queue of bounded length and a thread. Whoever adds a record never waits.

A full queue drops what comes and counts it. A sink that fails (a full disk, an API server that is away) says how many
records it lost, which are counted, and goes on with the next. Records are never retried: what comes now matters more.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import stat
import threading
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from pytest_kspec.files import open_to_append
from pytest_kspec.shown import inert, inert_json

log = logging.getLogger("kspec.audit")

Format = Callable[[Any], Iterable[bytes]]
"""Lines of a record, without their ends."""

BATCH = 200
GATHER_S = 0.05
"""How long is waited for more once a record came: to be woken by each costs a busy webhook a quarter of its time."""
STALLED_S = 5.0
"""How long a pipe may take nothing before what is to be written is lost."""
_STOP = object()
_STDOUT = 1


class Lost(Exception):
    """`count` records of a batch were lost; the text says why."""

    def __init__(self, count: int, why: str) -> None:
        self.count = count
        super().__init__(why)


class Sink(Protocol):
    """Takes records in order, in one thread. Raises Lost where some are lost."""

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
        self.why = ""  # the last loss
        self._sink = sink
        self._queue: queue.Queue[Any] = queue.Queue(length)
        self._on_dropped = on_dropped
        self._lock = threading.Lock()
        self._lost = 0  # since the last complaint
        self._in_hand = 0  # being written now
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"kspec-{sink.name}", daemon=True)
        self._thread.start()

    def put(self, record: Any) -> None:
        """Add one; never waits, never raises."""
        try:
            self._queue.put_nowait(record)
        except queue.Full:
            self._count(1, "its queue is full")

    def close(self, timeout_s: float = 5.0) -> None:
        """Write what is left, for at most so many seconds; what is not written then is lost."""
        self._closing.set()
        try:
            self._queue.put(_STOP, timeout=timeout_s)
            self._thread.join(timeout_s)
            left = self._queue.qsize() - 1
        except queue.Full:
            left = self._queue.qsize()
        if self._thread.is_alive():
            self._count(max(left, 0) + self._in_hand, "the process is shutting down before they were written")

    def _run(self) -> None:
        stopped = False
        while not stopped:
            batch = [self._queue.get()]
            if self._queue.qsize() < BATCH:
                self._closing.wait(GATHER_S)
            while len(batch) < BATCH:
                try:
                    batch.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            stopped = batch[-1] is _STOP
            records = batch[:-1] if stopped else batch
            if records:
                self._in_hand = len(records)
                self._write(records)
                self._in_hand = 0
        self._sink.close()

    def _write(self, records: Sequence[Any]) -> None:
        try:
            self._sink.write(records)
        except Lost as error:
            self._count(error.count, str(error))
        except Exception as error:  # noqa: BLE001 - a thread that ends would lose all that follows, in silence
            self._count(len(records), f"{type(error).__name__}: {error}")
        else:
            with self._lock:
                lost, self._lost = self._lost, 0
            if lost:
                log.warning("%s: records are written again; %d were lost", self._sink.name, lost)

    def _count(self, lost: int, why: str) -> None:
        """Count lost records; say it once until one is written again."""
        with self._lock:
            first, self._lost, self.why = not self._lost, self._lost + lost, why
        if lost:
            self._on_dropped(self._sink.name, lost)
            if first:
                log.error("%s: records are lost: %s", self._sink.name, why)


def harmless(lines: bytes) -> bytes:
    """As the log of a CI job may have it. JSON says the same with escapes; CEF, which has none, shows them."""
    return inert_json(lines) if lines.startswith(b"{") else inert(lines.decode()).encode()


class AuditLog:
    """A file that is appended to, or standard output. A file that was moved away (logrotate) is made anew.

    A record is written whole or is lost, and is never appended to the rest of another: after a line that was cut
    off, by this process or by the one before, comes a line end first.
    """

    name = "audit"

    def __init__(self, path: str, form: Format) -> None:
        """`path`: "-" is standard output. Raises OSError where it cannot be opened."""
        self._path = path
        self._form = form
        self._descriptor = -1
        self._torn = False
        self._open()

    def write(self, records: Sequence[Any]) -> None:
        """One batch. Raises Lost with the number of records that are not in the log."""
        made = [b"".join(line + b"\n" for line in self._form(entry)) for entry in records]
        if self._path == "-":
            made = [harmless(lines) for lines in made]
        self._send(made)

    def _send(self, made: Sequence[bytes]) -> None:
        """Lines of records, each record's together. Raises Lost."""
        written = 0
        try:
            if self._descriptor < 0 or self._moved():
                self.close()
                self._open()
            content = b"".join((b"\n", *made) if self._torn else made)
            skipped = len(content) - sum(map(len, made))
            while written < len(content):
                count = self._write_some(memoryview(content)[written:])
                written += count
                if count:
                    self._torn = content[written - 1 : written] != b"\n"
        except OSError as error:
            raise Lost(len(made) - whole(made, written - skipped if written else 0), _why(error)) from error

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0 and self._path != "-":
            os.close(self._descriptor)
        self._descriptor = -1

    def _open(self) -> None:
        if self._path == "-":
            self._descriptor = _STDOUT
            return
        self._descriptor = open_to_append(self._path)
        self._torn = _ends_torn(self._path)

    def _write_all(self, content: bytes) -> None:
        written = 0
        while written < len(content):
            written += self._write_some(memoryview(content)[written:])

    def _write_some(self, content: memoryview) -> int:
        """How much of it was written: less than all where a disk or a pipe is full."""
        try:
            return os.write(self._descriptor, content)
        except BlockingIOError:  # a pipe that somebody set to non-blocking
            _, ready, _ = select.select((), (self._descriptor,), (), STALLED_S)
            if not ready:
                raise
            return 0

    def _moved(self) -> bool:
        if self._path == "-":
            return False
        try:
            return not os.path.samestat(os.stat(self._path), os.fstat(self._descriptor))
        except FileNotFoundError:
            return True


def whole(made: Sequence[bytes], written: int) -> int:
    """How many of these are whole in what was written."""
    for index, content in enumerate(made):
        written -= len(content)
        if written < 0:
            return index
    return len(made)


def _why(error: OSError) -> str:
    return error.strerror or str(error)


def _ends_torn(path: str) -> bool:
    """Whether a file ends within a line; where that could not be read, it may."""
    try:
        with open(path, "rb") as stream:
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                return False
            if not stream.seek(0, os.SEEK_END):
                return False
            stream.seek(-1, os.SEEK_END)
            return stream.read(1) != b"\n"
    except OSError:
        return True
