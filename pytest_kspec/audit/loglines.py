"""How lines of logs are written: one line a message, whatever a request or an error holds, as text or as JSON.

A record may carry fields, which are data and no part of its text: `log.info("…", extra=fields(spec="prod"))`.
"""

from __future__ import annotations

import json
import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal

from pytest_kspec.shown import inert, inert_json, printable

TIMES = ("rfc3339", "iso8601", "rfc3339nano", "epoch", "millis", "nano")
"""How a time may be written, in the words of zap."""
AGAIN_S = 600.0
"""How long a problem that is said again is not."""
AGAIN = "again_s"
"""The field that says in how many seconds something is tried again."""
_MOST = 1000  # problems that are remembered
_LONGEST = 4096  # characters of a field
_LEVELS = {"WARNING": "warn", "CRITICAL": "error"}
_PLAIN = re.compile(r"[\w./:@+-]+")


def fields(**known: Any) -> dict[str, Mapping[str, Any]]:
    """`extra` of a record with these fields; what is None is left out."""
    return {"fields": {name: value for name, value in known.items() if value is not None}}


def _fields(record: logging.LogRecord) -> Mapping[str, Any]:
    found = getattr(record, "fields", None)
    return found if isinstance(found, Mapping) else {}


class LogLines(logging.Formatter):
    """A message is a line; a traceback after it has its own. Neither holds a command of a terminal or a CI system."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The message and its fields, their line breaks as escapes."""
        shown = [f"{name}={_shown(value)}" for name, value in _fields(record).items()]
        return printable(" ".join([super().formatMessage(record), *shown]))

    def format(self, record: logging.LogRecord) -> str:
        """The whole record."""
        return inert(super().format(record))


def _shown(value: Any) -> str:
    text = str(value)[:_LONGEST]
    return text if _PLAIN.fullmatch(text) else json.dumps(text, ensure_ascii=False)


class OperatorLines(LogLines):
    """LogLines with the time first, as `encoding` says (`TIMES`)."""

    def __init__(self, encoding: str = "rfc3339") -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._encoding = encoding

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:
        """As in JSON."""
        return str(stamp(record.created, self._encoding))


class JsonLines(logging.Formatter):
    """A record is an object in one line: level, ts, logger, msg, its fields, and stacktrace where there is one."""

    def __init__(self, encoding: str = "rfc3339") -> None:
        super().__init__()
        self._encoding = encoding

    def format(self, record: logging.LogRecord) -> str:
        """ASCII only: what a name holds is escaped."""
        made: dict[str, Any] = {
            "level": _LEVELS.get(record.levelname, record.levelname.lower()),
            "ts": stamp(record.created, self._encoding),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        for name, value in _fields(record).items():
            plain = isinstance(value, int | float | bool)
            made.setdefault(name, value if plain else str(value)[:_LONGEST])
        if record.exc_info:
            made["stacktrace"] = self.formatException(record.exc_info)
        return inert_json(json.dumps(made).encode()).decode()


def stamp(seconds: float, encoding: str) -> str | float | int:
    """A time of `time.time` as zap's encoder of this name writes it, but for its zone, which is UTC."""
    if encoding == "epoch":
        return round(seconds, 6)
    if encoding == "millis":
        return round(seconds * 1e3)
    if encoding == "nano":
        return round(seconds * 1e9)
    digits: Literal["microseconds", "milliseconds"] = (
        "microseconds" if encoding == "rfc3339nano" else "milliseconds"
    )
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec=digits).replace("+00:00", "Z")


class Once(logging.Filter):
    """Lets a problem pass once, and again after AGAIN_S, with how often it was said meanwhile.

    A problem is a record of at least WARNING without a traceback; two are the same if their texts and fields are, but
    for when it is tried again.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._lock = threading.Lock()
        self._said: dict[tuple[str, ...], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is written."""
        if record.levelno < logging.WARNING or record.exc_info:
            return True
        about = sorted((name, str(value)) for name, value in _fields(record).items() if name != AGAIN)
        key, now = (record.name, record.getMessage()[:_LONGEST], repr(about)[:_LONGEST]), self._clock()
        with self._lock:
            at, times = self._said.pop(key, (float("-inf"), 0))
            if now - at < AGAIN_S:
                self._said[key] = (at, times + 1)
                return False
            self._said[key] = (now, 0)
            while len(self._said) > _MOST:
                del self._said[next(iter(self._said))]
        if times:
            record.fields = {**_fields(record), "repeated": times}
        return True
