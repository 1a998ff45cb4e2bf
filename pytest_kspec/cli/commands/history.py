"""`kspec history`: what a store of results knows, and how long it keeps it."""

from __future__ import annotations

import re
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_kspec.cli import arguments
from pytest_kspec.cli.output import note, say, say_json, style, width
from pytest_kspec.errors import EXIT_NOT_EVALUATED, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from pytest_kspec.results.points import CheckPoint, TrendPoint
    from pytest_kspec.results.result import ScanResult
    from pytest_kspec.storage.engine import Store
    from pytest_kspec.storage.prune import Pruned
    from pytest_kspec.storage.read import Query, StoredFinding

_Point = TypeVar("_Point", "TrendPoint", "CheckPoint")

DESCRIPTION = """\
Show results over time from a store that 'kspec scan --store URL' (or pytest)
fills: the score of each cluster and specification, the score of a framework
(--framework), the verdicts of a requirement (--check), or the age of findings
(--findings).

  kspec history              show results
  kspec history add FILE…    store results of 'kspec scan --report json:FILE'
  kspec history get RUN      print the full JSON report of a run, if stored
  kspec history prune        delete runs not kept by --keep or --keep-runs
  kspec history rewrap       encrypt full reports with $KSPEC_STORE_KEY

URL is FILE.db (SQLite), postgresql://USER@HOST/DATABASE, or s3://BUCKET/PREFIX
for runs of 'kspec fleet'. Pass passwords in $PGPASSWORD or ~/.pgpass. A store
that was created by an older version is upgraded when it is opened."""

EXAMPLES = """
kspec history --store results.db --cluster prod-eu --since 90d
kspec history --store results.db --check network.defaultDeny -o json
kspec history add scan.json --store results.db
kspec history prune --store results.db --keep 90d --keep-runs 10
"""

ACTIONS = ("show", "add", "get", "prune", "rewrap")
USES = {
    "show": frozenset(
        {"words", "store", "cluster", "spec", "since", "check", "framework", "findings", "output"}
    ),
    "add": frozenset({"words", "store", "store_reports"}),
    "get": frozenset({"words", "store", "output"}),  # which is JSON always
    "prune": frozenset({"words", "store", "keep", "keep_runs", "dry_run", "output"}),
    "rewrap": frozenset({"words", "store"}),
}
"""Action → the arguments that it uses."""
_TRENDS = {True: "▲", False: "▼"}
_FATES = {
    True: "present: first seen and last seen, the oldest first",
    None: "unknown: seen before, and not evaluated in the newest run; first seen and last seen",
    False: "fixed: first seen and fixed",
}

