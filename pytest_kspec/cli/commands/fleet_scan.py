"""`kspec fleet scan` and `work`: begin a run, have workers scan its clusters, and wait for them."""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_kspec.cli import arguments
from pytest_kspec.cli.commands.fleet_show import (
    level,
    opened,
    place,
    pretty,
    print_report,
    publication,
    store_url,
)
from pytest_kspec.cli.output import fail, is_interactive, note, say, say_json
from pytest_kspec.errors import EXIT_USAGE, KspecError, StoreError, UsageError, WrongStore

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from pytest_kspec.cluster.sources.source import Source
    from pytest_kspec.cluster.writing.access import Access
    from pytest_kspec.fleet.job import Settings
    from pytest_kspec.fleet.local import Failed
    from pytest_kspec.fleet.runs import Order
    from pytest_kspec.fleet.targets.model import Target
    from pytest_kspec.results.result import ScanResult
    from pytest_kspec.spec.loading import LoadedSpec
    from pytest_kspec.storage.engine import Store
    from pytest_kspec.storage.fleetrun import Asked, StoredRun

_PROGRESS_S = 1.0


def scan(args: argparse.Namespace) -> int:
    """Begin or continue a run, wait for it, and print its report."""
    from pytest_kspec.fleet.runs import Order
    from pytest_kspec.fleet.scanning import conclude
    from pytest_kspec.reports.shared.text import plural
    from pytest_kspec.storage import fleet as stored
    from pytest_kspec.storage.fleetattempts import forgive

    publication(args)
    specs = [*args.spec, *args.specs]
    with closing(opened(args, create=True)) as store:
        if not specs and not args.run:
            arguments.read_specs(args)  # says what is missing
        run_id = _begin(store, args) if specs else _go_on(store, args)
        found = stored.find_run(store, run_id)
        order = Order.from_wire(found.document)
        if args.engine == "job" and found.waiting:
            _submit(store, found, args)
        elif found.waiting:
            forgive(store, found.id)
        if args.no_wait:
            return _begun(found, args)
        note(f"run {found.id}: {plural(found.clusters, 'cluster')} in {store.address}")
        run = _run_job if args.engine == "job" else _run_local
        failed = run(store, found, args)
        if is_interactive(sys.stderr):
            sys.stderr.write("\r\x1b[K")  # the line of the progress
        for line in conclude(store, found.id, order, failed):
            note(f"{line} Continue with: kspec fleet scan --run {found.id}")
        code = print_report(store, found.id, args)
        if args.engine == "local" and any(one.final for one in failed):
            for one in failed:
                note(f"error: {one.reason}")
            return EXIT_USAGE
        return code


def _run_local(store: Store, found: StoredRun, args: argparse.Namespace) -> list[Failed]:
    from pytest_kspec.fleet.local import run_shards
    from pytest_kspec.storage import fleet as stored

    url = store_url(args)
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
        fix = "Add --image NAME@sha256:…; the Secret is named with --store-secret."
        raise UsageError(f"{problem}.", where="kspec fleet scan --engine job", fix=fix)
    return made


def _submit(store: Store, found: StoredRun, args: argparse.Namespace) -> None:
    from pytest_kspec.fleet.job import submit
    from pytest_kspec.storage.fleetattempts import forgive

    settings = _settings(args)
    name = submit(_hub_access(args), found.id, found.shards, settings, anew=lambda: forgive(store, found.id))
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
    if any(one.final for one in failed):
        delete(access, found.id, namespace)
    return failed


def _begin(store: Store, args: argparse.Namespace) -> str:
    """Freeze a run; one of this id that is there already goes on, if it asks the same. Raises UsageError."""
    with tempfile.TemporaryDirectory(prefix="kspec-specs-") as folder:
        specs = _files(args, Path(folder))
        return _freeze(store, args, specs)


def _files(args: argparse.Namespace, folder: Path) -> list[str]:
    """The specifications as files: those of the hub are written to the folder."""
    from pytest_kspec.fleet.hubspecs import fetch, is_resource
    from pytest_kspec.fleet.targets.hub import open_hub

    given = [*args.spec, *args.specs]
    of_hub = [spec for spec in given if is_resource(spec)]
    fetched = fetch(open_hub(args.hub, args.kubeconfig), of_hub, folder) if of_hub else []
    return [*(spec for spec in given if not is_resource(spec)), *fetched]


