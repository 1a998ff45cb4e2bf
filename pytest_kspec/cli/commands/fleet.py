"""`kspec fleet`: specifications on many clusters, as one run of which every cluster has exactly one outcome."""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.cli.output import fail, is_interactive, note, say, say_json
from pytest_kspec.errors import EXIT_NOT_EVALUATED, EXIT_USAGE, StoreError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_kspec.cluster.sources.source import Source
    from pytest_kspec.cluster.writing.access import Access
    from pytest_kspec.fleet.job import Settings
    from pytest_kspec.fleet.local import Failed
    from pytest_kspec.fleet.report import FleetReport
    from pytest_kspec.fleet.runs import Order
    from pytest_kspec.fleet.targets.model import Target
    from pytest_kspec.publish.sinks import Publication
    from pytest_kspec.results.result import ScanResult
    from pytest_kspec.storage.engine import Store
    from pytest_kspec.storage.fleet import StoredRun

DESCRIPTION = """\
Scan many clusters as one run. Each cluster of a run has exactly one outcome, and each is stored as soon as
it is known: a run that was interrupted continues where it ended.

  kspec fleet scan SPEC…    begin a run, scan all clusters, and print the report
  kspec fleet scan --run ID continue a run
  kspec fleet work          scan one shard of a run: what 'scan' starts, and jobs of a CI system
  kspec fleet report        what a run found: score, coverage, groups, worst clusters, changes
  kspec fleet status        the clusters of a run and their outcomes
  kspec fleet list          the runs of a store

Exit codes of 'scan' and 'report': 0 compliant; 1 findings at or above --fail-on; 2 a cluster or a requirement could
not be evaluated; 4 error in the specification or the command line. Exit codes of 'work' are about
execution: 0 every cluster of the shard has an outcome; 3 some have none, try again; 4 wrong input."""

EXAMPLES = """
kspec fleet scan prod.yaml --all-contexts
kspec fleet scan prod.yaml --context eu --context us --store fleet.db
kspec fleet report --group-by env -o json
kspec fleet scan --run 20261129-171500-ab12cd
"""

ACTIONS = ("scan", "work", "report", "status", "list")
_PROGRESS_S = 1.0
_RUNS = 50
_REPORTS = ".reports"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("action", choices=ACTIONS, help="scan, work, report, status or list")
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
        choices=("context", "target", "argocd", "clusterprofile"),
        help="where clusters are looked for: contexts of the kubeconfig (default), or objects of a hub "
        "(ClusterTargets, cluster Secrets of Argo CD, ClusterProfiles); may be repeated",
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
        help="only clusters with these labels, such as env=prod; alone, of all contexts",
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
        "store of the results: FILE.db (SQLite) or postgresql://USER@HOST/DB (default: $KSPEC_STORE, else "
        "kspec/fleet.db in $XDG_STATE_HOME or ~/.local/state)",
    )
    parser.add_argument(
        "--store-reports",
        metavar="PLACE",
        default="",
        help="folder or s3://BUCKET/PREFIX for the full reports (default: a folder beside an SQLite store)",
    )
    parser.add_argument(
        "--run",
        metavar="ID",
        default="",
        help="id of a run: to begin or to continue; its beginning is enough",
    )
    parser.add_argument(
        "--workers", metavar="N", type=int, default=0, help="processes of 'scan' (default: one for each CPU)"
    )
    parser.add_argument(
        "--shards",
        metavar="N",
        type=int,
        default=0,
        help="parts in which 'scan' divides the clusters (default: the number of workers)",
    )
    parser.add_argument(
        "--no-wait",
        action="store_true",
        help="with 'scan': begin the run and print its id; others start the workers",
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
        help="how long a worker waits for a store that is away (default: 60)",
    )
    _add_job(parser)
    parser.add_argument("--with-parent", action="store_true", help=argparse.SUPPRESS)
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
        help="with 'scan' and 'report': write a report of all clusters: csv, html, json, junit, markdown, oscal, pdf, "
        "pdf-full or sarif; may be repeated",
    )
    parser.add_argument(
        "--group-by",
        action="append",
        default=[],
        metavar="LABEL",
        help="with 'scan' and 'report': groups by this label; may be repeated (default: labels of few values)",
    )
    arguments.add_allow_empty(parser, "a cluster in which a specification finds nothing to evaluate")
    parser.add_argument(
        "-o", "--output", metavar="FORMAT", choices=("text", "json"), default="text", help="text or json"
    )


