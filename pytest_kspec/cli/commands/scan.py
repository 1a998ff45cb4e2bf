"""`kspec scan`: the run that `pytest --kspec-spec` makes, without knowing pytest.

There is one way to run a check, so this starts pytest; only its output is replaced by our report, its
configuration files are left aside, and its exit codes are translated.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.cli.output import fail, note, say, style
from pytest_kspec.cli.reporting import show
from pytest_kspec.errors import EXIT_FINDINGS, EXIT_NOT_EVALUATED, EXIT_USAGE, KspecError, UsageError

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.cli.scan_run import Outcome
    from pytest_kspec.reports.writer import ReportFile

DESCRIPTION = """\
Check clusters against specifications and report every violation: the object, the field, the actual value,
the expected value, and how to fix it. A cluster is a kubeconfig context, a snapshot ('kspec snapshot'), or
a file or folder of manifests ('-' reads manifests from standard input); NAME=PATH gives manifests
a name in reports, stores and baselines. A specification is a file, a folder, or 'cr:NAME' for a
ClusterSpecification object in the cluster.

Exit codes: 0 compliant; 1 findings at or above --fail-on; 2 something, or everything, could not be
evaluated; 4 error in the specification or the command line."""

EXAMPLES = """
kspec scan --template security-baseline --cluster eu
kspec scan prod.yaml --cluster eu --cluster us --report html:report.html
kustomize build overlays/prod | kspec scan prod.yaml --cluster prod=-
kspec scan prod.yaml --cluster all -q
kspec scan specs/ --cluster all -n 4 -o json > scan.json
"""

INTERRUPTED = 130


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    arguments.add_specs(parser)
    parser.add_argument(
        "--template",
        action="append",
        default=[],
        metavar="NAME",
        help="built-in template to use with its defaults instead of a specification: security-baseline or "
        "compliance-strict; may be repeated",
    )
    parser.add_argument(
        "--cluster",
        action="append",
        default=[],
        metavar="REF",
        help='kubeconfig context, path of a snapshot or of manifests, "in-cluster", or "all" (every '
        "context); may be repeated (default: the specification's clusterRef, else the current context)",
    )
    arguments.add_kubeconfig(parser)
    arguments.add_checks(parser)
    arguments.add_exemptions(parser)
    parser.add_argument(
        "--fail-on",
        metavar="LEVEL",
        help="low (default), medium, high or critical: findings below this severity do not fail the scan",
    )
    parser.add_argument(
        "--check-timeout",
        metavar="SECONDS",
        help="time limit of each check; a check that exceeds it is an error, "
        "and the other checks continue (default: 900; "
        "0: none)",
    )
    arguments.add_allow_empty(parser)
    parser.add_argument(
        "--baseline",
        metavar="FILE",
        help="file of known findings: they are shown, and only new findings fail "
        "('kspec report --update-baseline FILE' writes it)",
    )
    parser.add_argument(
        "--report",
        action="append",
        default=[],
        metavar="FORMAT:PATH",
        help="write a report: csv, html, intoto, json, junit, markdown, oscal, pdf, pdf-full or sarif; or into each "
        "cluster: cr, cr:NAMESPACE or policyreport; may be repeated",
    )
    arguments.add_store(parser, "add the results to a store: FILE.db (SQLite) or postgresql://USER@HOST/DB")
    parser.add_argument(
        "--store-reports",
        metavar="PLACE",
        default="",
        help="keep the full reports too: a folder, or s3://BUCKET/PREFIX",
    )
    parser.add_argument(
        "--alert",
        action="append",
        default=[],
        metavar="FILE",
        help="send what changed since the last run in the store to the receivers of this AlertConfig; may be repeated",
    )
    parser.add_argument(
        "--run-by",
        metavar="TEXT",
        help='user to name in reports ("" for none; default: $KSPEC_RUN_BY, else the address '
        "of the CI job, else user@host)",
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FORMAT",
        default="text",
        help="output format: text (default) or a report format such as json",
    )
    parser.add_argument(
        "-q",
        "--quiet",
        action="store_true",
        help="print one line per cluster: verdict, score, counts and worst finding",
    )
    parser.add_argument("--json", action="store_const", const="json", dest="output", help="same as -o json")
    parser.add_argument(
        "-k",
        metavar="EXPR",
        default="",
        help="only requirements whose id matches the expression, as in pytest -k",
    )
    parser.add_argument(
        "-n", metavar="WORKERS", default="", help='number of processes, or "auto" (needs pytest-xdist)'
    )


def run(args: argparse.Namespace) -> int:
    """Scan, print, write reports, translate the exit code."""
    args.spec += [f"template:{name}" for name in args.template]
    specs = arguments.read_specs(args)
    printed = _printed(args)
    if args.n and "-" in args.cluster:
        raise UsageError("standard input can be read by only one process.", where="-n", fix="Leave out -n.")
    _check_publication(args)
    from pytest_kspec.cli.scan_run import run_pytest

    outcome = run_pytest(_pytest_arguments(args, specs, printed), workers=bool(args.n))
    if outcome.result is not None and outcome.result.clusters and outcome.status != EXIT_USAGE:
        outcome.errors += _print(outcome, printed, args)
        outcome.errors += arguments.empty_problems(outcome.result, args)
    for line in outcome.errors:
        note(f"{style('error:', 'red', 'bold', stream=sys.stderr)} {line}")
    return _exit_code(outcome, args.k)


def _printed(args: argparse.Namespace) -> tuple[ReportFile, ...]:
    """The report that goes to standard output in place of the terminal's, if there is one. Raises UsageError."""
    from pytest_kspec.reports.writer import STDOUT, parse_targets

    if args.output != "text" and args.quiet:
        raise UsageError(f"this prints text, not {args.output}.", where="-q", fix="Leave one of them out.")
    named = [text for text in args.report if text.endswith(f":{STDOUT}")]
    return parse_targets(
        [*named, *([f"{args.output}:-"] if args.output != "text" else [])], option="--report"
    )


