"""`kspec drift remediate`, `watch` and `history`."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pytest_kspec import clock
from pytest_kspec.cli import arguments
from pytest_kspec.cli.commands import drift_steps as steps
from pytest_kspec.cli.commands.enforce_steps import Run, live_source
from pytest_kspec.cli.commands.history import moment
from pytest_kspec.cli.output import agreed, flush, has_reader, nobody_to_ask, note, say, say_json, style
from pytest_kspec.cluster.watch.reflector import Key, Object, Reflector
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.drift import correcting, document, ledger, recording
from pytest_kspec.drift.events import DriftEvent, DriftType, Look, Status, ordered
from pytest_kspec.enforce.names import spec_id
from pytest_kspec.errors import (
    EXIT_FINDINGS,
    EXIT_NOT_EVALUATED,
    AccessDenied,
    KspecError,
    NotFound,
    NotServed,
    UsageError,
)
from pytest_kspec.reports.json import pretty
from pytest_kspec.reports.shared.text import plural
from pytest_kspec.results.identity import cluster_id
from pytest_kspec.session import clusterspecs
from pytest_kspec.spec.document import RESOURCE_VERSION, SPEC_KIND

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.storage.drift import StoredDrift
    from pytest_kspec.storage.engine import Store

_SETTLE_S = 0.5
"""A change of policies is several events: the look waits so long for the others."""


def remediate(args: argparse.Namespace) -> int:
    """Look, decide, ask, correct, and say what came of it."""
    asks = not (args.yes or args.dry_run)
    if asks and (error := nobody_to_ask("kspec drift remediate")) is not None:
        raise error
    if not args.types:
        args.types = [DriftType.POLICY.value]
    item = steps.load(args)
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(closing(steps.open_store(args))) if args.store else None
        source = stack.enter_context(closing(live_source(item)))
        seen = steps.look(item, source, store)
        writer = Writer(source, on_warning=lambda text: note(f"{source.name}: {text}"))
        memory = _ledger(seen.look, item, writer, store)
        rules = correcting.Rules(delete_extra=args.force, most=args.max_changes)
        recent = memory.since(item.now - correcting.WINDOW)
        decided = correcting.decide(seen.drifted, rules, recent, seen.look.at)
        acting = [one for one in decided if one.acts]
        planned = _with(seen.look, [one.event for one in decided])
        if args.dry_run or not acting:
            done = planned
        else:
            for line in steps.lines(planned, plain=False) if asks else ():
                note(line)
            if asks and not agreed(f"Correct {plural(len(acting), 'object')} on {source.name}?"):
                note("nothing was corrected")
                for problem in planned.problems:
                    note(f"{style('error:', 'red', 'bold', stream=sys.stderr)} {problem}")
                return EXIT_NOT_EVALUATED if planned.problems else EXIT_FINDINGS
            done = _carry_out(planned, decided, writer, memory)
        if store is not None and not args.dry_run:
            recording.record(store, done)
    steps.show(done, args)
    return _code(done)


def _with(look: Look, events: Sequence[DriftEvent]) -> Look:
    """The look, with what was decided about its policies."""
    known = {event.key: event for event in events}
    return replace(look, events=ordered(known.get(event.key, event) for event in look.events))


def _carry_out(
    look: Look, decided: Sequence[correcting.Decided], writer: Writer, memory: correcting.Ledger
) -> Look:
    events: list[DriftEvent] = []
    problems = list(look.problems)
    try:
        for event in correcting.carry_out(decided, writer, memory, clock.now, spec=look.spec):
            events.append(event)
    except KspecError as error:
        problems.append(
            f"a correction was made but could not be recorded; no further corrections were made: {error}"
        )
    return replace(_with(look, events), problems=tuple(problems))


def _code(look: Look) -> int:
    statuses = [event.remediation.status if event.remediation else Status.DETECTED for event in look.events]
    if look.problems or Status.FAILED in statuses:
        return EXIT_NOT_EVALUATED
    return 0 if all(status is Status.REMEDIATED for status in statuses) else EXIT_FINDINGS


def _ledger(look: Look, item: Run, writer: Writer, store: Store | None) -> correcting.Ledger:
    """Where corrections are remembered: the store, else the cluster, else nowhere, which is said."""
    uid = ""
    if any(clusterspecs.is_resource(one) for one in arguments.read_specs(item.args)):
        found = writer.find(RESOURCE_VERSION, SPEC_KIND, item.spec.name)
        uid = found["metadata"].get("uid", "") if found is not None else ""
    kept = ledger.InCluster(writer, item.spec.name, uid=uid)
    if store is not None:
        stored = ledger.InStore(store, cluster_id(look.uid, "live", look.cluster), item.spec.name)
        try:
            kept.since(item.now)
        except (AccessDenied, NotServed, NotFound):  # what is stored has to do
            return stored
        return ledger.Both(stored, kept)
    try:
        if writer.find("v1", "Namespace", NAMESPACE) is None:
            why = f"the namespace {NAMESPACE} does not exist"
        else:
            kept.since(item.now)
            return kept
    except (AccessDenied, NotServed, NotFound) as error:
        why = str(error).rstrip(".")
    note(
        f"{style('note:', 'yellow', stream=sys.stderr)} corrections are not recorded ({why}), so an object that is "
        "changed repeatedly is not recognized. Add --store."
    )
    return ledger.Memory()


def history(args: argparse.Namespace) -> int:
    """What the store knows."""
    if not args.store:
        raise UsageError("no store is given.", where="kspec drift history", fix="Add --store FILE.db.")
    from pytest_kspec.storage import drift
    from pytest_kspec.storage.read import Query

    spec = steps.named(args) if args.spec or args.specs else ""
    since = moment(args.since, option="--since") if args.since else ""
    with closing(steps.open_store(args, create=False)) as store:
        found = drift.history(store, Query(args.cluster or "", spec, since))
    wire = recording.to_wire(found)
    if args.output == "json":
        steps.deliver(pretty(wire), args, plural(len(found), "event"))
    else:
        text = "".join(f"{line}\n" for line in _history_lines(found)) or "The store has no matching drift.\n"
        steps.deliver(text.encode("utf-8", "replace"), args, plural(len(found), "event"))
    return 0


def _history_lines(found: Sequence[StoredDrift]) -> Iterator[str]:
    for one in found:
        event = one.event
        ended = f"cleared {one.cleared_at}" if one.cleared_at else f"still there {one.last_seen}"
        yield f"{one.first_seen}  {event['severity']:<8} {event['drift_kind']:<9} {steps.fit(ended, 42)}"
        text = f"{one.cluster} · {one.spec}: {event['message']}"
        yield from steps.sentence(text, "  ")
        if who := event.get("changed_by"):
            yield f"  changed by {steps.fit(who['manager'], 30)} at {who['timestamp']}"
        if (done := event.get("remediation")) and (done.get("details") or done.get("error")):
            text = f"{done['status']}: {done.get('error') or done['details']}"
            yield from steps.sentence(text, "  ")


def watch(args: argparse.Namespace) -> int:
    """Look at once, whenever a policy changes, and every --watch-interval, until SIGINT or SIGTERM."""
    from pytest_kspec.cli.commands.operator import seconds

    if args.output_file:
        raise UsageError("watch does not end, so it cannot write a file.", where="--output-file")
    interval = seconds(args.watch_interval, "--watch-interval")
    item = steps.load(args)
    stop, due = threading.Event(), threading.Event()

    def end(*_: object) -> None:
        stop.set()
        due.set()

    before = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    watching = _Watching(item, due)
    try:
        with contextlib.ExitStack() as stack:
            store = stack.enter_context(closing(steps.open_store(args))) if args.store else None
            watching.start()
            stack.callback(watching.stop)
            _watch(item, store, interval, stop, due)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _watch(
    item: Run, store: Store | None, interval: float, stop: threading.Event, due: threading.Event
) -> None:
    types = steps.types_of(item.args)
    known: dict[Any, DriftEvent] = {}
    said: tuple[str, ...] = ()
    whole = first = True
    while not stop.is_set() and has_reader():
        due.clear()
        now = item._replace(now=clock.now())
        try:
            with closing(live_source(now)) as source:
                found = steps.look(now, source, store, types if whole else (DriftType.POLICY,)).look
            if store is not None:
                recording.record(store, found)
        except KspecError as error:
            found = None
            if (str(error),) != said:
                said = (str(error),)
                note(f"{style('error:', 'red', 'bold', stream=sys.stderr)} {error}")
        if found is not None:
            known = _tell(known, found, item.args, first=first)
            first = False
            if found.problems != said:
                said = found.problems
                for problem in found.problems:
                    note(f"{style('error:', 'red', 'bold', stream=sys.stderr)} {problem}")
        whole = not due.wait(interval)
        if not whole and not stop.is_set():
            stop.wait(_SETTLE_S)


def _tell(
    known: dict[Any, DriftEvent], found: Look, args: argparse.Namespace, *, first: bool
) -> dict[Any, DriftEvent]:
    """Say what is new and what is gone; what is there after it."""
    present = {event.key: event for event in found.events}
    gone = found.cleared(known.values())
    new = [event for key, event in present.items() if key not in known or _changed(known[key], event)]
    after = {key: event for key, event in known.items() if event not in gone} | present
    if args.output == "json":
        if new or gone:
            import json

            wire = document.to_wire(replace(found, events=ordered(after.values())))
            wire["cleared"] = [document.event_to_wire(event) for event in gone]
            say_json(json.dumps(wire) + "\n")
    else:
        if first and not present and not found.problems:
            say(f"{found.at} {found.spec} on {found.cluster}: no drift")
        for line in steps.event_lines(new, datetime.fromisoformat(found.at), stamp=f"{found.at} "):
            say(line)
        for event in gone:
            say(
                f"{found.at} {style('cleared', 'green')}  {event.kind.value} {steps.fit(str(event.resource), 50)}"
            )
    flush()
    return after


def _changed(before: DriftEvent, after: DriftEvent) -> bool:
    return (before.fields, before.author) != (after.fields, after.author)


class _Watching:
    """Follows the kinds of an engine, in threads, and says when an object of the specification changed."""

    def __init__(self, item: Run, due: threading.Event) -> None:
        self._item = item
        self._due = due
        self._prefix = f"kspec-{spec_id(item.spec.name)}-"
        self._reflectors: list[Reflector] = []
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Kinds that are not served are looked at every interval only."""
        with closing(live_source(self._item)) as source:
            writer = Writer(source)
            for api_version, kind in self._item.engine.KINDS:
                with contextlib.suppress(NotServed):
                    resource = writer.type_of(api_version, kind)
                    self._reflectors.append(
                        Reflector(lambda: live_source(self._item), resource, self._changed)
                    )
        for one in self._reflectors:
            self._threads.append(threading.Thread(target=one.run, daemon=True))
            self._threads[-1].start()

    def stop(self) -> None:
        """End the threads."""
        for one in self._reflectors:
            one.stop()
        for thread in self._threads:
            thread.join(5.0)

    def _changed(self, key: Key, before: Object | None, now: Object | None) -> None:
        def spec(obj: Object | None) -> Any:
            return {k: v for k, v in (obj or {}).items() if k not in ("status", "metadata")} | _marks(obj)

        if key[1].startswith(self._prefix) and spec(before) != spec(now):
            self._due.set()


def _marks(obj: Object | None) -> dict[str, Any]:
    metadata = (obj or {}).get("metadata") or {}
    return {key: metadata.get(key) for key in ("labels", "annotations")}
