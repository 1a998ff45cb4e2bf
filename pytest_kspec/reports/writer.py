"""Formats by name, and files that are whole or not there.

A report is written beside its target and renamed over it: a full disk or a killed run leaves the old file
or none, never a half one. A format is one file here and one line in FORMATS; its module is imported when
asked for.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from pytest_kspec.errors import ReportError, UsageError
from pytest_kspec.files import is_stream, refuse_link, write_whole
from pytest_kspec.results.order import canonical
from pytest_kspec.results.result import ScanResult
from pytest_kspec.shown import inert, inert_json, inert_markup

Render = Callable[[ScanResult], bytes]

# Each function is given a ScanResult in canonical order and returns the whole file.
FORMATS = {
    "csv": "pytest_kspec.reports.csv:render",
    "html": "pytest_kspec.reports.html.page:render",
    "json": "pytest_kspec.reports.json:render",
    "junit": "pytest_kspec.reports.junit:render",
    "markdown": "pytest_kspec.reports.markdown:render",
    "oscal": "pytest_kspec.reports.oscal.document:render",
    "pdf": "pytest_kspec.reports.pdf.document:render",
    "pdf-full": "pytest_kspec.reports.pdf.full:render",
    "sarif": "pytest_kspec.reports.sarif.document:render",
}
STDOUT = "-"
# Format → extra of the package, and the modules that come with it.
_PDF = ("pdf", ("fpdf", "fontpkg", "fontpkg_fira_sans_condensed"))
EXTRAS = {"pdf": _PDF, "pdf-full": _PDF}


class Target(NamedTuple):
    """One report to write. path: as given, "-" for standard output."""

    format: str
    path: str

    def __str__(self) -> str:
        return f"{self.format}:{self.path}"


def parse_target(text: str, beside: Sequence[str] = ()) -> Target:
    """`json:build/scan.json` → Target. Raises UsageError, before the scan, for what cannot be written anyway.

    Missing folders are created when the report is written.
    beside: what the option also takes, and is no file
    """
    name, colon, path = text.partition(":")
    if name not in FORMATS:
        raise UsageError(f"unknown report format '{name}'.", where=_option(text), fix=_known(name, beside))
    if not colon or not path:
        raise UsageError(
            "no file is given.",
            where=_option(text),
            fix=f"Write {name}:FILE, or {name}:- for standard output.",
        )
    _check_installed(name, _option(text))
    if path != STDOUT:
        _check_path(text, Path(path))
    return Target(name, path)


def parse_targets(texts: Iterable[str], beside: Sequence[str] = ()) -> tuple[Target, ...]:
    """All targets of one run; beside: as for `parse_target`. Raises UsageError if two would write the same file."""
    seen: dict[str, str] = {}
    targets = []
    for text in texts:
        target = parse_target(text, beside)
        key = target.path if target.path == STDOUT else os.path.realpath(target.path)
        if key in seen and not is_stream(Path(target.path)):
            raise UsageError(
                f"{seen[key]} writes the same file.", where=_option(text), fix="Give each report its own."
            )
        seen[key] = text
        targets.append(target)
    return tuple(targets)


def _option(text: str) -> str:
    return f"--kspec-report {text}"


def _known(name: str, beside: Sequence[str]) -> str:
    close = difflib.get_close_matches(name.lower(), [*FORMATS, *beside], n=1)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    also = f", or {' or '.join(beside)} for the scanned cluster" if beside else ""
    return f"{hint}Formats: {', '.join(sorted(FORMATS))}; write FORMAT:FILE{also}."


def _check_installed(name: str, where: str) -> None:
    """Before a scan of an hour, not after it."""
    extra, modules = EXTRAS.get(name, ("", ()))
    for module in modules:
        if find_spec(module) is None:
            what = f"the {name} report needs the package '{module}', which is not installed."
            raise UsageError(what, where=where, fix=f"Install it with: pip install 'pytest-kspec[{extra}]'")


def _check_path(text: str, path: Path) -> None:
    try:
        if path.is_dir():
            raise UsageError(
                "is a folder.", where=_option(text), fix=f"Name a file in it: {text.rstrip('/')}/FILE."
            )
        if is_stream(path):
            return
        refuse_link(path)
        folder = Path(os.path.realpath(path)).parent
        while not folder.exists():
            folder = folder.parent
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        what = f"cannot be written: {reason}."
        raise UsageError(what, where=_option(text), fix="Give another path.") from error
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder.", where=_option(text), fix="Give another path.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{folder} may not be written to.", where=_option(text), fix="Give another path.")


def render(result: ScanResult, format_name: str) -> bytes:
    """The report as bytes. `format_name` is a key of FORMATS."""
    _check_installed(format_name, "")
    module, _, function = FORMATS[format_name].partition(":")
    make: Render = getattr(import_module(module), function)
    return make(canonical(result))


_INERT = {
    "json": inert_json,
    "sarif": inert_json,
    "oscal": inert_json,
    "html": inert_markup,
    "junit": inert_markup,
}


def _inert(content: bytes, format_name: str) -> bytes:
    """As it may go to a terminal or the log of a CI job. Formats that have escapes say the same with them."""
    if format_name in EXTRAS:  # not text
        return content
    made = _INERT.get(format_name)
    return made(content) if made is not None else inert(content.decode()).encode()


def write(result: ScanResult, target: Target) -> None:
    """Write one report, whole or not at all. Raises ReportError that names the file and what to do."""
    content = render(result, target.format)
    try:
        if target.path == STDOUT:
            sys.stdout.flush()
            sys.stdout.buffer.write(_inert(content, target.format))
            sys.stdout.buffer.flush()
        else:
            path = Path(target.path)
            write_whole(path, _inert(content, target.format) if is_stream(path) else content)
    except OSError as error:
        reason = error.strerror or error
        what = f"the {target.format} report could not be written: {reason}. No partial file is left."
        fix = "Make room or give another path, and run again."
        where = "standard output" if target.path == STDOUT else target.path
        raise ReportError(what, where=where, fix=fix) from error
