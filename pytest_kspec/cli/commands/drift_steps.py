"""What `kspec drift` does with one specification on one cluster, and how it says it."""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_kspec import clock
from pytest_kspec.cli import arguments
from pytest_kspec.cli.commands.enforce_steps import Run, live_source
from pytest_kspec.cli.output import note, say, say_json, style, width
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.drift import document, policies
from pytest_kspec.drift.events import DriftEvent, DriftType, Look, ordered
from pytest_kspec.enforce import apply as applying
from pytest_kspec.enforce.engines import Wanted, engine
from pytest_kspec.enforce.modes import Mode, asked_mode
from pytest_kspec.enforce.names import MODE_LABEL
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.errors import (
    EXIT_FINDINGS,
    EXIT_NOT_EVALUATED,
    KspecError,
    NotServed,
    ReportError,
    UsageError,
)
from pytest_kspec.files import write_whole
from pytest_kspec.kube.objectdiff import ABSENT, FieldChange
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.reports import json as json_report
from pytest_kspec.reports.shared.text import elide, plural, printable, value
from pytest_kspec.results.exemptions import load_exemptions
from pytest_kspec.spec.effective import Library
from pytest_kspec.spec.loading import find_specs, load_spec

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.cluster.sources.live import LiveSource

_SHOWN = 8  # fields of one object
_COLOURS = {"critical": "red", "high": "red", "medium": "yellow", "low": "cyan"}


class Seen(NamedTuple):
    """A look, and the changes that would correct its policies."""

    look: Look
    drifted: tuple[policies.Drifted, ...]


def detect(args: argparse.Namespace) -> int:
    """Look once, and say what was found."""
    item = load(args)
    with closing(live_source(item)) as source:
        seen = look(item, source)
    show(seen.look, args)
    return exit_code(seen.look)


def load(args: argparse.Namespace) -> Run:
    """The specification that is meant. Raises KspecError."""
    paths = find_specs(arguments.read_specs(args))
    if len(paths) != 1:
        raise UsageError(
            f"{len(paths)} specifications are given.", where="kspec drift", fix="Give one at a time."
        )
    spec = load_spec(paths[0], Library(tuple(paths)))
    spec.exemptions.extend(item for path in args.exemptions for item in load_exemptions(path))
    mode = Mode(args.mode) if args.mode else asked_mode(spec)
    checks = load_checks([Path(check) for check in (*args.checks, *spec.checks)])
    return Run(spec, engine(args.engine), mode, checks, clock.now(), args)


def look(item: Run, source: LiveSource) -> Seen:
    """Compare. Raises KspecError where the cluster cannot be reached at all."""
    info = source.info()
    stamp = item.now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    events: list[DriftEvent] = []
    problems: list[str] = []
    outdated: list[str] = []
    looked: list[DriftType] = []
    drifted: tuple[policies.Drifted, ...] = ()
    with _kept(problems, "policies"):
        found = _policies(item, source, stamp)
        if found is not None:
            looked.append(DriftType.POLICY)
            drifted = found.drifted
            events += [one.event for one in drifted]
            problems += found.problems
            outdated += [
                f"{change.object} is not what {item.spec.name} requires now." for change in found.outdated
            ]
    if not looked and not problems and not item.args.allow_empty:
        problems.append(
            f"{item.spec.name}: there is nothing to compare: no policies are applied, and none are required. "
            "If policies should be applied, add --mode. If this is intended, add --allow-empty."
        )
    made = Look(
        at=stamp,
        spec=item.spec.name,
        version=item.spec.version or "",
        cluster=item.args.cluster_name or source.name,
        uid=info.uid,
        looked=tuple(looked),
        events=ordered(events),
        problems=tuple(problems),
        outdated=tuple(outdated),
    )
    return Seen(made, drifted)


@contextlib.contextmanager
def _kept(problems: list[str], what: str) -> Iterator[None]:
    """An error of one type of drift is said, and the others are looked at."""
    try:
        yield
    except KspecError as error:
        problems.append(f"{what} could not be compared: {error}")


