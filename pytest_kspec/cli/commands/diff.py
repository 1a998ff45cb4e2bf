"""`kspec diff`: what is new, fixed or unknown between two results, recordings or clusters."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.cli.output import note, say_json, say_text, style, width
from pytest_kspec.errors import EXIT_FINDINGS, EXIT_NOT_EVALUATED, UsageError

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.kube.objectdiff import KindDiff
    from pytest_kspec.results.diff import ResultDiff
    from pytest_kspec.results.result import ScanResult

DESCRIPTION = """\
Compare two scans: show new, fixed and unchanged findings, and changed verdicts.
A and B are results ('kspec scan --report json:FILE'), or anything that can be
scanned with -s SPEC: a kubeconfig context, a snapshot or manifests. Two
snapshots are also compared object by object, which needs no specification.

A finding that could not be evaluated in one of the two scans is reported as
unknown, never as fixed.

Exit codes: 0 nothing new; 1 something is new (without a specification: an
object differs); 2 something could not be evaluated or compared; 4 usage error."""

EXAMPLES = """
kspec diff yesterday.json today.json
kspec diff yesterday.json prod-eu -s prod.yaml
kspec diff before.tar.gz after.tar.gz
kspec diff before.tar.gz after.tar.gz -s prod.yaml -o markdown
"""

FORMATS = ("text", "json", "markdown")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("before", metavar="A", help="result, snapshot, manifests or kubeconfig context")
    parser.add_argument("after", metavar="B", help="the later one; accepts the same as A")
    parser.add_argument(
        "-s",
        "--spec",
        action="append",
        default=[],
        metavar="SPEC",
        help="specification for the scan if A or B is not a result; may be repeated",
    )
    arguments.add_kubeconfig(parser)
    arguments.add_checks(parser)
    arguments.add_exemptions(parser)
    arguments.add_allow_empty(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FORMAT",
        choices=FORMATS,
        default="text",
        help="output format: text, json or markdown",
    )


def run(args: argparse.Namespace) -> int:
    """Compare, print, say by the exit code whether something is new."""
    from pytest_kspec.results.diff import compare

    objects = _compare_objects(args)
    diff: ResultDiff | None = None
    problems: list[str] = []
    if args.spec or objects is None:
        before, scanned_before = _result(args.before, args)
        after, scanned_after = _result(args.after, args)
        diff = compare(before, after, pair=scanned_before or scanned_after, allow_empty=args.allow_empty)
        problems = [line for result in (before, after) for line in arguments.empty_problems(result, args)]
    _print(diff, objects, args.output)
    for line in problems:
        note(f"{style('error:', 'red', 'bold', stream=sys.stderr)} {line}")
    return EXIT_NOT_EVALUATED if problems else _exit_code(diff, objects)


def _print(diff: ResultDiff | None, objects: tuple[KindDiff, ...] | None, output: str) -> None:
    from pytest_kspec.reports import diff as report

    if output == "json":
        say_json(report.render_json(diff, objects))
    elif output == "markdown":
        say_text(report.render_markdown(diff, objects).rstrip("\n"))
    else:
        say_text(report.render_text(diff, objects, width(), style).rstrip("\n"))


def _exit_code(diff: ResultDiff | None, objects: tuple[KindDiff, ...] | None) -> int:
    """What could not be compared weighs more than what is new. Findings decide where there are any to ask."""
    if diff is not None:
        if not diff.is_complete:
            return EXIT_NOT_EVALUATED
        return EXIT_FINDINGS if diff.has_new else 0
    if any(kind.unknown for kind in objects or ()):
        return EXIT_NOT_EVALUATED
    return EXIT_FINDINGS if objects else 0


def _compare_objects(args: argparse.Namespace) -> tuple[KindDiff, ...] | None:
    """The objects of two snapshots; None where one of the two is something else."""
    if is_result(args.before) or is_result(args.after):
        return None
    from contextlib import closing

    from pytest_kspec.cluster.recording.compare import compare_snapshots
    from pytest_kspec.cluster.sources.open import open_source
    from pytest_kspec.cluster.sources.snapshot import SnapshotSource

    with (
        closing(open_source(args.before, kubeconfig=args.kubeconfig)) as before,
        closing(open_source(args.after, kubeconfig=args.kubeconfig)) as after,
    ):
        if isinstance(before, SnapshotSource) and isinstance(after, SnapshotSource):
            return compare_snapshots(before, after)
    return None


def is_result(ref: str) -> bool:
    """Whether this names a JSON report, and no cluster."""
    if not ref.endswith(".json") or not os.path.isfile(ref):
        return False
    with open(ref, "rb") as file:
        head = file.read(512)
    return b'"ScanResult"' in head


def _result(ref: str, args: argparse.Namespace) -> tuple[ScanResult, bool]:
    """The result that `ref` is, or that a scan of it gives, and whether it was scanned."""
    from pytest_kspec.reports import json

    if is_result(ref):
        return json.read(ref), False
    if not args.spec:
        raise UsageError(
            f"'{ref}' is not a scan result.",
            where="kspec diff",
            fix="Add the specification for the scan: -s SPEC.",
        )
    from pytest_kspec.cli.scan_run import scan_result

    scanned = scan_result(
        args.spec,
        clusters=[ref],
        checks=args.checks,
        exemptions=args.exemptions,
        kubeconfig=args.kubeconfig,
    )
    return scanned, True