def _add_job(parser: argparse.ArgumentParser) -> None:
    """Options of the engine `job`."""
    parser.add_argument(
        "--engine",
        choices=("local", "job"),
        default="local",
        help="local (default): processes of this machine; job: one Indexed Job in the hub, with a store in PostgreSQL",
    )
    for name, text in (
        ("image", "image of the pods, by digest or version"),
        ("store-secret", "Secret in the namespace of the Job; its keys become variables: KSPEC_STORE, AWS_…"),
        ("kubeconfig-secret", "Secret with the key 'kubeconfig', for clusters that are contexts"),
        ("service-account", "ServiceAccount of the pods, for clusters that are objects of the hub"),
        ("namespace", "namespace of the Job (default: kspec-system)"),
        ("queue", "queue of Kueue"),
    ):
        parser.add_argument(f"--{name}", metavar=name.upper(), default="", help=f"with --engine job: {text}")
    parser.add_argument(
        "--parallelism",
        metavar="N",
        type=int,
        default=20,
        help="with --engine job: pods at once (default: 20)",
    )


def run(args: argparse.Namespace) -> int:
    """Do what is asked."""
    if args.action != "scan" and (args.specs or args.spec):
        raise UsageError(
            f"unexpected argument '{[*args.specs, *args.spec][0]}'.", where=f"kspec fleet {args.action}"
        )
    for option in ("workers", "shards"):
        if getattr(args, option) < 0:
            raise UsageError("a number from 1 is needed.", where=f"--{option}")
    if args.parallel < 1:
        raise UsageError("a number from 1 is needed.", where="--parallel")
    if not 0 < args.cluster_timeout <= 86_400:
        raise UsageError("a number of seconds from 1 to 86400 is needed.", where="--cluster-timeout")
    if not 0 <= args.store_timeout <= 3600:
        raise UsageError("a number of seconds from 0 to 3600 is needed.", where="--store-timeout")
    work = {"scan": _scan, "work": _work, "report": _report, "status": _status, "list": _list}
    return work[args.action](args)


def _store_url(args: argparse.Namespace) -> str:
    """The store that is named, that of the environment, or the one of this user."""
    from pytest_kspec.fleet.local import STORE

    if url := args.store or os.environ.get(STORE, ""):
        return str(url)
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(state, "kspec", "fleet.db")


def _place(args: argparse.Namespace, url: str) -> str:
    """Where full reports are kept. Raises UsageError."""
    from pytest_kspec.storage.address import parse_address
    from pytest_kspec.storage.objects import check_place

    if args.store_reports:
        return check_place(args.store_reports, option="--store-reports")
    address = parse_address(url, option="--store")
    return os.path.abspath(address.path + _REPORTS) if address.path else ""


def _open(args: argparse.Namespace, *, create: bool = False) -> Store:
    from pytest_kspec.storage.engine import open_store

    return open_store(_store_url(args), option="--store", create=create)


def _scan(args: argparse.Namespace) -> int:
    from pytest_kspec.fleet.runs import Order
    from pytest_kspec.fleet.scanning import conclude
    from pytest_kspec.storage import fleet as stored

    _publication(args)
    specs = [*args.spec, *args.specs]
    with closing(_open(args, create=True)) as store:
        if not specs and not args.run:
            arguments.read_specs(args)  # says what is missing
        run_id = _begin(store, args) if specs else stored.find_run(store, args.run).id
        found = stored.find_run(store, run_id)
        order = Order.from_wire(found.document)
        if args.engine == "job":
            _submit(found, args)
        if args.no_wait:
            return _begun(found, args)
        note(f"run {found.id}: {found.clusters} clusters in {store.address}")
        run = _run_job if args.engine == "job" else _run_local
        failed = run(store, found, args)
        for line in conclude(store, found.id, order, failed):
            note(f"{line} Continue with: kspec fleet scan --run {found.id}")
        code = _print_report(store, found.id, args)
        if args.engine == "local" and any(one.final for one in failed):
            for one in failed:
                note(f"error: {one.reason}")
            return EXIT_USAGE
        return code