def _check_publication(args: argparse.Namespace) -> None:
    """Raises UsageError before anything runs, with the names of this command's options."""
    from pytest_kspec.publish.sinks import read_publication

    read_publication(
        args.report,
        kubeconfig=args.kubeconfig,
        store=args.store,
        store_reports=args.store_reports,
        alerts=args.alert,
        option="--report",
        store_option="--store",
        alert_option="--alert",
    )


def _pytest_arguments(
    args: argparse.Namespace, specs: list[str], printed: tuple[ReportFile, ...]
) -> list[str]:
    """What the session is asked: it publishes all but what this command prints."""
    words: list[str] = []
    texts = {str(target) for target in printed}
    for option, values in (
        ("spec", specs),
        ("cluster", args.cluster),
        ("checks", args.checks),
        ("exemptions", args.exemptions),
        ("kubeconfig", [args.kubeconfig] if args.kubeconfig else []),
        ("fail-on", [args.fail_on] if args.fail_on else []),
        ("check-timeout", [args.check_timeout] if args.check_timeout else []),
        ("baseline", [args.baseline] if args.baseline else []),
        ("run-by", [args.run_by] if args.run_by is not None else []),
        ("report", [text for text in args.report if text not in texts]),
        ("store", [args.store] if args.store else []),
        ("alert", args.alert),
        ("store-reports", [args.store_reports] if args.store_reports else []),
    ):
        words += [f"--kspec-{option}={value}" for value in values]
    if args.allow_empty:
        words.append("--kspec-allow-empty")
    if args.k:
        words += ["-k", args.k]
    if args.n:
        words += ["-n", args.n, "--dist=loadscope"]
    return words


def _print(outcome: Outcome, printed: tuple[ReportFile, ...], args: argparse.Namespace) -> list[str]:
    """The report of the terminal and what was published, or the report that was asked for. Returns what went wrong."""
    assert outcome.result is not None
    if printed:
        from pytest_kspec.publish.sinks import Publication

        for line in outcome.published:
            if line.startswith("stored as "):
                note(line)
        return Publication(printed).publish(outcome.result).problems
    try:
        show(outcome.result, brief=args.quiet)
        for line in outcome.published:
            say(line)
    except KspecError as error:
        return [str(error)]
    return []


def _exit_code(outcome: Outcome, selected: str) -> int:
    """The contract's exit codes: what could not be evaluated weighs more than findings."""
    from pytest_kspec.cli.scan_run import ExitCode

    if outcome.interrupted:
        return INTERRUPTED
    if outcome.status == ExitCode.USAGE_ERROR:
        return EXIT_USAGE
    result = outcome.result
    if result is None or not any(cluster.checks for cluster in result.clusters):
        if outcome.status == ExitCode.NO_TESTS_COLLECTED:
            what = (
                f"no requirement matches -k '{selected}'."
                if selected
                else "the specification does not require any check."
            )
            return fail(UsageError(what, fix="'kspec validate SPEC' counts the requirements."))
        return EXIT_NOT_EVALUATED
    if result.summary.errors or outcome.errors or outcome.status not in (ExitCode.OK, ExitCode.TESTS_FAILED):
        return EXIT_NOT_EVALUATED
    return EXIT_FINDINGS if outcome.status == ExitCode.TESTS_FAILED else 0
