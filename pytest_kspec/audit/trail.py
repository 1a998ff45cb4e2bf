"""The audit log of a process: where $KSPEC_AUDIT_LOG names a file, what happens becomes lines in it.

Whoever emits a record neither waits nor fails: a queue of bounded length takes it, and what is lost is counted and said
on standard error. Without the variable, nothing is imported beside this and nothing is done.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pytest_kspec.errors import KspecError, UsageError
from pytest_kspec.regexes import regex
from pytest_kspec.shown import inert, printable

if TYPE_CHECKING:
    from pytest_kspec.audit.chained import ChainedLog
    from pytest_kspec.audit.record import Outcome
    from pytest_kspec.audit.sink import Queue

VARIABLE = "KSPEC_AUDIT_LOG"
FORMAT = "KSPEC_AUDIT_FORMAT"
LENGTH = 10_000
"""Records that wait to be written."""

OPEN_AGAIN_S = 60.0
"""A log that could not be opened is tried again: who leads for weeks would record nothing."""

log = logging.getLogger("kspec.audit")
_lock, _counting = threading.Lock(), threading.Lock()
_lost = _total = 0
_open_again = 0.0
_SAID = "audit records were lost: they could not be written to ${}"
_HEARD = regex(r"(?:^| )(\d{1,9}) audit records were lost: ")
_unsaid: list[str] = []


class Cluster(Protocol):
    """A cluster that answers."""

    name: str

    def known_uid(self) -> str:
        """The UID of kube-system, "" where it is not known. Raises nothing."""
        ...


def about(cluster: Cluster) -> dict[str, str]:
    """Arguments of `emit` that say which cluster it is. Without a log, it is not asked."""
    if not os.environ.get(VARIABLE):
        return {}
    return {"cluster": cluster.name, "cluster_id": cluster.known_uid()}


class _Trail(NamedTuple):
    queue: Queue
    file: ChainedLog


_trails: dict[tuple[int, str, str], _Trail | None] = {}


def emit(kind: str, action: str, outcome: Outcome, message: str, **more: Any) -> None:
    """Something happened: arguments as of `record.make`. Never waits, never raises."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    trail = _trail(path, os.environ.get(FORMAT) or "json")
    if trail is not None:
        from pytest_kspec.audit.record import Type, make
        from pytest_kspec.runby import run_by

        more.setdefault("actor", run_by(None, os.environ))
        trail.queue.put(make(Type(kind), action, outcome, message, **more))
    else:
        _count("", 1)


def lost() -> int:
    """Records that this process lost, or heard that others lost, since it began."""
    return _total


def heard(lines: Iterable[str]) -> None:
    """What a process that this one started wrote on standard error: what it lost counts here, too."""
    global _total
    for line in lines:
        if found := _HEARD.search(line):
            with _counting:
                _total += int(found[1])


@contextmanager
def recorded(kind: str, action: str, message: str, **more: Any) -> Iterator[None]:
    """What happens within is recorded as done, or as failed where it ends in an error of ours."""
    try:
        yield
    except KspecError as error:
        emit(kind, action, "failure", f"{message}: {error}", severity="error", **more)
        raise
    emit(kind, action, "success", message, **more)


def flush(timeout_s: float = 5.0) -> None:
    """Write what waits, for at most so long."""
    with _lock:
        trails = [(path, trail) for (_, path, _), trail in _trails.items() if trail is not None]
        _trails.clear()
    why = ""
    for path, trail in trails:
        trail.queue.close(timeout_s)
        why = why or trail.queue.why
        if trail.file.stuck:
            _unsaid.append(f"{path} cannot be rotated, so it grows: {trail.file.stuck}.")
    global _lost
    if _lost:
        _unsaid.append(f"{_lost} {_SAID.format(VARIABLE)}{f' ({why})' if why else ''}.")
        _lost = 0
    while _unsaid:  # also where a logger swallowed it
        sys.stderr.write(inert(printable(f"kspec: {_unsaid.pop(0)}")) + "\n")


def _trail(path: str, form: str) -> _Trail | None:
    """That of this process: one that was made before a fork has its thread in the other."""
    key = (os.getpid(), path, form)
    with _lock:
        if key in _trails and (_trails[key] is not None or time.monotonic() < _open_again):
            return _trails[key]
        for other in [name for name in _trails if name[0] != key[0]]:
            del _trails[other]
        if not _trails:
            atexit.register(flush)
        is_new = key not in _trails
        _trails[key] = _open(path, form, say=is_new)
        return _trails[key]


def _open(path: str, form: str, *, say: bool) -> _Trail | None:
    """say: what is wrong is said once, not each time that it is tried."""
    global _open_again
    from pytest_kspec.audit.chained import LARGEST, ChainedLog, largest_of_environment
    from pytest_kspec.audit.record import FORMATS
    from pytest_kspec.audit.sink import Queue

    largest = LARGEST
    try:
        largest = largest_of_environment()
    except UsageError as error:  # which is no reason to record nothing
        if say:
            _problem(f"{error} 100 MiB are used.")
    if form not in FORMATS:
        if say:
            _problem(
                f"${FORMAT}: '{form[:40]}' is not a format; allowed: {', '.join(FORMATS)}. Nothing is recorded."
            )
        return None
    try:
        file = ChainedLog(path, FORMATS[form], largest=largest)
        return _Trail(Queue(file, LENGTH, _count), file)
    except OSError as error:
        _open_again = time.monotonic() + OPEN_AGAIN_S
        if say:
            _problem(f"${VARIABLE}: {path} cannot be opened: {error.strerror or error}. Nothing is recorded.")
        return None


def _problem(text: str) -> None:
    log.error("%s", text)
    _unsaid.append(text)


def _count(_sink: str, count: int) -> None:
    global _lost, _total
    with _counting:
        _lost += count
        _total += count