def _freeze(store: Store, args: argparse.Namespace, specs: list[str]) -> str:
    from pytest_kspec.fleet.bundle import pack
    from pytest_kspec.fleet.hubspecs import is_resource
    from pytest_kspec.fleet.job import shards_for
    from pytest_kspec.fleet.runs import ask, freeze, new_id, paths_exist
    from pytest_kspec.fleet.targets.opening import of_any_hub
    from pytest_kspec.storage import fleet as stored

    places, asked, loaded = ask(specs)
    order = _order(args, places, asked)
    paths_exist(order)
    run_id = args.run or new_id()
    if len(run_id) > 64 or not run_id.isprintable():
        raise UsageError("the id of a run has at most 64 printable characters.", where="--run")
    is_job = args.engine == "job"
    if is_job:
        _settings(args)
        order = replace(pack(order), kubeconfig="", place=_place_for_pods(args))
    elif any(map(is_resource, [*args.spec, *args.specs])):
        order = pack(order)  # their files are gone when this process ends
    if known := stored.runs(store, ids=[run_id]):
        _agree(known[0], order)
        _compare_clusters(store, known[0], args, loaded)
        return run_id
    chosen = targets(args, loaded)
    if is_job and args.service_account and not args.kubeconfig_secret:
        # For pods, the hub is the cluster that they are in.
        chosen = [replace(target, ref=of_any_hub(target.ref)) for target in chosen]
    shards = args.shards or (shards_for(len(chosen)) if is_job else _workers(args))
    if not freeze(store, run_id, order, chosen, engine=args.engine, shards=shards):
        _agree(stored.runs(store, ids=[run_id])[0], order)  # another one began it at this moment
    return run_id


def _order(args: argparse.Namespace, places: tuple[str, ...] = (), asked: tuple[Asked, ...] = ()) -> Order:
    """What the command line asks for."""
    from pytest_kspec.fleet.runs import Order, absolute
    from pytest_kspec.runby import run_by

    return Order(
        places,
        asked,
        tuple(map(absolute, args.checks)),
        tuple(map(absolute, args.exemptions)),
        absolute(args.baseline),
        absolute(args.kubeconfig or ""),
        args.check_timeout,
        level(args.fail_on),
        place(args, store_url(args)),
        run_by(args.run_by, os.environ),
    )


def _go_on(store: Store, args: argparse.Namespace) -> str:
    """The run that is continued, with what it was begun with. Raises UsageError for options that ask for another."""
    from pytest_kspec.storage import fleet as stored

    found = stored.find_run(store, args.run)
    given = _order(args)
    if not args.store_reports:
        given = replace(given, place="")
    if found.engine == "job":  # its pods have a kubeconfig of their own; ours leads to the hub
        given = replace(given, kubeconfig="")
    _agree(found, given, only_given=True)
    _compare_clusters(store, found, args, [])
    return found.id


def _agree(found: StoredRun, given: Order, *, only_given: bool = False) -> None:
    """Raises UsageError where a run that has begun is not what is asked for now."""
    from pytest_kspec.fleet.runs import Order, differing

    if names := differing(Order.from_wire(found.document), given, only_given=only_given):
        raise UsageError(
            f"a run with this id exists, and differs in {', '.join(names)}.",
            where=f"--run {found.id}",
            fix="Choose another id, or use the options with which the run was begun.",
        )


def _compare_clusters(
    store: Store, found: StoredRun, args: argparse.Namespace, specs: Sequence[LoadedSpec]
) -> None:
    """Say where the clusters that are selected now are not those of a run, which stay as they were."""
    from pytest_kspec.storage import fleet as stored

    selected = any((args.context, args.all_contexts, args.selector, args.source, args.cluster))
    if not selected and not any(spec.cluster_ref or spec.spec.cluster_selector for spec in specs):
        return
    try:
        now = {target.name for target in targets(args, specs)}
    except KspecError as error:
        note(f"run {found.id} keeps its clusters; the clusters that are selected now are not known: {error}")
        return
    before = {target.name for target in stored.targets_of(store, found.id)}
    for names, what in ((now - before, "is not scanned"), (before - now, "is scanned nevertheless")):
        if names:
            shown = ", ".join(sorted(names)[:10]) + (
                f" and {len(names) - 10} more" if len(names) > 10 else ""
            )
            note(f"run {found.id} keeps the clusters that it was begun with; {what}: {shown}")