def _run_local(store: Store, found: StoredRun, args: argparse.Namespace) -> list[Failed]:
    from pytest_kspec.fleet.local import run_shards
    from pytest_kspec.storage import fleet as stored

    url = _store_url(args)
    missing = sorted({t.shard for t in stored.targets_of(store, found.id) if not t.done})
    return run_shards(
        found.id,
        missing,
        store=os.path.abspath(url) if store.address.path and "://" not in url else url,
        workers=_workers(args),
        words=_worker_words(args),
        watch=_progress(store, found),
    )


def _workers(args: argparse.Namespace) -> int:
    return args.workers or os.cpu_count() or 1


def _worker_words(args: argparse.Namespace) -> tuple[str, ...]:
    options = ("parallel", "cluster_timeout", "store_timeout")
    return tuple(f"--{name.replace('_', '-')}={getattr(args, name)}" for name in options)


def _hub_access(args: argparse.Namespace) -> Access:
    from pytest_kspec.fleet.targets.hub import open_hub

    return open_hub(args.hub, args.kubeconfig).access


def _settings(args: argparse.Namespace) -> Settings:
    """How the Job looks. Raises UsageError."""
    from pytest_kspec.crds.names import NAMESPACE
    from pytest_kspec.fleet.job import Settings

    made = Settings(
        args.image,
        args.store_secret,
        args.namespace or NAMESPACE,
        args.service_account,
        args.kubeconfig_secret,
        args.queue,
        args.parallelism,
        words=_worker_words(args),
    )
    if problem := made.problem():
        fix = "Add --image NAME@sha256:…, and --store-secret NAME."
        raise UsageError(f"{problem}.", where="kspec fleet scan --engine job", fix=fix)
    return made


def _submit(found: StoredRun, args: argparse.Namespace) -> None:
    from pytest_kspec.fleet.job import submit

    settings = _settings(args)
    name = submit(_hub_access(args), found.id, found.shards, settings)
    note(f"Job {settings.namespace}/{name}")


def _run_job(store: Store, found: StoredRun, args: argparse.Namespace) -> list[Failed]:
    """Wait for the Job; one that cannot start is ended."""
    from pytest_kspec.fleet.job import Watch, delete, wait
    from pytest_kspec.storage import fleet as stored

    access, namespace = _hub_access(args), _settings(args).namespace

    def done() -> bool:
        (run,) = stored.runs(store, ids=[found.id])
        return not run.waiting

    failed = wait(Watch(access, found.id, namespace), found.shards, done, tick=_progress(store, found))
    if failed:
        delete(access, found.id, namespace)
    return failed


def _begin(store: Store, args: argparse.Namespace) -> str:
    """Freeze a run; one of this id that is there already goes on, if it asks the same. Raises UsageError."""
    from pytest_kspec.fleet.bundle import pack
    from pytest_kspec.fleet.job import shards_for
    from pytest_kspec.fleet.runs import Order, absolute, ask, freeze, new_id, paths_exist
    from pytest_kspec.session.runby import run_by
    from pytest_kspec.storage import fleet as stored

    places, asked = ask([*args.spec, *args.specs])
    order = Order(
        places,
        asked,
        tuple(map(absolute, args.checks)),
        tuple(map(absolute, args.exemptions)),
        absolute(args.baseline),
        absolute(args.kubeconfig or ""),
        args.check_timeout,
        _level(args.fail_on),
        _place(args, _store_url(args)),
        run_by(args.run_by, os.environ),
    )
    paths_exist(order)
    targets = _targets(args)
    shards = args.shards or _workers(args)
    if args.engine == "job":
        _settings(args)
        shards = args.shards or shards_for(len(targets))
        order = replace(pack(order), kubeconfig="", place=_place_for_pods(args))
    run_id = args.run or new_id()
    if len(run_id) > 64 or not run_id.isprintable():
        raise UsageError("the id of a run has at most 64 printable characters.", where="--run")
    if not freeze(store, run_id, order, targets, engine=args.engine, shards=shards):
        known = Order.from_wire(stored.find_run(store, run_id).document)
        if sorted(known.asked) != sorted(order.asked):
            raise UsageError(
                "a run of this id is there already, and it was begun with other specifications.",
                where=f"--run {run_id}",
                fix="Choose another id.",
            )
    return run_id


