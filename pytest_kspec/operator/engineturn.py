"""One engine's policies of one specification, in one turn: what drifted is found, and what is wanted is applied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pytest_kspec import clock
from pytest_kspec.audit import trail
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.drift import correcting, policies
from pytest_kspec.drift.events import Action, DriftEvent, DriftKind
from pytest_kspec.drift.ledger import InCluster
from pytest_kspec.enforce import apply as applying
from pytest_kspec.enforce import inforce, succession
from pytest_kspec.enforce.engines import Generated, InForce, Wanted, engine, webhook
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.errors import KspecError, SourceError, SourceUnavailable
from pytest_kspec.operator import driftsaid, removing, status
from pytest_kspec.operator.events import Warned
from pytest_kspec.operator.removing import Removed, pruned
from pytest_kspec.operator.status import Note
from pytest_kspec.spec.loading import LoadedSpec

Object = dict[str, Any]

_LEFT = (Action.SKIP, Action.MANUAL)
_OPERATIONS = {"create": "create", "change": "update", "remove": removing.OPERATION}
"""What a change does, in the words of metrics."""
_HELD_BACK = "failure policy Ignore until the webhook serves this specification"


class Settled(NamedTuple):
    """The status before: whether policies of this generation and mode were applied.

    digest: `status.digest_of` the specification now
    """

    generation: int
    before: Mapping[str, Any]
    uid: str = ""
    digest: str = ""

    @classmethod
    def of(cls, item: Object, spec: LoadedSpec) -> Settled:
        """What a ClusterSpecification says of itself."""
        metadata = item["metadata"]
        before, uid = status.status_of(item), metadata.get("uid", "")
        return cls(metadata.get("generation", 0), before, uid, status.digest_of(spec))

    def applied(self, engines: Sequence[str]) -> bool:
        """Whether these engines, and no others, were brought to this generation."""
        was = self.before.get("enforcement")
        return (
            isinstance(was, dict)
            and was.get("engines") == list(engines)
            and was.get(status.DIGEST) == self.digest
            and self.before.get("observedGeneration") == self.generation
        )

    def others(self, engines: Sequence[str]) -> list[str]:
        """Engines beside these whose policies were there."""
        was = self.before.get("enforcement")
        named = was.get("engines") if isinstance(was, dict) else None
        return [str(one) for one in (named if isinstance(named, list) else ()) if one not in engines]

    def interrupted(self) -> bool:
        """Whether the last time failed: not all of it may have been applied."""
        return bool(status.condition(self.before, status.ENFORCED).get("reason") == status.ENFORCEMENT_FAILED)

    def holds(self, mode: Mode, engines: Sequence[str], objects: Sequence[Object], now: datetime) -> bool:
        """Whether nothing but drift explains a difference."""
        was = self.before.get("enforcement")
        if not isinstance(was, dict) or not was.get("active") or was.get("mode") != str(mode):
            return False
        if not self.applied(engines):
            return False
        return not applying.outdated(objects, now)


class Made(NamedTuple):
    """What one engine changed so far, also where it did not come to its end. As `enforcing.Enforced`."""

    changes: list[tuple[str, bool]]
    notes: list[Note]


class Done(NamedTuple):
    """What one engine did.

    entries: as read back; left: drift that stays; problems: what could not be compared; failure: of what is not a
    correction of drift; stays: what waits for what was applied to be in force; others: as `enforcing.Enforced`
    """

    name: str
    objects: list[Object]
    entries: list[InForce]
    left: list[DriftEvent]
    made: Made
    boundary: datetime | None
    events: list[DriftEvent]
    problems: Sequence[str] = ()
    failure: KspecError | None = None
    stays: str = ""


class Planned(NamedTuple):
    """What one engine would do. there: its objects; manifests: as they would be applied"""

    made: Generated
    manifests: list[Object]
    there: list[Object]
    changes: list[applying.Change]


def plan(name: str, wanted: Wanted, writer: Writer, *, keep_errors: bool = False) -> Planned:
    """What would be done for a specification. Writes nothing. Raises KspecError."""
    spec, chosen = wanted.plan.spec, engine(name)
    made = chosen.generate(wanted)
    there = applying.existing(spec, chosen, writer)
    manifests = list(made.manifests)
    if name == webhook.NAME:
        by_key = {_key(item): item for item in there}
        manifests = [_cautious(one, by_key.get(_key(one)), writer) for one in manifests]
    changes = applying.changes(spec, chosen, manifests, writer, listed=there, keep_errors=keep_errors)
    return Planned(made, manifests, there, changes)


class Turn:
    """One engine is brought to what is wanted: what drifted is found, and corrected where that is decided.

    made: what is changed is added there, at once; warned: of what there were Events before
    """

    def __init__(
        self, name: str, wanted: Wanted, settled: Settled, writer: Writer, made: Made, warned: Warned
    ) -> None:
        self._name, self._wanted, self._settled, self._writer = name, wanted, settled, writer
        self._made, self._warned = made, warned
        self._spec, self._now = wanted.plan.spec, wanted.plan.moment
        self._memory = InCluster(writer, self._spec.name, uid=settled.uid)
        self._said = str(status.condition(settled.before, status.DRIFT).get("message", ""))
        self._found: dict[str, policies.Drifted] = {}  # what drifted, by object
        self._events: dict[str, DriftEvent] = {}  # the same, with what became of it
        self._kept: set[str] = set()  # what stays as it is found
        self._failure: KspecError | None = None

    def run(self, names: Sequence[str]) -> Done:
        """names: of all engines of the specification. Raises KspecError where nothing could be done."""
        planned = plan(self._name, self._wanted, self._writer, keep_errors=True)
        turnover = succession.succession(planned.changes, planned.manifests, self._wanted)
        problems = self._look(planned, names, turnover)
        section = self._spec.spec.enforcement
        if self._found and section is not None and section.auto_remediate:
            self._decide()
        for change in planned.changes:
            if change.what == "remove" and (self._failure is not None or change in turnover.old):
                continue  # nothing is taken away for what cannot take its place
            if change.what != "keep" and change.object not in self._kept:
                self._carry_out(change)
        failed = _texts(one for one in self._events.values() if correcting.is_failed(one))
        self._made.notes.extend(self._warned.of("RemediationFailed", failed, self._said))
        done = self._read_back(planned, problems)
        return self._take_over(done, planned, turnover) if turnover.old else done

    def _take_over(self, done: Done, planned: Planned, turnover: succession.Succession) -> Done:
        """Remove what another kind of this engine holds, if what is wanted is in force."""
        new = turnover.of_new(done.entries)
        if done.failure is not None or done.left or not succession.is_in_force(new, self._wanted):
            return done._replace(entries=new, stays=turnover.text)
        for change in turnover.old:
            self._carry_out(change)
        return self._read_back(planned, done.problems)

    def _look(
        self, planned: Planned, names: Sequence[str], turnover: succession.Succession
    ) -> tuple[str, ...]:
        """Find what drifted; returns what could not be compared."""
        holds = self._settled.holds(self._wanted.mode, names, planned.there, self._now)
        if not holds or turnover.is_under_way:
            if refused := next((one.error for one in planned.changes if one.error is not None), None):
                raise refused  # nothing is taken away for what cannot take its place
            return ()
        judged = policies.judge(self._spec, planned.changes, status.stamp(self._now))
        drifted = judged.drifted
        if (
            self._settled.interrupted()
        ):  # what bears the mark of what is wanted now was applied, and then changed
            drifted = tuple(one for one in drifted if policies.bears_mark(one.change))
        self._found = {one.change.object: one for one in drifted if one.event.kind is not DriftKind.EXTRA}
        self._events = {name: one.event for name, one in self._found.items()}
        self._kept = set(self._found)
        return judged.problems

    def _decide(self) -> None:
        """Which of it is corrected."""
        found, stamp = list(self._found.values()), status.stamp(self._now)
        if why := self._memory.forbidden():
            decided = correcting.forbidden(found, why, stamp)
            self._note("RemediationForbidden", (one.event for one in decided))
        else:
            recent = self._memory.since(self._now - correcting.WINDOW)
            decided = correcting.decide(found, correcting.Rules(most=len(found)), recent, stamp)
        self._events |= {one.drifted.change.object: one.event for one in decided}
        self._kept = {one.drifted.change.object for one in decided if not one.acts}
        self._note("DriftFight", (one.event for one in decided if correcting.is_fight(one.event)))

    def _note(self, reason: str, events: Iterable[DriftEvent]) -> None:
        self._made.notes.extend(self._warned.of(reason, _texts(events), self._said))

    def _carry_out(self, change: applying.Change) -> None:
        """One that fails is no reason to leave out the others."""
        try:
            if change.error is not None:
                raise change.error
            list(applying.carry_out([change], self._writer))
        except SourceUnavailable:
            raise
        except SourceError as error:
            if change.object in self._found:
                self._not_corrected(change, error)
            else:
                self._failure = self._failure or error
            return
        self._made.changes.append((_OPERATIONS[change.what], change.object in self._found))
        if change.object in self._found:
            self._corrected(change)
        elif change.what == "remove":
            self._made.notes.extend(pruned([Removed(self._name, change.object)]))
        else:
            text = f"{change.object}, mode {self._wanted.mode}."
            self._made.notes.append(Note("Normal", "PolicyApplied", text))

    def _not_corrected(self, change: applying.Change, error: SourceError) -> None:
        event = correcting.failed(self._events[change.object], error, status.stamp(clock.now()))
        self._events[change.object] = event
        self._kept.add(change.object)
        trail.emit(
            "remediation", "drift", "failure", drift_text(event), severity="error", **self._about(change)
        )

    def _corrected(self, change: applying.Change) -> None:
        text = drift_text(self._found[change.object].event)
        event = self._events[change.object]
        if event.remediation is not None:
            done = correcting.done(event.remediation, status.stamp(self._now))
            self._events[change.object] = event.remediated(done)
        trail.emit("remediation", "drift", "success", f"{text}: corrected", **self._about(change))
        self._made.notes.append(Note("Normal", "DriftRemediated", f"{text}: corrected."))
        self._memory.note(change.object, self._now)  # nothing more is corrected where it cannot be remembered

    def _about(self, change: applying.Change) -> dict[str, Any]:
        return {**trail.about(self._writer.source), "spec": self._spec.name, "resource": change.object}

    def _read_back(self, planned: Planned, problems: Sequence[str]) -> Done:
        chosen = engine(self._name)
        changed = bool(self._made.changes)
        objects = applying.existing(self._spec, chosen, self._writer) if changed else planned.there
        boundary = None if planned.made.timeless else self._wanted.boundary
        entries = inforce.in_force(chosen, objects, self._writer)
        if planned.manifests != list(
            planned.made.manifests
        ):  # held back, also where the webhook came meanwhile
            entries = [one._replace(problems=one.problems or (_HELD_BACK,)) for one in entries]
        left = [self._events[change.object] for change in planned.changes if change.object in self._kept]
        events = list(self._events.values())
        return Done(self._name, objects, entries, left, self._made, boundary, events, problems, self._failure)


def _cautious(manifest: Object, there: Object | None, writer: Writer) -> Object:
    """Failure policy Fail only for what is served already."""
    if all(one["failurePolicy"] == "Ignore" for one in manifest["webhooks"]):
        return manifest
    served = there is not None and not any(entry.problems for entry in webhook.in_force([there], writer))
    return webhook.cautious(manifest, there, served=served)


def drift_text(event: DriftEvent) -> str:
    """What happened to this object, and why it is not corrected where that was decided."""
    what = f"{event.resource} was changed"
    if event.kind is DriftKind.MISSING:
        what = f"{event.resource} is {'being deleted' if policies.is_leaving(event) else 'missing'}"
    if event.kind is not DriftKind.MISSING and event.author is not None:
        what = f"{event.resource} was {driftsaid.who(event)}"
    done = event.remediation
    if done is not None and correcting.is_failed(event):
        return f"{what} (not corrected: {done.error.rstrip('.')})"
    return f"{what} ({done.details.rstrip('.')})" if done is not None and done.action in _LEFT else what


def _texts(events: Iterable[DriftEvent]) -> dict[str, str]:
    """What is known of each when it is seen again → all that is said of it."""
    return {text.partition(" (")[0]: text for text in map(drift_text, events)}


def _key(item: Object) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]
