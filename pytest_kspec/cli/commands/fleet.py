"""`kspec fleet`: specifications on many clusters, as one run of which every cluster has exactly one outcome."""

from __future__ import annotations

import argparse

from pytest_kspec.cli import arguments
from pytest_kspec.errors import UsageError

DESCRIPTION = """\
Scan many clusters as one run. Each cluster of a run has exactly one outcome, and each is stored as soon as
it is known: a run that was interrupted continues where it ended.

  kspec fleet scan SPEC…    begin a run, scan all clusters, and print the report
  kspec fleet scan --run ID continue a run
  kspec fleet work          scan one shard of a run: 'scan' and CI jobs start it
  kspec fleet report        print what a run found: score, coverage, changes
  kspec fleet status        print the clusters of a run and their outcomes
  kspec fleet list          print the runs of a store
  kspec fleet enforce SPEC… apply, remove or show the policies of specifications

Exit codes of 'scan' and 'report': 0 compliant; 1 findings at or above --fail-on; 2 a cluster or a requirement could
not be evaluated; 4 error in the specification or the command line. Exit codes of 'work': 0 every cluster of the
shard has an outcome; 3 some have none, try again; 4 wrong input. Exit codes of 'enforce': 0 all clusters are up to
date; 2 some are not; 4 usage error. Exit codes of 'enforce --status': 0 in force on all clusters; 1 something
differs from what would be applied; 2 a cluster could not be read."""

EXAMPLES = """
kspec fleet scan prod.yaml --context eu --context us --store fleet.db
kspec fleet report --group-by env -o json
kspec fleet enforce prod.yaml -l env=prod --mode audit
kspec fleet enforce prod.yaml -l env=prod --status
kspec fleet scan --run 20261129-171500-ab12cd
"""

ACTIONS = ("scan", "work", "report", "status", "list", "enforce")