def _place_for_pods(args: argparse.Namespace) -> str:
    """Where pods keep full reports: nowhere, where nothing was said. Raises UsageError for what only we can reach."""
    from pytest_kspec.storage.address import parse_address

    if parse_address(_store_url(args), option="--store").kind == "sqlite":
        raise UsageError(
            "pods cannot write to a file of this machine.",
            where="--store",
            fix="Use postgresql://USER@HOST/DATABASE, by an address that this machine and the pods can reach.",
        )
    if args.store_reports and not args.store_reports.startswith("s3://"):
        raise UsageError(
            "pods cannot write to a folder of this machine.", where="--store-reports", fix="Use s3://…"
        )
    return str(args.store_reports)


def _targets(args: argparse.Namespace) -> list[Target]:
    """The clusters that are meant. Raises UsageError."""
    from pytest_kspec.fleet.targets.find import Wanted, find_targets
    from pytest_kspec.fleet.targets.hub import open_hub

    if not (args.context or args.all_contexts or args.selector or args.source or args.cluster):
        raise UsageError(
            "no cluster is selected.",
            where="kspec fleet scan",
            fix="Name them with --context NAME, --all-contexts, --source SOURCE or -l LABELS.",
        )
    names = [f"context:{name}" if not any(c in name for c in "*?") else name for name in args.context]
    sources = tuple(args.source) or ("context",)
    hub = open_hub(args.hub, args.kubeconfig) if set(sources) - {"context"} else None
    wanted = Wanted((*names, *args.cluster), args.selector, args.kubeconfig, sources)
    return [target for target in find_targets(wanted, hub) if not target.suspended]


def _level(text: str) -> str:
    from pytest_kspec.results.verdict import Severity

    if text and text not in list(Severity):
        raise UsageError(
            f"unknown level '{text}'.", where="--fail-on", fix=f"Allowed: {', '.join(Severity)}."
        )
    return text


def _begun(found: StoredRun, args: argparse.Namespace) -> int:
    if args.output == "json":
        say_json(_pretty({"run": found.id, "shards": found.shards, "clusters": found.clusters}))
    else:
        say(found.id)
        note(
            f"{found.clusters} clusters in {found.shards} shards. Start: kspec fleet work --run {found.id} --index N"
        )
    return 0


def _progress(store: Store, found: StoredRun) -> Callable[[], None]:
    """Called again and again; writes where somebody looks, and nothing into logs."""
    import time

    from pytest_kspec.storage import fleet as stored

    if not is_interactive(sys.stderr):
        return lambda: None
    last = [0.0]

    def watch() -> None:
        now = time.monotonic()
        if now - last[0] < _PROGRESS_S:
            return
        last[0] = now
        try:
            (run,) = stored.runs(store, ids=[found.id])
        except StoreError:
            return  # the next look may succeed; workers say what is wrong
        errors = sum(
            run.outcomes.get(name, 0) for name in ("unreachable", "refused", "failed", "not-scanned")
        )
        text = f"{run.clusters - run.waiting} of {run.clusters} clusters, {errors} could not be scanned"
        sys.stderr.write(f"\r\x1b[K{text}" if run.waiting else "\r\x1b[K")
        sys.stderr.flush()

    return watch


def _work(args: argparse.Namespace) -> int:
    from pytest_kspec.fleet.child import end_with_parent
    from pytest_kspec.fleet.work import EXIT_NOT_STORED, Worker

    if args.with_parent:
        end_with_parent()
    index = args.index
    if index is None:
        index = _completion_index()
    if not args.run:
        raise UsageError("no run is given.", where="kspec fleet work", fix="Add --run ID.")
    worker = Worker(
        _store_url(args),
        args.run,
        index,
        _scan_one,
        parallel=args.parallel,
        cluster_s=args.cluster_timeout,
        patience_s=args.store_timeout,
        say=note,
    )
    try:
        return worker.run()
    except StoreError as error:
        fail(error)
        return EXIT_NOT_STORED


def _completion_index() -> int:
    """What Kubernetes tells the pod of an Indexed Job. Raises UsageError."""
    text = os.environ.get("JOB_COMPLETION_INDEX", "")
    if not text.isdecimal():
        raise UsageError("no shard is given.", where="kspec fleet work", fix="Add --index N.")
    return int(text)