CLOCKS_DIFFER_S = 3600.0
"""By how much the clock of the machine that scanned may be ahead."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument(
        "action", nargs="?", choices=ACTIONS, default="show", help="show (default), add, get, prune or rewrap"
    )
    parser.add_argument("words", nargs="*", metavar="FILE|RUN", help="results to add, or the run to get")
    arguments.add_store(parser, "the store: FILE.db, postgresql://USER@HOST/DATABASE or s3://BUCKET/PREFIX")
    parser.add_argument(
        "--store-reports",
        metavar="PLACE",
        default="",
        help="with add: keep the full reports in this folder or at s3://…",
    )
    parser.add_argument("--cluster", metavar="NAME", default="", help="only this cluster: name or UID")
    parser.add_argument("--spec", metavar="NAME", default="", help="only the specification with this name")
    parser.add_argument(
        "--since", metavar="AGE", default="", help="only results since this age or date: 90d, 12h, 2026-01-31"
    )
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--check", metavar="ID", default="", help="verdicts of this requirement")
    shown.add_argument("--framework", metavar="ID", default="", help="score and coverage of this framework")
    shown.add_argument("--findings", action="store_true", help="findings, oldest first")
    parser.add_argument(
        "--keep", metavar="AGE", default="", help="with prune: keep runs younger than this age"
    )
    parser.add_argument(
        "--keep-runs",
        metavar="N",
        type=int,
        default=0,
        help="with prune: keep the newest N runs of each cluster and specification",
    )
    parser.add_argument("--dry-run", action="store_true", help="with prune: only print what would be deleted")
    parser.add_argument(
        "-o", "--output", metavar="FORMAT", choices=("text", "json"), default="text", help="text or json"
    )


def run(args: argparse.Namespace) -> int:
    """Do what is asked."""
    if not args.store:
        raise UsageError("no store is given.", where="kspec history", fix="Add --store FILE.db.")
    if args.words and args.action not in ("add", "get"):
        raise UsageError(f"unexpected argument '{args.words[0]}'.", where="kspec history")
    if args.action == "add":
        return _add(args)
    work = {"show": _show, "get": _get, "prune": _prune, "rewrap": _rewrap}[args.action]
    from pytest_kspec.reports import json
    from pytest_kspec.storage.opening import open_any

    with closing(open_any(args.store, json.parse)) as store:
        return work(store, args)


def _add(args: argparse.Namespace) -> int:
    from pytest_kspec.publish.store import keep
    from pytest_kspec.reports import json

    if not args.words:
        raise UsageError("no result is given.", where="kspec history add")
    results = [(path, json.read(path)) for path in args.words]
    for path, result in results:
        _refuse_times(path, result)
    for path, result in results:
        say(f"{path}: {keep(result, args.store, args.store_reports, option='--store')}")
    return 0


def _refuse_times(path: str, result: ScanResult) -> None:
    """Raises UsageError: until the end of one in the future, each later result would count as older."""
    from pytest_kspec.results import moments

    started, finished = moments.moment(result.started_at), moments.moment(result.finished_at)
    if started and finished and finished < started:
        raise UsageError(
            f"the scan ended ({result.finished_at}) before it started ({result.started_at}).", where=path
        )
    if _is_ahead(result.finished_at):
        raise UsageError(
            f"the end of the scan is in the future ({result.finished_at}): later results would count as older.",
            where=path,
            fix="Check the clocks of this machine and of the machine that ran the scan.",
        )


def _is_ahead(text: str) -> bool:
    from pytest_kspec import clock
    from pytest_kspec.results import moments

    found = moments.moment(text)
    return found is not None and found > clock.now() + timedelta(seconds=CLOCKS_DIFFER_S)


def _rewrap(store: Store, args: argparse.Namespace) -> int:
    from pytest_kspec.storage.rekey import rewrap

    done = rewrap(store)
    for error in done.failed:
        note(str(error))
    say(f"{done.changed} encrypted with the current key, {done.kept} already were, {len(done.failed)} failed")
    return EXIT_NOT_EVALUATED if done.failed else 0


def _get(store: Store, args: argparse.Namespace) -> int:
    from pytest_kspec.storage.read import reports

    if len(args.words) != 1:
        raise UsageError("exactly one run must be given.", where="kspec history get")
    for document in reports(store, args.words[0]):
        say_json(document)
    return 0


def _prune(store: Store, args: argparse.Namespace) -> int:
    from pytest_kspec.storage.prune import prune

    if not args.keep and args.keep_runs < 1:
        raise UsageError(
            "no retention is given.",
            where="kspec history prune",
            fix="Give --keep 90d, --keep-runs N, or both.",
        )
    since = moment(args.keep, option="--keep") if args.keep else ""
    done = prune(store, since=since, newest=args.keep_runs, dry_run=args.dry_run)
    if args.output == "json":
        _json(
            {"runs": list(done.runs), "kept": done.kept, "findings": done.findings, "reports": done.reports}
        )
    else:
        say(_pruned(done, args.dry_run))
    return 0


def _pruned(done: Pruned, dry_run: bool) -> str:
    from pytest_kspec.reports.shared.text import plural

    would = "would delete" if dry_run else "deleted"
    what = [plural(len(done.runs), "run"), plural(done.findings, "finding"), plural(done.reports, "report")]
    return f"{would} {what[0]}, {what[1]} that no other run has, {what[2]}; {done.kept:,} kept"


def _show(store: Store, args: argparse.Namespace) -> int:
    from pytest_kspec.storage import read

    since = moment(args.since, option="--since") if args.since else ""
    query: Query = read.Query(args.cluster, args.spec, since)
    if args.check:
        checks = read.check_trend(store, args.check, query)
        _print(checks, args, "CheckTrend", lambda: _check_rows(checks))
    elif args.findings:
        found = read.findings(store, query)
        _print(found, args, "FindingHistory", lambda: _finding_rows(found))
    else:
        points = read.trend(store, query)
        _note_future(points)
        if args.framework:
            args.framework = _framework(points, args.framework)
            points = tuple(p for p in points if any(f.id == args.framework for f in p.frameworks))
        _print(points, args, "Trend", lambda: _trend_rows(points, args.framework))
    return 0


def _note_future(points: tuple[TrendPoint, ...]) -> None:
    """Of a machine with a wrong clock, or a store that others changed."""
    newest = max((point.finished_at for point in points), default="")
    if _is_ahead(newest):
        note(
            f"The end of a stored scan is in the future ({newest}): until then, its result counts as the newest."
        )


def _framework(points: tuple[TrendPoint, ...], name: str) -> str:
    """The id under which results have it: as given, or of the built-in framework of this name. Notes others."""
    from pytest_kspec.frameworks.catalog import find_catalog

    there = {framework.id for point in points for framework in point.frameworks}
    if name not in there and (catalog := find_catalog(name)) is not None:
        name = catalog.id
    if there and name not in there:
        note(f"The results have: {', '.join(sorted(there))}.")
    return name


def _print(points: tuple[Any, ...], args: argparse.Namespace, kind: str, rows: Any) -> None:
    if args.output == "json":
        wires = [point.to_wire() for point in points]
        _json({"apiVersion": "kspec.io/v1alpha1", "kind": kind, "points": wires})
    elif points:
        for row in rows():
            say(row)
    else:
        note("The store has no matching results.")


def _json(document: Any) -> None:
    from pytest_kspec.reports.json import pretty

    say_json(pretty(document))


def _trend_rows(points: tuple[TrendPoint, ...], framework: str) -> Any:
    from pytest_kspec.reports.shared.words import as_selected

    for name, spec, some in _by_subject(points):
        yield from _head(name, f"{spec}, {framework}" if framework else spec)
        before: float | None = None
        for point in some:
            score, more = point.score, ""
            if framework:
                chosen = next(f for f in point.frameworks if f.id == framework)
                score, more = chosen.score, f"{chosen.coverage:.1f} % of the controls evaluated"
            else:
                counts = (
                    (point.errors, "errors" if point.errors != 1 else "error"),
                    (point.failed, "failed"),
                    (point.findings, "finding" if point.findings == 1 else "findings"),
                    (point.known, "known"),
                    (point.exempt, "exempted"),
                )
                more = _whole([f"{count:,} {word}" for count, word in counts if count], width() - 33)
            shown = _score(score, None if point.left_out else before)
            yield f"   {_minute(point.finished_at)}  {shown:<9}  {_fit(more, 33)}".rstrip()
            if point.left_out:  # its score is of something else than those beside it
                yield f"{'':32}{as_selected(point.selected, point.left_out)}"
            elif score is not None:
                before = score


def _by_subject(points: Sequence[_Point]) -> Iterator[tuple[str, str, list[_Point]]]:
    """Name of the cluster, specification and points, oldest first; a cluster is its identity, not its name."""
    from pytest_kspec.results.identity import labels

    names = labels((point.cluster_id, point.cluster) for point in points)
    ordered = sorted(points, key=lambda p: (names[p.cluster_id], p.cluster_id, p.spec, p.finished_at, p.run))
    for (cluster_id, spec), some in groupby(ordered, key=lambda p: (p.cluster_id, p.spec)):
        yield names[cluster_id], spec, list(some)


def _score(score: float | None, before: float | None) -> str:
    if score is None:
        return "  none"
    moved = f" {_TRENDS[score > before]}" if before is not None and score != before else ""
    return f"{score:6.1f}{moved}"


def _check_rows(points: tuple[CheckPoint, ...]) -> Any:
    for name, spec, some in _by_subject(points):
        yield from _head(name, spec)
        for point in some:
            counts = (
                (point.findings, "finding" if point.findings == 1 else "findings"),
                (point.known, "known"),
                (point.exempt, "exempted"),
            )
            more = " · ".join(f"{count:,} {word}" for count, word in counts if count)
            yield f"   {_minute(point.finished_at)}  {point.verdict:<5}  {more}".rstrip()


def _finding_rows(found: tuple[StoredFinding, ...]) -> Any:
    from pytest_kspec.results.identity import labels

    names = labels((finding.cluster_id, finding.cluster) for finding in found)
    for there, some in groupby(found, key=lambda f: f.state.is_there):
        yield style(_FATES[there], "bold")
        for finding in some:
            days = f"{finding.first_seen[:10]} – {(finding.resolved_at or finding.last_seen)[:10]}"
            state = finding.state.value
            known = f" ({state})" if state in ("known", "exempt") else ""
            yield f"   {days}  {finding.severity:<8}  {_fit(names[finding.cluster_id], 39)}"
            yield f"      {_fit(f'{finding.check}{known}', 6)}"
            yield f"      {_fit(finding.what, 6)}"
            if finding.reason:
                yield f"      {_fit(finding.reason, 6)}"


def _whole(parts: list[str], room: int) -> str:
    """As many parts as there is room for, the first ones: one that is cut in the middle says another number."""
    while len(" · ".join(parts)) > room and len(parts) > 1:
        parts = [*parts[: -2 if parts[-1] == "…" else -1], "…"]
    return " · ".join(parts)


def _head(cluster: str, about: str) -> Any:
    yield style(f"── {_fit(f'{cluster} · {about}', 3)}", "bold")


def _fit(text: str, indent: int) -> str:
    from pytest_kspec.reports.shared.text import elide, printable

    return elide(printable(text), width() - indent)


def _minute(rfc3339: str) -> str:
    return f"{rfc3339[:10]} {rfc3339[11:16]}"


def moment(text: str, *, option: str) -> str:
    """`90d`, `12h` or, to read since then, `1h30m` ago, or a date or time, as RFC 3339 in UTC. Raises UsageError."""
    age = re.fullmatch(r"(?=.)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?", text)
    if age and option == "--keep" and (age[3] or age[4]):
        age = None  # the m of a month would delete all but minutes
    try:
        if age:
            days, hours, minutes, seconds = (int(number or 0) for number in age.groups())
            at = datetime.now(UTC) - timedelta(days, hours=hours, minutes=minutes, seconds=seconds)
        else:
            at = datetime.fromisoformat(text)
            at = at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"'{text}' is neither an age nor a time.", where=option, fix="Write 90d, 12h or 2026-11-30."
        ) from error
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")
