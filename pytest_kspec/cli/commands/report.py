"""`kspec report`: every format from a result that was written before; a cluster is asked once, not once a format."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from msgspec.structs import replace

from pytest_kspec.cli.output import note, say, style
from pytest_kspec.cli.reporting import show
from pytest_kspec.errors import EXIT_NOT_EVALUATED, UsageError

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.results.points import TrendPoint
    from pytest_kspec.results.result import ScanResult

DESCRIPTION = """\
Write reports from a result ('kspec scan --report json:FILE') without reading
the cluster again. Several results, such as those of parallel jobs, are merged
into one. Without --to, the result is printed as a scan prints it.

Formats: csv, html, intoto, json, junit, markdown, oscal, sarif, pdf and pdf-full
(PDF needs 'pip install pytest-kspec[pdf]'). FORMAT:- writes to standard output.

Exit codes: 0 all reports were written, whatever the result is; 2 a report could
not be written; 4 usage error."""

EXAMPLES = """
kspec report --from scan.json
kspec report --from scan.json --to sarif:scan.sarif --to markdown:comment.md
kspec report --from eu.json --from us.json --history x.db --to html:fleet.html
kspec report --from scan.json --update-baseline known.json
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
        help="report to write; may be repeated",
    )
    parser.add_argument(
        "--history",
        metavar="URL",
        default="",
        help="store with earlier results ('kspec history'), for reports with a trend",
    )
    parser.add_argument(
        "--update-baseline",
        metavar="FILE",
        default="",
        help="write the findings of the result to a baseline for 'kspec scan --baseline FILE'; entries of "
        "other clusters are kept",
    )


def run(args: argparse.Namespace) -> int:
    """Read, combine, write."""
    from pytest_kspec.publish.sinks import Publication
    from pytest_kspec.reports.writer import parse_targets

    targets = parse_targets(args.targets, option="--to")
    result = _read(args.results)
    if args.history:
        result = replace(result, trend=_trend(args.history, result))
    published = Publication(targets).publish(result)
    if args.update_baseline:
        say(_update_baseline(args.update_baseline, result))
    elif not targets:
        show(result)
    if not any(target.path == "-" for target in targets):
        for line in published.done:
            say(line)
    for problem in published.problems:
        note(f"{style('error:', 'red', 'bold', stream=sys.stderr)} {problem}")
    return EXIT_NOT_EVALUATED if published.problems else 0


def _read(paths: list[str]) -> ScanResult:
    if not paths:
        raise UsageError("no result is given.", where="kspec report", fix="Add --from RESULT.")
    from pytest_kspec.reports import json
    from pytest_kspec.results.combine import combine

    for path in paths:
        if paths.count(path) > 1:
            raise UsageError("is given twice.", where=f"--from {path}", fix="Give each result once.")
    return combine([(path, json.read(path)) for path in paths])


def _trend(url: str, result: ScanResult) -> tuple[TrendPoint, ...]:
    """Earlier points of the clusters in the result, and its own: the line ends where the report says."""
    from contextlib import closing

    from pytest_kspec.storage.engine import open_store
    from pytest_kspec.storage.read import trend

    mine = {(c.id, c.spec_name) for c in result.clusters}
    with closing(open_store(url, option="--history")) as store:
        known = trend(store)
    # Earlier only: a stored copy of this run is this run.
    earlier = [p for p in known if (p.cluster_id, p.spec) in mine and p.finished_at < result.finished_at]
    own = [cluster.point(result.finished_at) for cluster in result.clusters]
    return tuple(sorted([*earlier, *own], key=lambda p: (p.finished_at, p.cluster, p.spec, p.run)))


def _update_baseline(path: str, result: ScanResult) -> str:
    """Write the file anew; what was not evaluated stays in it. Raises UsageError, ReportError."""
    from pathlib import Path

    from pytest_kspec.errors import ReportError
    from pytest_kspec.files import write_whole
    from pytest_kspec.reports.shared.text import plural
    from pytest_kspec.results.baseline import Baseline, load_baseline

    option = "--update-baseline"
    before = load_baseline(path, option=option) if os.path.exists(path) else Baseline(path, (), ())
    after = before.updated(result)
    try:
        write_whole(Path(path), after.render())
    except OSError as error:
        raise ReportError(f"could not be written: {error.strerror}.", where=f"{option} {path}") from error
    came = len(set(after.findings) - set(before.findings))
    went = len(set(before.findings) - set(after.findings))
    return f"{path}: {plural(len(after.findings), 'known finding')} ({came:,} added, {went:,} removed)"
