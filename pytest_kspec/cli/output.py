"""What commands print: results on standard output, the rest on standard error; colour only where wanted."""

from __future__ import annotations

import os
import shutil
import sys
from typing import IO

from pytest_kspec.errors import KspecError

WIDEST = 120
_CODES = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def say(text: str = "") -> None:
    """A line of the result."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """A line about the work, not of the result."""
    sys.stdout.flush()
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def fail(error: KspecError) -> int:
    """Print an error, all its lines; return its exit code."""
    lines = str(error).splitlines() or [type(error).__name__]
    label = style("error:", "red", "bold", stream=sys.stderr)
    for line in lines:
        note(f"{label} {line}")
    return error.exit_code


def width() -> int:
    """Columns to write in."""
    return min(shutil.get_terminal_size((80, 24)).columns, WIDEST)


def style(text: str, *names: str, stream: IO[str] | None = None) -> str:
    """The text with colours, if the stream shows them and NO_COLOR does not forbid them."""
    if not names or not wants_colour(stream or sys.stdout):
        return text
    return f"\x1b[{';'.join(_CODES[name] for name in names)}m{text}\x1b[0m"


def wants_colour(stream: IO[str]) -> bool:
    """As no-color.org and other tools have it: NO_COLOR before FORCE_COLOR before what the stream is."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return is_interactive(stream)


def is_interactive(stream: IO[str]) -> bool:
    """A terminal that somebody looks at."""
    return stream.isatty() and os.environ.get("TERM") != "dumb" and not os.environ.get("CI")