_CHOICE = frozenset({"context", "source", "cluster", "hub", "all_contexts", "selector", "kubeconfig"})
_REPORT = frozenset(
    {"run", "report", "hub_reports", "hub_budget", "hub", "namespace", "kubeconfig", "group_by"}
) | {"allow_empty", "fail_on", "output"}
_INPUT = frozenset({"specs", "spec", "checks", "exemptions"})
_JOB = frozenset(
    {"image", "store_secret", "kubeconfig_secret", "service_account", "namespace", "queue", "parallelism"}
)
"""Options of the engine `job`."""
_PARALLELISM = 20
_BUDGET = 64
_WORK = frozenset({"run", "store", "parallel", "cluster_timeout", "store_timeout"})
USES = {
    "scan": _CHOICE
    | _REPORT
    | _INPUT
    | _JOB
    | _WORK
    | {"baseline", "check_timeout", "run_by", "store_reports", "workers", "shards", "no_wait", "engine"},
    "work": _WORK | {"index", "with_parent"},
    "report": _REPORT | {"store"},
    "status": frozenset({"store", "run", "output"}),
    "list": frozenset({"store", "output"}),
    "enforce": _CHOICE
    | _INPUT
    | {"mode", "remove", "dry_run", "status", "yes", "engine", "kyverno_api", "image", "namespace"}
    | {"allow_empty", "output"},
}
"""Action → the arguments that it uses."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("action", choices=ACTIONS, help="scan, work, report, status, list or enforce")
    arguments.add_specs(parser)
    parser.add_argument(
        "--context",
        action="append",
        default=[],
        metavar="NAME",
        help="kubeconfig context, or a pattern such as 'prod-*'; may be repeated",
    )
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        choices=("context", "target", "argocd", "clusterprofile", "hub"),
        help="where to look for clusters: contexts of the kubeconfig (default), objects of a hub "
        "(ClusterTargets, cluster Secrets of Argo CD, ClusterProfiles), or the hub itself; may be repeated",
    )
    parser.add_argument(
        "--cluster",
        action="append",
        default=[],
        metavar="NAME",
        help="name of a cluster of these sources, or a pattern; may be repeated",
    )
    parser.add_argument(
        "--hub",
        metavar="REF",
        default="",
        help="context of the hub, or in-cluster (default: the current context)",
    )
    parser.add_argument("--all-contexts", action="store_true", help="every context of the kubeconfig")
    parser.add_argument(
        "-l",
        "--selector",
        metavar="LABELS",
        default="",
        help="only clusters with these labels, such as env=prod; selects from all contexts if no context is named",
    )
    arguments.add_kubeconfig(parser)
    arguments.add_checks(parser)
    arguments.add_exemptions(parser)
    parser.add_argument("--baseline", metavar="FILE", default="", help="file of known findings")
    parser.add_argument(
        "--fail-on",
        metavar="LEVEL",
        default="",
        help="low (default), medium, high or critical: findings below this severity do not fail the run",
    )
    parser.add_argument(
        "--check-timeout",
        metavar="SECONDS",
        default="",
        help="time limit of each check (default: 900; 0: none)",
    )
    parser.add_argument("--run-by", metavar="TEXT", default=None, help="user to name in reports")
    arguments.add_store(
        parser,
        "store of the results: FILE.db (SQLite), postgresql://USER@HOST/DB or s3://BUCKET/PREFIX (default: "
        "$KSPEC_STORE, else kspec/fleet.db in $XDG_STATE_HOME or ~/.local/state)",
    )
    parser.add_argument(
        "--store-reports",
        metavar="PLACE",
        default="",
        help="folder or s3://BUCKET/PREFIX for the full reports (default: beside a store in SQLite or S3)",
    )
    parser.add_argument(
        "--run",
        metavar="ID",
        default="",
        help="id of a run to start or to continue; a unique prefix is enough",
    )
    parser.add_argument(
        "--workers",
        metavar="N",
        type=int,
        default=0,
        help="number of processes of 'scan' (default: one for each CPU)",
    )
    parser.add_argument(
        "--shards",
        metavar="N",
        type=int,
        default=0,
        help="number of shards that 'scan' divides the clusters into (default: the number of workers)",
    )
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="with 'scan': begin the run and print its id, without starting workers",
    )
    parser.add_argument("--index", metavar="N", type=int, default=None, help="shard to scan with 'work'")
    parser.add_argument(
        "--parallel", metavar="N", type=int, default=1, help="clusters that 'work' scans at once (default: 1)"
    )
    parser.add_argument(
        "--store-timeout",
        metavar="SECONDS",
        type=float,
        default=60.0,
        help="how long a worker waits for a store that is unavailable (default: 60)",
    )
    parser.add_argument(
        "--mode",
        choices=("audit", "enforce"),
        default="",
        help="with 'enforce': audit (warn) or enforce (deny)",
    )
    parser.add_argument("--remove", action="store_true", help="with 'enforce': remove the policies")
    parser.add_argument("--dry-run", action="store_true", help="with 'enforce': show what would change")
    parser.add_argument(
        "--status",
        action="store_true",
        help="with 'enforce': show what is in force on each cluster, and change nothing",
    )
    parser.add_argument(
        "-y", "--yes", action="store_true", help="with 'enforce': do not ask for confirmation"
    )
    _add_job(parser)
    parser.add_argument("--with-parent", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument(
        "--cluster-timeout",
        metavar="SECONDS",
        type=float,
        default=900.0,
        help="time limit of the scan of one cluster (default: 900)",
    )
    parser.add_argument(
        "--report",
        action="append",
        default=[],
        metavar="FORMAT:PATH",
        help="with 'scan' and 'report': write a report of all clusters: csv, html, intoto, json, junit, markdown, "
        "oscal, pdf, pdf-full or sarif; may be repeated",
    )
    parser.add_argument(
        "--hub-reports",
        action="store_true",
        help="with 'scan' and 'report': write a ComplianceReport of each cluster to the hub (--hub, --namespace)",
    )
    parser.add_argument(
        "--hub-budget",
        metavar="MIB",
        type=int,
        default=_BUDGET,
        help="size of all ComplianceReports of the fleet in the hub (default: %(default)s)",
    )
    parser.add_argument(
        "--group-by",
        action="append",
        default=[],
        metavar="LABEL",
        help="with 'scan' and 'report': groups by this label; may be repeated (default: labels with few values)",
    )
    arguments.add_allow_empty(parser, "a cluster in which a specification finds nothing to evaluate")
    parser.add_argument(
        "-o", "--output", metavar="FORMAT", choices=("text", "json"), default="text", help="text or json"
    )


def _add_job(parser: argparse.ArgumentParser) -> None:
    """Options of the engine `job`."""
    parser.add_argument(
        "--engine",
        metavar="NAME",
        default="",
        help="with 'scan': local (default), processes of this machine, or job, one Indexed Job in the hub, with a "
        "store in PostgreSQL or S3; with 'enforce': vap (default), kyverno or webhook, as in 'kspec enforce'",
    )
    parser.add_argument(
        "--kyverno-api",
        metavar="API",
        default="validatingpolicy",
        help="with 'enforce --engine kyverno': validatingpolicy (default) or clusterpolicy",
    )
    for name, text in (
        ("image", "image of the pods, by digest or version; with 'enforce --engine webhook' by digest"),
        ("store-secret", "Secret in the namespace of the Job; its keys become variables: KSPEC_STORE, AWS_…"),
        ("kubeconfig-secret", "Secret with the key 'kubeconfig', for clusters that are contexts"),
        ("service-account", "ServiceAccount of the pods, for clusters that are objects of the hub"),
        ("namespace", "namespace of the Job, or of the webhook (default: kspec-system)"),
        ("queue", "queue of Kueue"),
    ):
        parser.add_argument(f"--{name}", metavar="NAME", default="", help=f"with --engine job: {text}")
    parser.add_argument(
        "--parallelism",
        metavar="N",
        type=int,
        default=_PARALLELISM,
        help="with --engine job: pods at once (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Do what is asked."""
    for option in ("workers", "shards"):
        if getattr(args, option) < 0:
            raise UsageError("this must be a number of at least 1.", where=f"--{option}")
    if args.parallel < 1:
        raise UsageError("this must be a number of at least 1.", where="--parallel")
    if not 0 < args.cluster_timeout <= 86_400:
        raise UsageError("this must be a number of seconds from 1 to 86400.", where="--cluster-timeout")
    if not 0 <= args.store_timeout <= 3600:
        raise UsageError("this must be a number of seconds from 0 to 3600.", where="--store-timeout")
    if args.action == "enforce":  # its engines are others
        from pytest_kspec.cli.commands.fleet_enforce import enforce, refuse_other_engines
        from pytest_kspec.cli.commands.fleet_scan import targets

        refuse_other_engines(args)
        return enforce(args, targets(args))
    args.engine = args.engine or "local"
    if args.engine not in ("local", "job"):
        raise UsageError(
            f"{args.engine!r} is not an engine of scans.", where="--engine", fix="Use local or job."
        )
    _refuse_for_nothing(args)
    if args.action in ("scan", "work"):
        from pytest_kspec.cli.commands import fleet_scan

        return fleet_scan.scan(args) if args.action == "scan" else fleet_scan.work(args)
    from pytest_kspec.cli.commands import fleet_show

    shows = {"report": fleet_show.report, "status": fleet_show.status, "list": fleet_show.list_runs}
    return shows[args.action](args)


def _refuse_for_nothing(args: argparse.Namespace) -> None:
    """Options of Jobs without a Job, and of reports that are not written. Raises UsageError."""
    where = f"kspec fleet {args.action}"
    for name in sorted(_JOB - ({"namespace"} if args.hub_reports else set())):
        if args.engine != "job" and getattr(args, name) not in ("", _PARALLELISM):
            option = f"--{name.replace('_', '-')}"
            without = "--engine job or --hub-reports" if name == "namespace" else "--engine job"
            raise UsageError(f"'{option}' has no effect without {without}.", where=where)
    if args.hub_budget != _BUDGET and not args.hub_reports:
        raise UsageError("'--hub-budget' has no effect without --hub-reports.", where=where)
    if args.no_wait:
        for option, given in (
            ("--report", args.report),
            ("--hub-reports", args.hub_reports),
            ("--group-by", args.group_by),
            ("--allow-empty", args.allow_empty),
        ):
            if given:
                raise UsageError(
                    f"'{option}' has no effect with --no-wait.",
                    where=where,
                    fix="Give it to 'kspec fleet report'.",
                )
