"""What `kspec fleet` shows of a store: runs, their clusters, the report, and reports of all formats."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING

from pytest_kspec.cli.output import note, say, say_json
from pytest_kspec.errors import EXIT_NOT_EVALUATED, UsageError

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.fleet.report import FleetReport
    from pytest_kspec.publish.sinks import Publication
    from pytest_kspec.storage.engine import Store

_RUNS = 50
_REPORTS = ".reports"


def store_url(args: argparse.Namespace) -> str:
    """The store that is named, that of the environment, or the one of this user."""
    from pytest_kspec.fleet.local import STORE

    if url := args.store or os.environ.get(STORE, ""):
        return str(url)
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    return os.path.join(state, "kspec", "fleet.db")


def place(args: argparse.Namespace, url: str) -> str:
    """Where full reports are kept. Raises UsageError."""
    from pytest_kspec.storage.address import parse_address
    from pytest_kspec.storage.objects import check_place

    if args.store_reports:
        return check_place(args.store_reports, option="--store-reports")
    address = parse_address(url, option="--store", objects=True)
    if address.kind == "s3":
        return f"{address.url}/reports"
    return os.path.abspath(address.path + _REPORTS) if address.path else ""


def opened(args: argparse.Namespace, *, create: bool = False) -> Store:
    """The store, open. Raises UsageError, StoreError."""
    from pytest_kspec.reports import json
    from pytest_kspec.storage.opening import open_any

    return open_any(store_url(args), json.parse, create=create)


def level(text: str) -> str:
    """A severity, or "". Raises UsageError."""
    from pytest_kspec.results.verdict import Severity

    if text and text not in list(Severity):
        raise UsageError(
            f"unknown level '{text}'.", where="--fail-on", fix=f"Allowed: {', '.join(Severity)}."
        )
    return text


def pretty(document: object) -> bytes:
    """JSON for people too."""
    from pytest_kspec.reports.json import pretty

    return pretty(document)


def status(args: argparse.Namespace) -> int:
    """Each cluster of a run in a line."""
    from pytest_kspec.cli.output import width
    from pytest_kspec.fleet.report import make_report
    from pytest_kspec.fleet.text import status_lines
    from pytest_kspec.storage import fleet as stored

    with closing(opened(args)) as store:
        report = make_report(store, stored.find_run(store, args.run))
    if args.output == "json":
        wire = report.to_wire()
        names = ("apiVersion", "run", "createdAt", "endedAt", "engine", "outcomes", "clusters")
        say_json(pretty({"kind": "FleetStatus"} | {name: wire[name] for name in names}))
        return 0
    for line in status_lines(report, width()):
        say(line)
    return 0


def list_runs(args: argparse.Namespace) -> int:
    """The runs of a store, the newest first."""
    from pytest_kspec.storage import fleet as stored

    with closing(opened(args)) as store:
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
        say_json(pretty({"apiVersion": "kspec.io/v1alpha1", "kind": "FleetRuns", "runs": listed}))
        return 0
    for one in found:
        counts = ", ".join(f"{count} {name or 'waiting'}" for name, count in sorted(one.outcomes.items()))
        say(f"{one.id}  {one.created_at}  {'ended' if one.ended_at else 'not ended'}  {counts}")
    if not found:
        note("The store contains no fleet run.")
    return 0


def report(args: argparse.Namespace) -> int:
    """What a run found."""
    from pytest_kspec.storage import fleet as stored

    with closing(opened(args)) as store:
        return print_report(store, stored.find_run(store, args.run).id, args)


def print_report(store: Store, run_id: str, args: argparse.Namespace) -> int:
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
        say_json(pretty(report.to_wire()))
    else:
        for line in lines(report, width(), style):
            say(line)
    unpublished = _publish(store, report, args)
    if args.hub_reports:
        unpublished = _to_hub(store, report, args) or unpublished
    if report.empty and not args.allow_empty:
        names = ", ".join(row.name for row in report.empty[:10])
        note(f"error: nothing was evaluated on {names}. If this is intended, add --allow-empty.")
    code = report.exit_code(level(args.fail_on) or order.fail_on, allow_empty=args.allow_empty)
    return EXIT_NOT_EVALUATED if unpublished else code


def publication(args: argparse.Namespace) -> Publication:
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

    done = publication(args).publish(full_result(store, report))
    for line in done.done:
        note(line)
    for problem in done.problems:
        note(f"error: {problem}")
    return bool(done.problems)


def _to_hub(store: Store, report: FleetReport, args: argparse.Namespace) -> bool:
    """Write ComplianceReports to the hub; whether something could not be written."""
    from pytest_kspec.cluster.limits import MIB
    from pytest_kspec.crds.names import NAMESPACE
    from pytest_kspec.fleet.hubreports import write_reports
    from pytest_kspec.fleet.targets.hub import open_hub
    from pytest_kspec.reports.shared.text import plural

    if not 1 <= args.hub_budget <= 1024:
        raise UsageError("this must be a number of MiB from 1 to 1024.", where="--hub-budget")
    access = open_hub(args.hub, args.kubeconfig).access
    namespace = args.namespace or NAMESPACE
    budget = args.hub_budget * MIB
    done = access.do(lambda writer: write_reports(store, report, writer, namespace, budget=budget))
    which = "1 cluster has" if done.left_out == 1 else f"{done.left_out} clusters have"
    left = f"; {which} none (--hub-budget)" if done.left_out else ""
    note(f"hub: {plural(done.reports, 'ComplianceReport')} in {namespace}, {done.removed} removed{left}")
    for problem in done.problems:
        note(f"error: {problem}")
    return bool(done.problems)