def _policies(item: Run, source: LiveSource, stamp: str) -> policies.Found | None:
    """None where there are no policies, and none are required."""
    writer = Writer(source)
    silent = item.spec.spec.enforcement is None and item.args.mode is None
    try:
        listed = applying.existing(item.spec, item.engine, writer)
    except NotServed:
        if item.mode is not Mode.MONITOR:
            raise
        listed = []
    mode = _applied_mode(listed) if silent else item.mode
    manifests: tuple[dict[str, Any], ...] = ()
    if mode is not Mode.MONITOR:
        plan = enforcement_plan(item.spec, item.checkset, version=source.info().version, now=item.now)
        wanted = Wanted(plan, mode, item.args.cluster_name or source.name, item.args)
        manifests = item.engine.generate(wanted).manifests
    if not manifests and not listed:
        return None
    planned = applying.changes(item.spec, item.engine, manifests, writer, listed=listed, keep_errors=True)
    return policies.judge(item.spec, planned, stamp)


def _applied_mode(listed: list[dict[str, Any]]) -> Mode:
    """The mode that most of the objects say they have; monitor where there are none."""
    labels = [(one["metadata"].get("labels") or {}).get(MODE_LABEL) for one in listed]
    known = Counter(label for label in labels if label in (Mode.AUDIT, Mode.ENFORCE))
    return Mode(known.most_common(1)[0][0]) if known else Mode.MONITOR


def exit_code(found: Look) -> int:
    """What could not be compared weighs more than what differs."""
    if found.problems:
        return EXIT_NOT_EVALUATED
    return EXIT_FINDINGS if found.events else 0


def show(found: Look, args: argparse.Namespace) -> None:
    """Print, or write to --output-file; problems go to standard error in both formats."""
    for problem in found.problems:
        note(f"{style('error:', 'red', 'bold', stream=sys.stderr)} {problem}")
    if args.output == "json":
        content = json_report.pretty(document.to_wire(found))
    else:
        content = "".join(f"{line}\n" for line in _lines(found, plain=bool(args.output_file))).encode(
            "utf-8", "replace"
        )
    if args.output_file:
        try:
            write_whole(Path(args.output_file), content)
        except OSError as error:
            where = args.output_file
            raise ReportError(f"could not be written: {error.strerror or error}.", where=where) from error
        note(f"{args.output_file}: {_summary(found)}")
    elif args.output == "json":
        say_json(content)
    else:
        say(content.decode().rstrip("\n"))


def _summary(found: Look) -> str:
    if found.events:
        return plural(len(found.events), "difference")
    return "could not be compared" if found.problems else "no drift"


def _lines(found: Look, *, plain: bool) -> Iterator[str]:
    def coloured(text: str, *names: str) -> str:
        return text if plain else style(text, *names)

    name = f"{found.spec} {found.version}".strip()
    yield f"{coloured(printable(f'{name} on {found.cluster}'), 'bold')}: {_summary(found)}"
    moment = datetime.fromisoformat(found.at)
    for event in found.events:
        severity = coloured(f"{event.severity.value:<8}", _COLOURS[event.severity.value])
        yield f"  {severity} {event.kind.value:<9} {_fit(event.message, 21)}"
        if event.author is not None:
            yield f"    changed by {_fit(by(event, moment), 16)}"
        if event.holder:
            yield f"    kept by {_fit(event.holder, 12)}, which has to correct it"
        for field in event.fields[:_SHOWN]:
            yield f"    {coloured(_fit(_field(field), 4), 'yellow')}"
        if len(event.fields) > _SHOWN:
            yield f"    … and {plural(len(event.fields) - _SHOWN, 'more field')}"
        if event.remediation is not None and event.remediation.details:
            yield f"    {_fit(event.remediation.details, 4)}"
    if found.outdated:
        yield "  out of date, and not drift: the specification, kspec or the time changed since it was applied"
        yield from (f"    {_fit(text, 4)}" for text in found.outdated)
        yield "    Apply it with 'kspec enforce'."


def by(event: DriftEvent, moment: datetime) -> str:
    """`kubectl-edit, 12 minutes ago (2026-11-29T17:00:00Z)`."""
    if event.author is None:
        return ""
    manager, time = event.author
    try:
        seconds = (moment - datetime.fromisoformat(time)).total_seconds()
    except (ValueError, TypeError):
        return manager or "an unnamed client"
    units = ((86400.0, "day"), (3600.0, "hour"), (60.0, "minute"), (1.0, "second"))
    size, unit = next((one for one in units if seconds >= one[0]), units[-1])
    return f"{manager or 'an unnamed client'}, {plural(max(0, int(seconds // size)), unit)} ago ({time})"


def _field(field: FieldChange) -> str:
    def shown(one: Any) -> str:
        return "absent" if one is ABSENT else elide(value(one), 200)

    return f"{field.path}: {shown(field.before)} → {shown(field.after)}"


def _fit(text: str, indent: int) -> str:
    return elide(printable(text), max(20, width() - indent))
