"""Formats by name, and files that are whole or not there.

A report is written beside its target and renamed over it: a full disk or a killed run leaves the old file
or none, never a half one. A format is one file here and one line in `extend/places`; its module is imported
when asked for.
"""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from pytest_kspec.errors import ReportError, UsageError
from pytest_kspec.extend.places import REPORTS
from pytest_kspec.files import is_stream, refuse_link, write_all, write_whole
from pytest_kspec.results.order import canonical
from pytest_kspec.results.result import ScanResult
from pytest_kspec.shown import inert, inert_json, inert_markup

FORMATS = tuple(REPORTS.builtin)
"""Ours; installed packages add others (`extend.places.REPORTS`)."""
STDOUT = "-"
# Format → extra of the package, and the modules that come with it.
_PDF = ("pdf", ("fpdf", "fontpkg", "fontpkg_fira_sans_condensed"))
EXTRAS = {"pdf": _PDF, "pdf-full": _PDF}


class ReportFile(NamedTuple):
    """One report to write. path: as given, "-" for standard output."""

    format: str
    path: str

    def __str__(self) -> str:
        return f"{self.format}:{self.path}"


def parse_target(text: str, beside: Sequence[str] = (), option: str = "--kspec-report") -> ReportFile:
    """`json:build/scan.json` → ReportFile. Raises UsageError, before the scan, for what cannot be written anyway.

    Missing folders are created when the report is written.
    beside: what the option also takes, and is no file; option: its name
    """
    where = f"{option} {text}"
    name, colon, path = text.partition(":")
    if REPORTS.find(name) is None:
        raise UsageError(f"unknown report format '{name}'.", where=where, fix=_known(name, beside))
    if not colon or not path:
        raise UsageError(
            "no file is given.",
            where=where,
            fix=f"Write {name}:FILE, or {name}:- for standard output.",
        )
    _check_installed(name, where)
    if path != STDOUT:
        _check_path(text, Path(path), where)
    return ReportFile(name, path)


def parse_targets(
    texts: Iterable[str], beside: Sequence[str] = (), option: str = "--kspec-report"
) -> tuple[ReportFile, ...]:
    """All targets of one run; as for `parse_target`. Raises UsageError if two would write the same file."""
    seen: dict[str, str] = {}
    targets = []
    for text in texts:
        target = parse_target(text, beside, option)
        key = target.path if target.path == STDOUT else os.path.realpath(target.path)
        if key in seen and not is_stream(Path(target.path)):
            raise UsageError(
                f"{seen[key]} writes the same file.",
                where=f"{option} {text}",
                fix="Use a different path for each report.",
            )
        seen[key] = text
        targets.append(target)
    return tuple(targets)


def _known(name: str, beside: Sequence[str]) -> str:
    known = REPORTS.names()
    close = difflib.get_close_matches(name.lower(), [*known, *beside], n=1)
    hint = f"Did you mean '{close[0]}'? " if close else ""
    also = f", or {' or '.join(beside)} for the scanned cluster" if beside else ""
    return f"{hint}Formats: {', '.join(known)}; write FORMAT:FILE{also}."


def _check_installed(name: str, where: str) -> None:
    """Before a scan of an hour, not after it."""
    extra, modules = EXTRAS.get(name, ("", ()))
    for module in modules:
        if find_spec(module) is None:
            what = f"the {name} report needs the package '{module}', which is not installed."
            raise UsageError(what, where=where, fix=f"Install it with: pip install 'pytest-kspec[{extra}]'")


def _check_path(text: str, path: Path, where: str) -> None:
    try:
        if path.is_dir():
            raise UsageError("is a folder.", where=where, fix=f"Name a file in it: {text.rstrip('/')}/FILE.")
        if is_stream(path):
            return
        refuse_link(path)
        folder = Path(os.path.realpath(path)).parent
        while not folder.exists():
            folder = folder.parent
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        what = f"cannot be written: {reason}."
        raise UsageError(what, where=where, fix="Use another path.") from error
    if not folder.is_dir():
        raise UsageError(f"{folder} is a file, not a folder.", where=where, fix="Use another path.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise UsageError(f"{folder} is not writable.", where=where, fix="Use another path.")


def render(result: ScanResult, format_name: str) -> bytes:
    """The report as bytes. Raises UsageError for a format that there is not, ReportError for what a package does."""
    _check_installed(format_name, "")
    entry = REPORTS.find(format_name)
    make = REPORTS.load(format_name)
    if entry is None or not entry.package:
        ours: bytes = make(canonical(result))
        return ours
    try:
        made = make(canonical(result))
    except Exception as error:
        raise _refused(REPORTS.broken(entry, f"{type(error).__name__}: {error}")) from error
    if not isinstance(made, bytes):
        raise _refused(REPORTS.broken(entry, f"it returned {type(made).__name__}, not bytes"))
    return made


def _refused(error: UsageError) -> ReportError:
    return ReportError(error.what, where=error.where, fix=error.fix)


_INERT = {
    "intoto": inert_json,
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
    try:
        return made(content) if made is not None else inert(content.decode()).encode()
    except UnicodeDecodeError:  # of a package, and not text
        return content


def write(result: ScanResult, target: ReportFile) -> None:
    """Write one report, whole or not at all. Raises ReportError that names the file and what to do."""
    content = render(result, target.format)
    try:
        if target.path == STDOUT:
            sys.stdout.flush()
            write_all(sys.stdout.buffer, _inert(content, target.format))
        else:
            path = Path(target.path)
            write_whole(path, _inert(content, target.format) if is_stream(path) else content)
    except OSError as error:
        reason = error.strerror or error
        left = "" if target.path == STDOUT else " No partial file is left."
        what = f"the {target.format} report could not be written: {reason}.{left}"
        fix = "Free disk space or use another path, and run again."
        where = "standard output" if target.path == STDOUT else target.path
        raise ReportError(what, where=where, fix=fix) from error
