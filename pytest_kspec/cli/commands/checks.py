"""`kspec checks`: the list of all checks, by area."""

from __future__ import annotations

import json
from itertools import groupby
from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.cli.output import say, say_json, style, width

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.checks.check import Check

DESCRIPTION = """\
List the checks by area: the built-in checks, and your own checks with --checks. A check runs only if a
specification requires it. 'kspec explain ID' shows which key requires a check and what the check examines."""

EXAMPLES = """
kspec checks
kspec checks --checks checks/
kspec checks --json
"""

SEVERITY_STYLES = {"critical": ("red", "bold"), "high": ("red",), "medium": ("yellow",), "low": ("cyan",)}
_SEVERITY_WIDTH = 8


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    arguments.add_checks(parser)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """List them."""
    from pathlib import Path

    from pytest_kspec.plan.checkset import load_checks

    checks = load_checks([Path(path) for path in args.checks]).checks
    if args.json:
        say_json(json.dumps([_plain(check) for check in checks], indent=2, ensure_ascii=False) + "\n")
        return 0
    for area, members in groupby(checks, key=lambda check: check.id.partition(".")[0]):
        say(style(area, "bold"))
        for check in members:
            _say_check(check)
    say()
    say(f"{len(checks)} checks. 'kspec explain ID' explains one.")
    return 0


def _say_check(check: Check) -> None:
    """Severity and id on one line, the title below: both are long, and neither may be cut."""
    from textwrap import wrap

    severity = style(f"{check.severity.value:<{_SEVERITY_WIDTH}}", *SEVERITY_STYLES[check.severity.value])
    say(f"  {severity} {check.id}")
    indent = " " * (_SEVERITY_WIDTH + 3)
    for line in wrap(check.title, width() - len(indent)):
        say(indent + line)


def _plain(check: Check) -> dict[str, object]:
    return {
        "id": check.id,
        "title": check.title,
        "severity": check.severity.value,
        "controls": {name: list(ids) for name, ids in sorted(check.controls.items())},
        "remediation": check.remediation,
        "why": check.doc,
    }
