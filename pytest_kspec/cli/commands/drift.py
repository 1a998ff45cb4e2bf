"""`kspec drift`: what of a cluster is not as it was applied, and who changed it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.errors import UsageError

if TYPE_CHECKING:
    import argparse

DESCRIPTION = """\
Find what changed in a cluster and who changed it, and restore policies.

  kspec drift detect      compare, and print each difference
  kspec drift remediate   correct policies, after confirmation
  kspec drift watch       compare continuously, and print changes
  kspec drift history     print the differences in a store

types of drift:
  policy         policies that were changed, deleted or added since 'kspec
                 enforce' or the operator applied them. They are compared by
                 dry run, so that defaults of the API server are not drift
  compliance     findings that the last run in --store does not have
  configuration  objects of --kinds that differ from those in --snapshot, or in
                 the last good run in --store (--last-good)

Each difference shows who changed the object, and when, if managedFields
contain it. Objects that Argo CD, Flux, Helm or a controller manages, and
objects that were corrected three times within an hour, are never corrected.

Without --mode, the mode is enforcement.mode of the specification; if the
specification has no section enforcement, it is the mode of the policies that
are applied.

Exit codes: 0 no drift, or all of it was corrected; 1 drift; 2 something could
not be compared or corrected, or there was nothing to compare; 4 usage error."""

EXAMPLES = """
kspec drift detect -s cr:prod --cluster prod-eu
kspec drift detect -s prod.yaml --snapshot good.tar.gz --kinds Deployment,Role
kspec drift detect -s prod.yaml --store results.db --last-good --kinds Role
kspec drift remediate -s prod.yaml --dry-run
kspec drift history -s prod.yaml --store results.db --since 7d
"""

ACTIONS = ("detect", "remediate", "watch", "history")
_SHOWN = frozenset({"specs", "spec", "cluster", "store", "output", "output_file"})
_COMPARED = (
    _SHOWN
    | {
        "kubeconfig",
        "checks",
        "exemptions",
        "cluster_name",
        "engine",
        "mode",
        "snapshot",
        "last_good",
        "kinds",
    }
    | {"types", "ignore", "allow_empty", "kyverno_api", "webhook_service", "webhook_url", "webhook_read_port"}
    | {"webhook_exclude_namespace", "webhook_cert_manager"}
)
USES = {
    "detect": _COMPARED | {"watch", "watch_interval"},
    "remediate": _COMPARED | {"dry_run", "force", "yes", "max_changes"},
    "watch": _COMPARED | {"watch_interval"},
    "history": _SHOWN | {"since"},
}
"""Action → the arguments that it uses."""
_INTERVAL = "5m"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    from pytest_kspec.enforce.engines import ENGINES, engine, engines

    parser.add_argument("action", choices=ACTIONS, help="what to do")
    arguments.add_specs(parser, "specification: a file, or cr:NAME for a ClusterSpecification object")
    parser.add_argument(
        "--cluster",
        "--context",
        metavar="CONTEXT",
        help="kubeconfig context (default: as for 'kspec scan')",
    )
    arguments.add_kubeconfig(parser)
    arguments.add_checks(parser)
    arguments.add_exemptions(parser)
    parser.add_argument(
        "--cluster-name", metavar="NAME", help="name of the cluster in exemptions (default: its own name)"
    )
    parser.add_argument(
        "--engine",
        choices=list(engines()),
        help="engine of the policies (default: enforcement.engine of the specification, else vap)",
    )
    parser.add_argument("--mode", choices=("audit", "enforce"), help="mode of the policies")
    arguments.add_store(
        parser, "store with the last run to compare with; drift is recorded there: FILE.db or postgresql://…"
    )
    parser.add_argument("--snapshot", metavar="FILE", default="", help="snapshot to compare with")
    parser.add_argument(
        "--last-good",
        action="store_true",
        help="compare with the last good run in --store: the objects as they were when a scan of 'detect' or 'watch' "
        "met the whole specification; such a run replaces it",
    )
    parser.add_argument(
        "--kinds",
        metavar="KIND",
        action="append",
        default=[],
        help="kinds of objects to compare, such as Deployment,Role; may be repeated",
    )
    parser.add_argument(
        "--types",
        metavar="TYPE",
        action="append",
        default=[],
        help="policy, compliance, configuration (default: those with something to compare with; remediate: policy)",
    )
    parser.add_argument(
        "--ignore", metavar="FILE", default="", help="DriftConfig, or a file with its list 'ignore'"
    )
    correct = parser.add_argument_group("remediate")
    correct.add_argument("--dry-run", action="store_true", help="show what would be corrected")
    correct.add_argument("--force", action="store_true", help="also delete extra policies")
    correct.add_argument("-y", "--yes", action="store_true", help="do not ask for confirmation")
    correct.add_argument(
        "--max-changes",
        type=_count,
        default=20,
        metavar="N",
        help="maximum number of corrections in one run (default: 20)",
    )
    watch = parser.add_argument_group("watch")
    watch.add_argument("--watch", action="store_true", help="with detect: the same as watch")
    watch.add_argument(
        "--watch-interval",
        metavar="DURATION",
        default=_INTERVAL,
        help="interval between full comparisons (default: %(default)s); policies are compared when they change",
    )
    parser.add_argument(
        "--since", metavar="AGE", default="", help="with history: since this age or date: 7d, 12h, 2026-01-31"
    )
    arguments.add_allow_empty(parser, "a specification without policies to compare")
    parser.add_argument(
        "-o", "--output", metavar="FORMAT", choices=("text", "json"), default="text", help="text or json"
    )
    parser.add_argument("--output-file", metavar="FILE", help="write the result to a file")
    for name in sorted(ENGINES):
        engine(name).add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Do what is asked."""
    from pytest_kspec.cli.commands import drift_more, drift_steps
    from pytest_kspec.cli.commands.enforce import refuse_other_engines

    if args.engine:
        refuse_other_engines(args, args.engine, "drift")
    if args.action == "detect" and not args.watch and args.watch_interval != _INTERVAL:
        raise UsageError("'--watch-interval' has no effect without --watch.", where="kspec drift detect")
    if args.action == "watch" or args.watch:
        return drift_more.watch(args)
    work = {"detect": drift_steps.detect, "remediate": drift_more.remediate, "history": drift_more.history}
    return work[args.action](args)


def _count(text: str) -> int:
    from argparse import ArgumentTypeError

    number = int(text) if text.isascii() and text.isdigit() and len(text) < 5 else 0
    if not 1 <= number <= 1000:
        raise ArgumentTypeError(f"'{text}' is not a number from 1 to 1000")
    return number
