"""The one clock that decides what has expired. It can be set back: a replay judges as of the moment of the scan."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

_SET: ContextVar[datetime | None] = ContextVar("kspec_clock", default=None)


def now() -> datetime:
    """The moment that counts, aware, in UTC unless it was set otherwise."""
    return _SET.get() or datetime.now(UTC)


@contextmanager
def at(moment: datetime) -> Iterator[None]:
    """Within this block it is `moment` (aware). For replays only: a scan is about now."""
    if moment.tzinfo is None:
        raise ValueError("a moment needs a time zone")
    token = _SET.set(moment)
    try:
        yield
    finally:
        _SET.reset(token)
