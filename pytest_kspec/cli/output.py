"""What commands print: results on standard output, the rest on standard error; colour only where wanted."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from pytest_kspec.errors import (
    EXIT_NOT_EVALUATED,
    KspecError,
    ReportError,
    SpecError,
    UsageError,
    in_one_line,
    without_credentials,
)
from pytest_kspec.files import write_all
from pytest_kspec.shown import inert, inert_json

_gone = False
WIDEST = 120
_CODES = {"bold": "1", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}


def say(text: str = "") -> None:
    """A line of the result: a name or a path with a line break makes no second one. Raises ReportError."""
    say_text(_one_line(text))


def say_text(text: str) -> None:
    """Lines of the result, in which names are escaped already. Raises ReportError if it cannot be written."""
    with _writing():
        _write(inert(text, colours=wants_colour(sys.stdout)) + "\n")


def _one_line(text: str) -> str:
    """All other line breaks are escaped by `inert`."""
    return text.replace("\n", "\\n")


def _write(text: str) -> None:
    stream = sys.stdout
    if isinstance(getattr(stream, "buffer", None), io.RawIOBase):  # nothing between it and the disk
        write_all(stream.buffer, text.encode(stream.encoding, stream.errors or "strict"))
    else:
        stream.write(text)


def say_json(document: str | bytes) -> None:
    """A result that is JSON, with its last line break. Raises ReportError if it cannot be written."""
    if isinstance(document, str):
        document = document.encode("utf-8", "surrogatepass")
    with _writing():
        sys.stdout.flush()
        write_all(sys.stdout.buffer, inert_json(document))


def say_yaml(text: str) -> None:
    """A result that is YAML: as it is, or with the same values in quotes and no comments, where a log would obey it."""
    text = text.rstrip("\n")
    if inert(text, colours=wants_colour(sys.stdout)) != text:
        from pytest_kspec.cli.quoted import requoted

        text = requoted(text)
    say_text(text)


def flush() -> None:
    """All of it, now. Raises ReportError if it cannot be written."""
    with _writing():
        sys.stdout.flush()


def close() -> None:
    """Nothing more goes to standard output: what is left would make Python complain once more at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def has_reader() -> bool:
    """Whether standard output is still read, as far as is known: what repeats itself ends where it is not."""
    return not _gone


@contextmanager
def _writing() -> Iterator[None]:
    """A reader (`| head`) that has enough is no error, and ends nothing: the exit code is still to be found out."""
    global _gone
    try:
        yield
    except BrokenPipeError:
        _gone = True
        close()
    except OSError as error:
        close()
        raise ReportError(
            f"could not be written: {error.strerror or error}.",
            where="standard output",
            fix="Free disk space, or write to another file.",
        ) from error


def note(text: str) -> None:
    """A line about the work, not of the result; it stays one. Where it is not read any more, the work goes on."""
    with _writing():
        sys.stdout.flush()
    try:
        sys.stderr.write(inert(_one_line(in_our_words(text)), colours=wants_colour(sys.stderr)) + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def ask(question: str) -> str:
    """What somebody at the terminal answers, in lower case; "" for nothing."""
    sys.stdout.flush()
    sys.stderr.write(inert(_one_line(question)))
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower()


def in_our_words(text: str) -> str:
    """A message of a session with the options of this command: `--kspec-cluster` is `--cluster` here."""
    return text.replace("--kspec-", "--")


def fail(error: KspecError) -> int:
    """Print an error, a line for each problem; return its exit code."""
    problems = error.problems if isinstance(error, SpecError) else ()
    lines = [*map(in_one_line, problems)] or [str(error) or type(error).__name__]
    label = style("error:", "red", "bold", stream=sys.stderr)
    for line in lines:
        note(f"{label} {line}")
    return error.exit_code


def broken(error: Exception) -> int:
    """Print an exception that nothing expected, with the way to it; return the exit code."""
    import traceback

    for line in without_credentials("".join(traceback.format_exception(error))).splitlines():
        note(line)
    note(f"{style('error:', 'red', 'bold', stream=sys.stderr)} an internal error ended the command.")
    return EXIT_NOT_EVALUATED


def agreed(question: str) -> bool:
    """Ask on the terminal; no is the default."""
    return ask(f"{question} [y/N] ") in ("y", "yes")


def nobody_to_ask(option: str) -> UsageError | None:
    """The error where a question would be asked and nobody is there; None where somebody is."""
    if sys.stdin.isatty():
        return None
    return UsageError(
        "cannot ask for confirmation: standard input is not a terminal.",
        where=option,
        fix="Add --yes to apply without confirmation.",
    )


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
