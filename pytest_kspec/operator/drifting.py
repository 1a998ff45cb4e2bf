"""The controller of DriftConfig: when policies of specifications are compared, what is reported, what is corrected.

Nothing is corrected unless the specification enforces (`enforcement`) and the DriftConfig says `Apply`. What is due is
read from the status; what was corrected, from the ledger; what was reported, from the newest report: a leader that is
killed at any point leaves nothing that the next one does not find.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from operator import methodcaller
from typing import Any, NamedTuple

from pydantic import ValidationError

from pytest_kspec import clock
from pytest_kspec.alerts.routing import seconds as seconds_of
from pytest_kspec.cluster.watch.reflector import Key, Object
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.models.driftconfig import DriftConfigSpec
from pytest_kspec.crds.names import GROUP, NAMESPACE
from pytest_kspec.crds.objects import clusterspecification, driftreport
from pytest_kspec.crds.objects.driftreport import About
from pytest_kspec.drift import correcting, policies
from pytest_kspec.drift.events import DriftEvent, DriftType, Status, ordered
from pytest_kspec.drift.ignoring import Ignoring
from pytest_kspec.drift.ledger import InCluster
from pytest_kspec.drift.report import report_event
from pytest_kspec.drift.words import TYPES
from pytest_kspec.enforce.modes import asked_engines, asked_mode
from pytest_kspec.errors import Conflict, KspecError, SourceError, SpecError
from pytest_kspec.kube.globs import Globs
from pytest_kspec.operator import enforcing, status
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.controller import Given, Right, kspec_kind
from pytest_kspec.operator.events import write_events
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.reconcile import FIELD_MANAGER, FUTURE_S, Settings
from pytest_kspec.operator.status import Note, Said, moment_of, status_of
from pytest_kspec.results.verdict import Severity
from pytest_kspec.spec.document import RESOURCE_VERSION, SPEC_KIND
from pytest_kspec.spec.loading import LoadedSpec
from pytest_kspec.spec.times import cron, zone

log = logging.getLogger("kspec.operator")

CONFIGS = kspec_kind("DriftConfig", "driftconfigs", namespaced=True)
DEFAULT_S = 300.0
SHORTEST_S = 5.0
"""An interval below this is this."""

READY = status.READY
COMPARED, NOT_COMPARED, INVALID = "Compared", "NotCompared", "InvalidConfiguration"
SUSPENDED, OTHER_NAMESPACE, UNSUPPORTED = "Suspended", "OtherNamespace", "UnsupportedType"
_RANKS = {severity.value: severity.rank for severity in Severity}
_WRITES = 3
_NAMED = 5


class Outcome(NamedTuple):
    """One specification. problems: why something is not known; notes: Events."""

    spec: str
    events: tuple[DriftEvent, ...]
    problems: tuple[str, ...]
    notes: tuple[Note, ...] = ()

    @property
    def remediated(self) -> int:
        """How many were corrected."""
        return sum(
            one.remediation is not None and one.remediation.status is Status.REMEDIATED for one in self.events
        )


class DriftController:
    """As `controller.Controller`."""

    resource = CONFIGS
    label = "driftconfig"
    workers = 1
    rights = (
        Right(GROUP, "driftconfigs", ("get", "list", "watch")),
        Right(GROUP, "driftconfigs/status", ("update",)),
        Right(GROUP, "driftreports", ("list", "create", "patch", "delete"), NAMESPACE),
        Right(GROUP, "driftreports/status", ("patch",), NAMESPACE),
        Right("", "events", ("create",), NAMESPACE),
    )

    def __init__(self, given: Given, settings: Settings, board: Board) -> None:
        self._board = board
        self._access = given.access
        self._checks = given.checks
        self._options = settings.options

    def reconcile(self, key: Key) -> float | None:
        """As `Controller.reconcile`."""
        found = self._find(key)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return None
        if key[0] != NAMESPACE:
            text = f"DriftConfigs are obeyed in the namespace {NAMESPACE} only."
            return self._refuse(found, Said(READY, "False", OTHER_NAMESPACE, text))
        try:
            config = DriftConfigSpec.model_validate(found.get("spec") or {})
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(str(part) for part in ("spec", *first["loc"]))
            return self._refuse(found, Said(READY, "False", INVALID, f"{place}: {first['msg']}"[:1000]))
        if not config.enabled:
            return self._refuse(found, Said(READY, "False", SUSPENDED, "enabled is false."))
        unsupported = [one for one in config.types if one != TYPES[DriftType.POLICY]]
        if unsupported:
            text = (
                f"The operator compares Policy only; for {', '.join(unsupported)} use 'kspec drift detect'."
            )
            return self._refuse(found, Said(READY, "False", UNSUPPORTED, text))
        now = clock.now()
        due = self._due(found, config, now)
        if due > 0:
            return due
        return self._run(found, config, now)

    def failed(self, key: Key, fault: Exception) -> None:
        """As `Controller.failed`."""
        text = f"a fault of kspec ({type(fault).__name__}): see the log of the operator."
        try:
            found = self._find(key)
            if found is not None:
                self._refuse(found, Said(READY, "Unknown", NOT_COMPARED, text))
        except SourceError as error:
            log.warning("DriftConfig %s: %s", "/".join(key), error)

    # -- inside --------------------------------------------------------------------------------------------

    def _find(self, key: Key) -> Object | None:
        namespace, name = key
        return self._access.do(
            lambda writer: writer.find(CONFIGS.api_version, CONFIGS.kind, name, namespace=namespace)
        )

    def _refuse(self, found: Object, said: Said) -> float:
        """Say why nothing is compared; what was found before is not known now."""
        unknown = Said(status.DRIFT, "Unknown", said.reason, "Not compared: see Ready.")
        fields = {"nextRunTime": None, "driftDetected": None, "totalEvents": 0, "remediatedEvents": 0}
        self._write(found, clock.now(), [said, unknown], fields, [])
        return 3600.0

    def _due(self, found: Object, config: DriftConfigSpec, now: datetime) -> float:
        """Seconds until the next run; 0 or less: now."""
        before = status_of(found)
        last = moment_of(before.get("lastRunTime"))
        if before.get("observedGeneration") != found["metadata"].get("generation") or last is None:
            return 0.0
        if (last - now).total_seconds() > FUTURE_S:
            return 0.0  # a clock went back
        return (next_run(config, last) - now).total_seconds()

    def _run(self, found: Object, config: DriftConfigSpec, now: datetime) -> float:
        names, clusters = Globs(config.cluster_specs), Globs(config.clusters)
        outcomes: list[Outcome] = []
        if clusters.match(self._access.name):
            listed = self._access.do(methodcaller("list", RESOURCE_VERSION, SPEC_KIND))
            parts = {item["metadata"]["name"]: item.get("spec") or {} for item in listed}
            left = (config.remediation.max_changes if config.remediation else 0) or 0
            for item in listed:
                if names.match(item["metadata"]["name"]) and not item["metadata"].get("deletionTimestamp"):
                    outcome = self._look(found, item, parts, config, now, left)
                    left -= outcome.remediated
                    outcomes.append(outcome)
        self._say(found, config, outcomes, now)
        return max(0.0, (next_run(config, now) - clock.now()).total_seconds())

    def _look(
        self,
        found: Object,
        item: Object,
        parts: Mapping[str, Any],
        config: DriftConfigSpec,
        now: datetime,
        left: int,
    ) -> Outcome:
        """One specification; what is wrong with it costs the others nothing."""
        name = item["metadata"]["name"]
        try:
            spec = _load(item, parts)
            if not spec.is_for(self._access.name):
                return Outcome(name, (), ())
            outcome = self._access.do(lambda writer: self._compare(item, spec, config, now, left, writer))
            self._report(found, config, item, spec, outcome, now)
        except LostLease:
            raise
        except KspecError as error:
            return Outcome(name, (), (f"{name}: {error}",))
        return outcome

    def _compare(
        self,
        item: Object,
        spec: LoadedSpec,
        config: DriftConfigSpec,
        now: datetime,
        left: int,
        writer: Writer,
    ) -> Outcome:
        engines = asked_engines(spec)
        if not engines:
            return Outcome(spec.name, (), ())  # nothing is to be there, and the operator removes what is
        stamp, ignoring = status.stamp(now), Ignoring(config.ignore)
        settled = enforcing.Settled(item["metadata"].get("generation", 0), status_of(item))
        asked = enforcing.Asked(self._checks, self._access.name, self._options)
        wanted = enforcing.wanted_of(spec, writer, asked, now)
        drifted: list[policies.Drifted] = []
        problems: list[str] = []
        for name in engines:
            planned = enforcing.plan(name, wanted, writer, keep_errors=True)
            if not settled.holds(asked_mode(spec), engines, planned.there, now):
                problems.append(f"{spec.name}: its policies ({name}) are not applied yet.")
                continue
            judged = policies.judge(spec, planned.changes, stamp)
            problems += [f"{spec.name}: {text}" for text in judged.problems]
            for one in judged.drifted:
                event, partly = ignoring.left(one.event)
                if event is not None and event.severity.rank >= _RANKS[config.min_severity]:
                    drifted.append(
                        policies.Drifted(correcting.by_hand(event) if partly else event, one.change)
                    )
        events, notes = self._correct(spec, config, drifted, now, left, writer)
        return Outcome(spec.name, ordered(events), tuple(problems), tuple(notes))

    def _correct(
        self,
        spec: LoadedSpec,
        config: DriftConfigSpec,
        drifted: Sequence[policies.Drifted],
        now: datetime,
        left: int,
        writer: Writer,
    ) -> tuple[list[DriftEvent], list[Note]]:
        asked = config.remediation
        if asked is None or asked.strategy == "Report" or not drifted:
            return [one.event for one in drifted], []
        types = frozenset(type for type, word in TYPES.items() if word in asked.types)
        rules = correcting.Rules(types or frozenset((DriftType.POLICY,)), asked.delete_extra, max(0, left))
        memory = InCluster(writer, spec.name)
        decided = correcting.decide(drifted, rules, memory.since(now - correcting.WINDOW), status.stamp(now))
        if asked.strategy == "DryRun":
            return [one.event for one in decided], []
        events = list(correcting.carry_out(decided, writer, memory, clock.now, spec=spec.name))
        moment = clock.now()
        self._board.corrected(spec.name, memory.since(moment - correcting.WINDOW), moment)
        notes = []
        for event in events:
            done = event.remediation
            if done is not None and done.status is Status.REMEDIATED:
                notes.append(
                    Note("Normal", "DriftRemediated", f"{event.message} {_who(event)}{done.details}")
                )
            elif done is not None and done.status is Status.FAILED:
                notes.append(Note("Warning", "RemediationFailed", f"{event.resource}: {done.error}"))
            elif correcting.is_fight(event) and done is not None:
                notes.append(Note("Warning", "DriftFight", f"{event.resource}: {done.details}"))
        return events, notes

    def _report(
        self,
        found: Object,
        config: DriftConfigSpec,
        item: Object,
        spec: LoadedSpec,
        outcome: Outcome,
        now: datetime,
    ) -> None:
        """One report on a change, and one when all drift is gone. Where something is not known, none says so."""
        uid = self._access.do(lambda writer: writer.source.info().uid)
        place = (found["metadata"].get("namespace", ""), found["metadata"]["name"])
        generation = int(item["metadata"].get("generation") or 0)
        about = About(spec.name, spec.version or "", generation, self._access.name, uid, place)
        known = self._access.do(
            lambda writer: sorted(
                writer.list(
                    driftreport.API_VERSION,
                    driftreport.KIND,
                    namespace=NAMESPACE,
                    label_selector=about.selector,
                ),
                key=_age,
            )
        )
        newest = known[-1] if known else None
        was_drift = newest is not None and bool((newest.get("spec") or {}).get("driftDetected"))
        name = ""
        if outcome.events or (was_drift and not outcome.problems):
            made = driftreport.build(
                about, _since(outcome.events, newest), status.stamp(now), outcome.remediated
            )
            if newest is None or not driftreport.same(newest, made):
                name = self._access.do(lambda writer: _put(writer, made))
        kept = [one for one in known if one["metadata"]["name"] != name]
        for old in _outlived(kept, config, now, new=bool(name)):
            self._access.do(
                methodcaller("delete", driftreport.API_VERSION, driftreport.KIND, old, namespace=NAMESPACE)
            )

    def _say(
        self, found: Object, config: DriftConfigSpec, outcomes: Sequence[Outcome], now: datetime
    ) -> None:
        events = [event for one in outcomes for event in one.events]
        problems = [text for one in outcomes for text in one.problems]
        remediated = sum(one.remediated for one in outcomes)
        remaining = [
            event
            for event in events
            if event.remediation is None or event.remediation.status is not Status.REMEDIATED
        ]
        if problems:
            ready = Said(READY, "Unknown", NOT_COMPARED, _listed(problems))
        else:
            ready = Said(READY, "True", COMPARED, f"{len(outcomes)} specifications were compared.")
        if remaining:
            texts = [f"{event.resource}: {event.kind.value} {_who(event)}".strip() for event in remaining]
            drift = Said(status.DRIFT, "True", status.DRIFT_FOUND, _listed(texts))
        elif problems:
            drift = Said(status.DRIFT, "Unknown", NOT_COMPARED, "Not everything was compared: see Ready.")
        else:
            drift = Said(status.DRIFT, "False", status.NO_DRIFT, "Policies are as they were applied.")
        fields = {
            "lastRunTime": status.stamp(now),
            "nextRunTime": status.stamp(next_run(config, now)),
            "driftDetected": bool(remaining) if remaining or not problems else None,
            "totalEvents": len(events),
            "remediatedEvents": remediated,
        }
        self._write(found, now, [ready, drift], fields, [note for one in outcomes for note in one.notes])

    def _write(
        self,
        found: Object,
        now: datetime,
        said: Sequence[Said],
        fields: Mapping[str, Any],
        notes: Sequence[Note],
    ) -> None:
        """Bring the status to what was found. Raises Conflict where others write to it all the time."""
        key = (found["metadata"].get("namespace", ""), found["metadata"]["name"])
        made = list(notes)
        for attempt in range(_WRITES):
            current = self._find(key)
            if current is None or current["metadata"].get("generation") != found["metadata"].get(
                "generation"
            ):
                return
            before = status_of(current)
            after = status.merged(before, int(found["metadata"].get("generation") or 0), now, said, fields)
            if after == before:
                break
            try:
                sent = {**current, "status": after}
                self._access.do(
                    methodcaller("replace", sent, field_manager=FIELD_MANAGER, subresource="status")
                )
            except Conflict:
                if attempt + 1 == _WRITES:
                    raise
                continue
            made += _notes(before, after)
            break
        if made:
            try:
                self._access.do(lambda writer: write_events(writer, found, made))
            except LostLease:
                raise
            except SourceError as error:
                log.warning("DriftConfig %s: no Event was written: %s", "/".join(key), error)


def controller(given: Given, settings: Settings, board: Board) -> DriftController:
    """The controller of one process."""
    return DriftController(given, settings, board)


def next_run(config: DriftConfigSpec, last: datetime) -> datetime:
    """When to look again after a look at `last`."""
    if config.schedule is None:
        interval = DEFAULT_S if config.interval is None else seconds_of(config.interval)
        return last + timedelta(seconds=min(max(SHORTEST_S, interval), 366 * 86400.0))
    from cronsim import CronSim

    here = zone(config.timezone)
    return next(CronSim(cron(config.schedule), last.astimezone(here))).astimezone(UTC)


def _load(item: Object, parts: Mapping[str, Any]) -> LoadedSpec:
    name = item["metadata"]["name"]
    if not isinstance(item.get("spec") or {}, dict):
        raise SpecError("spec must be an object.", where=f"{clusterspecification.PREFIX}{name}")
    return clusterspecification.load(clusterspecification.document(item), name, parts)


def _put(writer: Writer, made: Object) -> str:
    """Write a report and its status; its name."""
    made = dict(made)
    sent = made.pop("status")
    writer.apply(made)
    metadata = {key: made["metadata"][key] for key in ("name", "namespace")}
    head = {key: made[key] for key in ("apiVersion", "kind")}
    writer.apply({**head, "metadata": metadata, "status": sent}, subresource="status")
    return str(metadata["name"])


def _since(events: Iterable[DriftEvent], newest: Object | None) -> list[Object]:
    """Events of a report; what the report before has, too, was first seen when that one says."""
    before = {}
    for one in ((newest or {}).get("spec") or {}).get("events") or ():
        with contextlib.suppress(KeyError, TypeError, AttributeError):
            before[_same(one)] = one["timestamp"]
    made = [report_event(event) for event in events]
    for one in made:
        one["timestamp"] = before.get(_same(one), one["timestamp"])
    return made


def _same(event: Mapping[str, Any]) -> tuple[str, ...]:
    resource = event.get("resource") or {}
    return (
        event["type"],
        event["driftType"],
        *(str(resource.get(key, "")) for key in ("kind", "namespace", "name")),
    )


def _outlived(known: Sequence[Object], config: DriftConfigSpec, now: datetime, *, new: bool) -> list[str]:
    """Names of reports beyond the retention; the newest stays. known: oldest first; new: one was just written."""
    rules = config.retention
    most = (rules.max_reports if rules else 30) - new
    old = list(known[: max(0, len(known) - max(0, most))])
    if rules is not None and rules.max_age is not None:
        oldest = now - timedelta(seconds=min(seconds_of(rules.max_age), 3650 * 86400.0))
        rest = known[len(old) : None if new else -1]
        old += [one for one in rest if (at := moment_of(_age(one)[0])) is not None and at < oldest]
    return [one["metadata"]["name"] for one in old]


def _age(report: Mapping[str, Any]) -> tuple[str, str]:
    spec = report.get("spec")
    when = spec.get("detectionTime") if isinstance(spec, dict) else ""
    return str(when), str(report["metadata"]["name"])


def _notes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Note]:
    """Events of what changed."""
    drift, was = status.condition(after, status.DRIFT), status.condition(before, status.DRIFT)
    ready, was_ready = status.condition(after, READY), status.condition(before, READY)
    made = []
    text = str(drift.get("message", ""))
    if drift.get("status") == "True" and (was.get("status") != "True" or was.get("message") != text):
        made.append(Note("Warning", "DriftDetected", text))
    if drift.get("status") == "False" and was.get("status") == "True":
        made.append(Note("Normal", "DriftCleared", text))
    if ready.get("status") != "True" and ready.get("reason") != was_ready.get("reason"):
        made.append(Note("Warning", str(ready.get("reason")), str(ready.get("message", ""))))
    return made


def _who(event: DriftEvent) -> str:
    if event.author is None:
        return ""
    return f"Changed by {event.author.manager or '?'} at {event.author.time or '?'}. "


def _listed(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - _NAMED} more" if len(texts) > _NAMED else ""
    return ("; ".join(texts[:_NAMED]) + more)[: status.LONGEST_MESSAGE]
