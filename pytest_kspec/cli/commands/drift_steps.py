"""What `kspec drift` does with one specification on one cluster, and how it says it."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_kspec import clock
from pytest_kspec.cli import arguments
from pytest_kspec.cli.commands.enforce_steps import Run, live_source
from pytest_kspec.cli.output import note, say_json, say_text, style, width
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.cluster.sources.snapshot import SnapshotSource
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.drift import compliance, configuration, document, goodrun, policies, recording
from pytest_kspec.drift.events import DriftEvent, DriftType, Look, Remediation, Status
from pytest_kspec.drift.ignoring import Ignoring
from pytest_kspec.drift.looking import Looking
from pytest_kspec.drift.policies import NO_DRY_RUN
from pytest_kspec.drift.words import type_of
from pytest_kspec.enforce import apply as applying
from pytest_kspec.enforce.engines import Wanted, engine
from pytest_kspec.enforce.modes import Mode, asked_mode
from pytest_kspec.enforce.names import MODE_LABEL
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.errors import (
    EXIT_FINDINGS,
    EXIT_NOT_EVALUATED,
    NotServed,
    ReportError,
    SpecError,
    UsageError,
)
from pytest_kspec.files import write_whole
from pytest_kspec.kube.globs import is_literal
from pytest_kspec.kube.objectdiff import ABSENT, FieldChange
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.reports import json as json_report
from pytest_kspec.reports.shared.text import elide, fold, plural, printable, value
from pytest_kspec.results.exemptions import load_exemptions
from pytest_kspec.session import clusterspecs
from pytest_kspec.spec.effective import Library
from pytest_kspec.spec.loading import LoadedSpec, find_specs, load_spec

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.cluster.sources.live import LiveSource
    from pytest_kspec.crds.models.driftconfig import IgnoredDrift
    from pytest_kspec.results.result import ScanResult
    from pytest_kspec.storage.engine import Store

DEFAULT_ENGINE = "vap"
_LINES = 8
_SHOWN = 8  # fields of one object
_DONE = {Status.REMEDIATED: ("green",), Status.FAILED: ("red",)}
_COLOURS = {"critical": "red", "high": "red", "medium": "yellow", "low": "cyan"}


class Seen(NamedTuple):
    """A look, and the changes that would correct its policies."""

    look: Look
    drifted: tuple[policies.Drifted, ...]


def detect(args: argparse.Namespace) -> int:
    """Look once, and say what was found."""
    item = load(args)
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(closing(open_store(args))) if args.store else None
        source = stack.enter_context(closing(live_source(item)))
        seen = look(item, source, store)
        if store is not None:
            recording.record(store, seen.look)
    show(seen.look, args)
    return exit_code(seen.look)


def open_store(args: argparse.Namespace, *, create: bool = True) -> Store:
    """The store that is named. Raises UsageError, StoreError."""
    from pytest_kspec.storage.engine import open_store as opened

    return opened(args.store, option="--store", create=create)


def load(args: argparse.Namespace) -> Run:
    """The specification that is meant: of a file, or of the cluster (`cr:NAME`). Raises KspecError."""
    given = arguments.read_specs(args)
    resources = [one for one in given if clusterspecs.is_resource(one)]
    found = _of_cluster(resources, args) if resources else []
    paths = find_specs([one for one in given if one not in resources]) if len(resources) < len(given) else []
    if len(paths) + len(found) != 1:
        raise UsageError(
            f"{len(paths) + len(found)} specifications are given.",
            where="kspec drift",
            fix="Give one at a time.",
        )
    spec = found[0] if found else load_spec(paths[0], Library(tuple(paths)))
    spec.exemptions.extend(item for path in args.exemptions for item in load_exemptions(path))
    mode = Mode(args.mode) if args.mode else asked_mode(spec)
    checks = load_checks([Path(check) for check in (*args.checks, *spec.checks)])
    types_of(args)
    section = spec.spec.enforcement
    chosen = args.engine or (section.engine if section is not None else DEFAULT_ENGINE)
    return Run(spec, engine(chosen), mode, checks, clock.now(), args)


def named(args: argparse.Namespace) -> str:
    """The name of the specification that is meant; one of a cluster need not be there any more. Raises KspecError."""
    given = arguments.read_specs(args)
    if len(given) == 1 and clusterspecs.is_resource(given[0]):
        name = given[0].removeprefix(clusterspecs.PREFIX)
        if name and is_literal(name):
            return name
    return load(args).spec.name


def _of_cluster(names: Sequence[str], args: argparse.Namespace) -> list[LoadedSpec]:
    """As `kspec scan` reads them."""
    folder = clusterspecs.fetch(names, [args.cluster] if args.cluster else [], args.kubeconfig)
    try:
        return list(clusterspecs.load(folder).values())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def types_of(args: argparse.Namespace) -> tuple[DriftType, ...]:
    """The types that are to be compared: those that are named, or those for which there is something to compare with.

    Raises UsageError.
    """
    given = [word for words in args.types for word in words.split(",") if word]
    try:
        named = [type_of(word) for word in given]
    except KeyError as error:
        known = ", ".join(type.value for type in DriftType)
        raise UsageError(
            f"{error.args[0]!r} is not a type of drift.", where="--types", fix=f"Write {known}."
        ) from None
    if args.snapshot and args.last_good:
        raise UsageError("--snapshot and --last-good cannot be combined.", where="kspec drift")
    if bool(args.snapshot or args.last_good) != bool(args.kinds):
        raise UsageError(
            "configuration drift needs the kinds to compare, and what to compare them with.",
            where="--snapshot" if args.snapshot else "--last-good" if args.last_good else "--kinds",
            fix="Give --kinds Deployment.apps,… and either --snapshot FILE, or --last-good and --store.",
        )
    if args.last_good and not args.store:
        fix = "Give --store FILE.db, or --snapshot FILE."
        raise UsageError("the last good run is kept in a store.", where="--last-good", fix=fix)
    needs = {
        DriftType.COMPLIANCE: (args.store, "--store"),
        DriftType.CONFIGURATION: (args.snapshot or args.last_good, "--snapshot or --last-good"),
    }
    for type in named:
        value, option = needs.get(type, ("-", ""))
        if not value:
            raise UsageError(f"{type.value} drift needs {option}.", where="--types", fix=f"Add {option}.")
    has = [type for type in DriftType if needs.get(type, ("-", ""))[0]]
    return tuple(type for type in has if not named or type in named)


def look(
    item: Run, source: LiveSource, store: Store | None = None, types: Sequence[DriftType] | None = None
) -> Seen:
    """Compare. Raises KspecError where the cluster cannot be reached at all."""
    args = item.args
    info = source.info()
    stamp = item.now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    wanted = types_of(args) if types is None else types
    looking = Looking(Ignoring(read_ignored(args.ignore)))
    scans = _Scans(item, source)
    good: goodrun.Good | None = None
    looked: goodrun.Looked | None = None
    if DriftType.CONFIGURATION in wanted and args.last_good and store is not None:
        good = _good(item)
        with looking.kept("objects"):  # before the scan that says whether this is a good run
            looked = goodrun.look(good, Writer(source), stamp)
    if DriftType.POLICY in wanted:
        with looking.kept("policies"):
            found = _policies(item, source, stamp)
            if found is not None:
                looking.policies(item.spec.name, found)
    if DriftType.COMPLIANCE in wanted and store is not None:
        with looking.kept("requirements"):
            worse = _compliance(scans, source, store, stamp)
            looking.others(DriftType.COMPLIANCE, worse.events, worse.problems, worse.still)
    if looked is not None and good is not None:
        looking.others(DriftType.CONFIGURATION, looked.compared.events, looked.compared.problems)
        with looking.kept("this run"):
            is_good = looked.is_new and goodrun.is_good(scans.result().clusters[0])
            if is_good and not goodrun.keep(good, looked, source, stamp):
                note(
                    "this run is not recorded as the last good run: objects changed meanwhile, "
                    "or a later run is recorded"
                )
    elif DriftType.CONFIGURATION in wanted and not args.last_good:
        with looking.kept("objects"):
            changed = _configuration(item, source, stamp)
            looking.others(DriftType.CONFIGURATION, changed.events, changed.problems)
    if looking.is_empty and not args.allow_empty:
        looking.problems.append(
            f"{item.spec.name}: there is nothing to compare: no policies are applied, and none are required. "
            "If policies should be applied, add --mode. If this is intended, add --allow-empty."
        )
    made = looking.look(
        at=stamp,
        spec=item.spec.name,
        version=item.spec.version or "",
        cluster=args.cluster_name or source.name,
        uid=info.uid,
    )
    return Seen(made, tuple(looking.drifted))


def read_ignored(path: str) -> list[IgnoredDrift]:
    """The entries of a file: a DriftConfig, or its `ignore` alone. Raises KspecError."""
    if not path:
        return []
    from pydantic import TypeAdapter, ValidationError

    from pytest_kspec.crds.models.driftconfig import Ignored
    from pytest_kspec.spec.problems import field_problems
    from pytest_kspec.yamlfiles.reading import read_document

    data = read_document(path).data
    found: Any = data.get("spec", data) if isinstance(data, dict) else data
    entries = found.get("ignore") if isinstance(found, dict) else None
    if not isinstance(entries, list):
        raise SpecError(
            "it has no list 'ignore'.", where=path, fix="Write a DriftConfig, or 'ignore: [...]'."
        )
    try:
        return TypeAdapter(Ignored).validate_python(entries)
    except ValidationError as error:
        raise SpecError(f"{field_problems(error, 'ignore')[0]}.", where=path) from error


class _Scans:
    """One scan of now, made when it is first needed."""

    def __init__(self, item: Run, source: LiveSource) -> None:
        self._item, self._source = item, source
        self._made: ScanResult | None = None

    def result(self) -> ScanResult:
        """Raises KspecError."""
        from pytest_kspec.cli.scan_run import scan_result

        args = self._item.args
        if self._made is None:
            self._made = scan_result(
                [self._item.spec.path],
                clusters=[self._source.ref],
                checks=args.checks,
                exemptions=args.exemptions,
                kubeconfig=args.kubeconfig,
            )
        return self._made


def _kinds(args: argparse.Namespace) -> list[str]:
    return [word for words in args.kinds for word in words.split(",") if word]


def _good(item: Run) -> goodrun.Good:
    """The last good run of a specification, as this command keeps it."""
    args = item.args
    owner = f"kspec drift {item.spec.name}"
    return goodrun.Good(lambda: open_store(args), owner, tuple(_kinds(args)), "--kinds")


def _compliance(scans: _Scans, source: LiveSource, store: Store, stamp: str) -> compliance.Compared:
    """A scan of now, compared with the last run in the store."""
    from pytest_kspec.storage.drift import last_run

    result = scans.result()
    (cluster,) = result.clusters
    last = last_run(store, cluster.id, cluster.spec_name)
    return compliance.compare(last, cluster, result.tool_version, stamp, Writer(source))


def _configuration(item: Run, source: LiveSource, stamp: str) -> configuration.Compared:
    args = item.args
    kinds = _kinds(args)
    with closing(open_source(args.snapshot)) as snapshot:
        if not isinstance(snapshot, SnapshotSource):
            raise UsageError("it is not a snapshot.", where=args.snapshot, fix="Record one: kspec snapshot.")
        return configuration.compare(snapshot, source, kinds, stamp, Writer(source))


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
        text = "".join(f"{line}\n" for line in lines(found, plain=bool(args.output_file)))
        content = text.encode("utf-8", "replace")
    deliver(content, args, _summary(found))


def deliver(content: bytes, args: argparse.Namespace, summary: str) -> None:
    """Print, or write to --output-file."""
    if args.output_file:
        try:
            write_whole(Path(args.output_file), content)
        except OSError as error:
            where = args.output_file
            raise ReportError(f"could not be written: {error.strerror or error}.", where=where) from error
        note(f"{args.output_file}: {summary}")
    elif args.output == "json":
        say_json(content)
    else:
        say_text(content.decode().rstrip("\n"))


def _summary(found: Look) -> str:
    if found.events:
        return plural(len(found.events), "difference")
    return "could not be compared" if found.problems else "no drift"


def lines(found: Look, *, plain: bool) -> Iterator[str]:
    """The look as text. plain: without colours."""
    name = f"{found.spec} {found.version}".strip()
    head = printable(f"{name} on {found.cluster}")
    yield f"{head if plain else style(head, 'bold')}: {_summary(found)}"
    yield from event_lines(found.events, datetime.fromisoformat(found.at), plain=plain, stamp="  ")
    if found.outdated:
        yield "  out of date, and not drift: the specification, kspec or the time changed since it was applied"
        yield from (line for text in found.outdated for line in sentence(text, "    "))
        yield "    Apply it with 'kspec enforce'."


def event_lines(
    events: Sequence[DriftEvent], moment: datetime, *, stamp: str, plain: bool = False
) -> Iterator[str]:
    """Each event, who changed it, and what differs. stamp: before the first line of each."""

    def coloured(text: str, *names: str) -> str:
        return text if plain else style(text, *names)

    for event in events:
        severity = coloured(f"{event.severity.value:<8}", _COLOURS[event.severity.value])
        yield f"{stamp}{severity} {event.kind.value:<9} {fit(str(event.resource), 19 + len(stamp))}"
        if not event.fields or NO_DRY_RUN in event.message:
            yield from sentence(event.message, "    ")
        if event.author is not None:
            yield f"    changed by {fit(by(event, moment), 16)}"
        if event.holder:
            yield f"    managed by {fit(event.holder, 15)}, which must correct it"
        for field in event.fields[:_SHOWN]:
            yield f"    {coloured(fit(_field(field), 4), 'yellow')}"
        if len(event.fields) > _SHOWN:
            yield f"    … and {plural(len(event.fields) - _SHOWN, 'more field')}"
        if event.remediation is not None:
            colours = _DONE.get(event.remediation.status, ())
            yield from (coloured(line, *colours) for line in sentence(_done(event.remediation), "    "))


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


def _done(done: Remediation) -> str:
    if done.status is Status.FAILED:
        return f"could not be corrected: {done.error}"
    if done.status is Status.REMEDIATED:
        return f"corrected: {done.details}"
    return done.details


def _field(field: FieldChange) -> str:
    def shown(one: Any) -> str:
        return "absent" if one is ABSENT else elide(value(one), 200)

    return f"{field.path}: {shown(field.before)} → {shown(field.after)}"


def fit(text: str, indent: int) -> str:
    """On one line, beside what takes `indent` columns."""
    return elide(printable(text), max(20, width() - indent))


def sentence(text: str, margin: str) -> list[str]:
    """On as many lines as it takes, up to a bound."""
    return [f"{margin}{line}" for line in fold(printable(text), max(20, width() - len(margin)), _LINES)]
