"""Writing reports from commands: every one that can be written is, and what is not printed elsewhere is shown here."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytest_kspec.cli.output import say_text, style, width

if TYPE_CHECKING:
    from pytest_kspec.results.result import ScanResult


def show(result: ScanResult, *, brief: bool = False) -> None:
    """The terminal's report; brief: a line for each cluster."""
    from pytest_kspec.reports import terminal

    render = terminal.brief if brief else terminal.render
    say_text(render(result, width(), style, encoding=sys.stdout.encoding or "utf-8").rstrip("\n"))
