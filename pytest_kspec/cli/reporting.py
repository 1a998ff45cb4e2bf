"""Writing reports from commands: every one that can be written is, and what is not printed elsewhere is shown here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytest_kspec.cli.output import say, style, width
from pytest_kspec.errors import KspecError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_kspec.reports.writer import Target
    from pytest_kspec.results.result import ScanResult


def read_targets(texts: Sequence[str], option: str, beside: Sequence[str] = ()) -> tuple[Target, ...]:
    """FORMAT:PATH, each; beside: what the option also takes, and is no file.

    Raises UsageError, before anything runs, that names the command's option.
    """
    from pytest_kspec.reports.writer import parse_targets

    try:
        return parse_targets(texts, beside)
    except UsageError as error:
        # The option has pytest's name there.
        where = error.where.replace("--kspec-report", option)
        raise UsageError(error.what, where=where, fix=error.fix) from None


def write_all(result: ScanResult, targets: Sequence[Target]) -> tuple[list[str], list[str]]:
    """Write every report. Returns what was written, and what went wrong."""
    from pytest_kspec.reports import writer

    written: list[str] = []
    problems: list[str] = []
    for target in targets:
        try:
            writer.write(result, target)
        except KspecError as error:
            problems.append(str(error))
        else:
            written.append(f"{target.format} report: {target.path}")
    return written, problems


def show(result: ScanResult, *, brief: bool = False) -> None:
    """The terminal's report; brief: a line for each cluster."""
    from pytest_kspec.reports import terminal

    render = terminal.brief if brief else terminal.render
    say(render(result, width(), style, encoding=sys.stdout.encoding or "utf-8").rstrip("\n"))