def _place_for_pods(args: argparse.Namespace) -> str:
    """Where pods keep full reports: nowhere, where nothing was said. Raises UsageError for what only we can reach."""
    from pytest_kspec.storage.address import parse_address

    address = parse_address(store_url(args), option="--store", objects=True)
    if address.kind == "sqlite":
        raise UsageError(
            "pods cannot write to a file of this machine.",
            where="--store",
            fix="Use postgresql://USER@HOST/DATABASE or s3://BUCKET/PREFIX, which this machine and the pods can reach.",
        )
    if args.store_reports and not args.store_reports.startswith("s3://"):
        raise UsageError(
            "pods cannot write to a folder of this machine.", where="--store-reports", fix="Use s3://…"
        )
    return place(args, store_url(args)) if address.kind == "s3" else str(args.store_reports)


def targets(args: argparse.Namespace, specs: Sequence[LoadedSpec] = ()) -> list[Target]:
    """The clusters that are meant: those of the command line, else those of the specifications. Raises UsageError."""
    from pytest_kspec.fleet.selection import wanted_by
    from pytest_kspec.fleet.targets.find import Wanted, find_targets
    from pytest_kspec.fleet.targets.hub import open_hub

    if not (args.context or args.all_contexts or args.selector or args.source or args.cluster):
        wanted = wanted_by(specs, args.kubeconfig)
        if wanted is None:
            also = ", or set clusterSelector in the specification" if args.action == "scan" else ""
            raise UsageError(
                "no cluster is selected.",
                where=f"kspec fleet {args.action}",
                fix=f"Name them with --context NAME, --all-contexts, --source SOURCE or -l LABELS{also}.",
            )
        hub = open_hub(args.hub, args.kubeconfig) if wanted.sources == ("target",) else None
        return [target for target in find_targets(wanted, hub) if not target.suspended]
    names = [f"context:{name}" if not any(c in name for c in "*?") else name for name in args.context]
    sources = tuple(args.source) or ("context",)
    hub = open_hub(args.hub, args.kubeconfig) if set(sources) - {"context"} else None
    wanted = Wanted((*names, *args.cluster), args.selector, args.kubeconfig, sources)
    there = find_targets(wanted, hub)
    found = [target for target in there if not target.suspended]
    if there and not found:
        raise UsageError(
            f"all selected clusters are suspended: {', '.join(one.name for one in there[:10])}.",
            where=f"kspec fleet {args.action}",
        )
    if not found and args.selector:
        what = {"context": "context", "target": "ClusterTarget"}.get(sources[0], "cluster")
        raise UsageError(
            f"no {what} has the labels {args.selector}.",
            where=f"kspec fleet {args.action}",
            fix="" if args.source else "ClusterTargets of the hub need --source target.",
        )
    return found


def _begun(found: StoredRun, args: argparse.Namespace) -> int:
    from pytest_kspec.reports.shared.text import plural

    if args.output == "json":
        say_json(pretty({"run": found.id, "shards": found.shards, "clusters": found.clusters}))
    else:
        say(found.id)
        note(
            f"{plural(found.clusters, 'cluster')} in {plural(found.shards, 'shard')}. "
            f"Start: kspec fleet work --run {found.id} --index N"
        )
    return 0


def _progress(store: Store, found: StoredRun) -> Callable[[], None]:
    """Called repeatedly; writes where somebody looks, and nothing into logs."""
    import time

    from pytest_kspec.reports.shared.text import plural
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
        text = f"{run.clusters - run.waiting} of {plural(run.clusters, 'cluster')}, {errors} could not be scanned"
        sys.stderr.write(f"\r\x1b[K{text}" if run.waiting else "\r\x1b[K")
        sys.stderr.flush()

    return watch


def work(args: argparse.Namespace) -> int:
    """Scan one shard; the exit code is about execution."""
    from pytest_kspec.fleet.child import end_with_parent
    from pytest_kspec.fleet.work import EXIT_NOT_STORED, Worker

    if args.with_parent:
        end_with_parent(args.with_parent)
    index = args.index
    if index is None:
        index = _completion_index()
    if not args.run:
        raise UsageError("no run is given.", where="kspec fleet work", fix="Add --run ID.")
    worker = Worker(
        store_url(args),
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
        return EXIT_USAGE if isinstance(error, WrongStore) else EXIT_NOT_STORED


def _completion_index() -> int:
    """What Kubernetes tells the pod of an Indexed Job. Raises UsageError."""
    text = os.environ.get("JOB_COMPLETION_INDEX", "")
    if not text.isdecimal():
        raise UsageError("no shard is given.", where="kspec fleet work", fix="Add --index N.")
    return int(text)


def _scan_one(ref: str, source: Source, order: Order, *, rehearsal: bool = False) -> ScanResult:
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
        rehearsal=rehearsal,
    )