def _scan_one(ref: str, source: Source, order: Order) -> ScanResult:
    """The scan of `kspec scan`, on a source that is open."""
    from pytest_kspec.cli.scan_run import scan_result

    return scan_result(
        order.specs,
        clusters=[ref],
        checks=order.checks,
        exemptions=order.exemptions,
        baseline=order.baseline,
        kubeconfig=order.kubeconfig or None,
        check_timeout=order.check_timeout,
        run_by=order.run_by,
        opened={ref: source},
    )


def _pretty(document: object) -> bytes:
    from pytest_kspec.reports.json import pretty

    return pretty(document)


def _status(args: argparse.Namespace) -> int:
    from pytest_kspec.cli.output import width
    from pytest_kspec.fleet.report import make_report
    from pytest_kspec.fleet.text import status_lines
    from pytest_kspec.storage import fleet as stored

    with closing(_open(args)) as store:
        report = make_report(store, stored.find_run(store, args.run))
    if args.output == "json":
        wire = report.to_wire()
        names = ("apiVersion", "run", "createdAt", "endedAt", "engine", "outcomes", "clusters")
        say_json(_pretty({"kind": "FleetStatus"} | {name: wire[name] for name in names}))
        return 0
    for line in status_lines(report, width()):
        say(line)
    return 0


def _list(args: argparse.Namespace) -> int:
    from pytest_kspec.storage import fleet as stored

    with closing(_open(args)) as store:
        found = stored.runs(store, limit=_RUNS)
    if args.output == "json":
        listed = [
            {
                "run": one.id,
                "createdAt": one.created_at,
                "endedAt": one.ended_at,
                "engine": one.engine,
                "shards": one.shards,
                "clusters": one.clusters,
                "outcomes": {name or "waiting": count for name, count in sorted(one.outcomes.items())},
            }
            for one in found
        ]
        say_json(_pretty({"apiVersion": "kspec.io/v1alpha1", "kind": "FleetRuns", "runs": listed}))
        return 0
    for one in found:
        counts = ", ".join(f"{count} {name or 'waiting'}" for name, count in sorted(one.outcomes.items()))
        say(f"{one.id}  {one.created_at}  {'ended' if one.ended_at else 'not ended'}  {counts}")
    if not found:
        note("The store has no run over a fleet.")
    return 0


def _report(args: argparse.Namespace) -> int:
    from pytest_kspec.storage import fleet as stored

    with closing(_open(args)) as store:
        return _print_report(store, stored.find_run(store, args.run).id, args)


def _print_report(store: Store, run_id: str, args: argparse.Namespace) -> int:
    """What a run found; the exit code is about compliance."""
    from pytest_kspec.cli.output import style, width
    from pytest_kspec.fleet.report import make_report
    from pytest_kspec.fleet.runs import Order
    from pytest_kspec.fleet.text import lines
    from pytest_kspec.storage import fleet as stored

    found = stored.find_run(store, run_id)
    order = Order.from_wire(found.document)
    report = make_report(store, found, group_by=args.group_by)
    if args.output == "json":
        say_json(_pretty(report.to_wire()))
    else:
        for line in lines(report, width(), style):
            say(line)
    unpublished = _publish(store, report, args)
    if report.empty and not args.allow_empty:
        names = ", ".join(row.name for row in report.empty[:10])
        note(f"error: nothing was evaluated on {names}. If this is intended, add --allow-empty.")
    code = report.exit_code(_level(args.fail_on) or order.fail_on, allow_empty=args.allow_empty)
    return EXIT_NOT_EVALUATED if unpublished else code


def _publication(args: argparse.Namespace) -> Publication:
    """What --report says. Raises UsageError."""
    from pytest_kspec.publish.sinks import read_publication

    return read_publication(
        args.report, kubeconfig=args.kubeconfig, option="--report", store_option="--store"
    )


def _publish(store: Store, report: FleetReport, args: argparse.Namespace) -> bool:
    """Write the reports that are asked for; whether one of them could not be written."""
    if not args.report:
        return False
    from pytest_kspec.fleet.results import full_result

    done = _publication(args).publish(full_result(store, report))
    for line in done.done:
        note(line)
    for problem in done.problems:
        note(f"error: {problem}")
    return bool(done.problems)
