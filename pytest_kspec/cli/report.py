"""`kspec report`: every format from a result that was written before; a cluster is asked once, not once a format."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytest_kspec.cli.output import note, say, style
from pytest_kspec.cli.reporting import read_targets, show, write_all
from pytest_kspec.errors import EXIT_NOT_EVALUATED, UsageError

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.model.result import ScanResult

DESCRIPTION = """\
Write reports from a result ('kspec scan --report json:FILE'), without asking
the cluster again. Several results, such as those of parallel jobs, become one.
Without --to the result is shown as a scan shows it.

Formats: csv, html, json, junit, markdown, oscal, sarif, and pdf (needs
'pip install pytest-kspec[pdf]'). FORMAT:- writes to standard output.

Exit codes: 0 written, whatever the result says; 2 a report could not be
written; 4 usage."""

EXAMPLES = """
kspec report --from scan.json
kspec report --from scan.json --to sarif:scan.sarif --to markdown:comment.md
kspec report --from eu.json --from us.json --to html:fleet.html
kspec scan prod.yaml --json | kspec report --from - --to csv:-
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "--from",
        dest="results",
        action="append",
        default=[],
        metavar="RESULT",
        help="JSON report of a scan, '-' for standard input; may be repeated",
    )
    parser.add_argument(
        "--to",
        dest="targets",
        action="append",
        default=[],
        metavar="FORMAT:PATH",
        help="what to write, and where; may be repeated",
    )


def run(args: argparse.Namespace) -> int:
    """Read, combine, write."""
    targets = read_targets(args.targets, "--to")
    result = _read(args.results)
    written, problems = write_all(result, targets)
    if not targets:
        show(result)
    elif not any(target.path == "-" for target in targets):
        for line in written:
            say(line)
    for problem in problems:
        note(f"{style('error:', 'red', 'bold', stream=sys.stderr)} {problem}")
    return EXIT_NOT_EVALUATED if problems else 0


def _read(paths: list[str]) -> ScanResult:
    if not paths:
        raise UsageError("no result is given.", where="kspec report", fix="Name one with --from RESULT.")
    from pytest_kspec.model.combine import combine
    from pytest_kspec.reports import json

    for path in paths:
        if paths.count(path) > 1:
            raise UsageError("is given twice.", where=f"--from {path}", fix="Name each result once.")
    return combine([(path, json.read(path)) for path in paths])
