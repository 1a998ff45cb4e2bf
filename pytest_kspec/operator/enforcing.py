"""Policies of one specification in the cluster: as it asks, none where it asks for none, and whether they drifted.

Engines are those that it names. What differs from what should be there is found by dry run, so that defaults of the
server and changes of other webhooks are no drift. It is drift where the specification did not change since policies
were applied, and an object is gone, or is not what was applied (`drift.policies`).

What engines applied that are not named any more stays until those that are named are in force, as read back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.drift.events import DriftEvent, DriftKind, ordered
from pytest_kspec.enforce.engines import ENGINES, InForce, Wanted, webhook
from pytest_kspec.enforce.modes import Mode, asked_engines, asked_mode
from pytest_kspec.enforce.plan import EnforcementPlan, enforcement_plan
from pytest_kspec.errors import KspecError, SourceError
from pytest_kspec.operator import status
from pytest_kspec.operator.engineturn import Done, Made, Settled, Turn, drift_text
from pytest_kspec.operator.events import Warned
from pytest_kspec.operator.lease import LostLease
from pytest_kspec.operator.removing import Removal, engines_left, remove
from pytest_kspec.operator.status import Note, Said
from pytest_kspec.plan.checkset import CheckSet
from pytest_kspec.reports.shared.text import plural
from pytest_kspec.spec.loading import LoadedSpec

Object = dict[str, Any]

_SERVED = ("", *(name for name in ENGINES if name != webhook.NAME))
"""What goes on by itself, whatever becomes of the webhook."""


class Enforced(NamedTuple):
    """What came of it.

    said:     PolicyEnforced and DriftDetected
    fields:   `enforcement` and `webhooks` of the status
    counts:   what `summary` of the status says of policies and drift; None: not known
    notes:    Events of what was done
    boundary: when it has to be done again, None: never
    drift:    differences by kind
    changes:  what was changed, by engine: create, update or delete, and whether that corrected drift
    events:   each difference, with what became of it; looked: everything was compared
    failure:  why not all could be applied; what could be was
    """

    said: tuple[Said, ...]
    fields: Object
    counts: Object
    notes: tuple[Note, ...]
    boundary: datetime | None
    drift: Mapping[str, int] = {}
    changes: Mapping[str, Sequence[tuple[str, bool]]] = {}
    events: tuple[DriftEvent, ...] = ()
    looked: bool = True
    failure: KspecError | None = None


class Asked(NamedTuple):
    """What one specification is enforced with.

    checkset: called where something is enforced; cluster: its name in exemptions; options: of engines, as their
    `add_arguments` have them; held: something may have been applied for it before; warned: None: nothing yet
    """

    checkset: Callable[[], CheckSet]
    cluster: str
    options: Any = None
    held: bool = True
    warned: Warned | None = None


def asks(spec: LoadedSpec) -> bool:
    """Whether anything is to be in the cluster for it."""
    return bool(asked_engines(spec))


def enforce(spec: LoadedSpec, settled: Settled, writer: Writer, asked: Asked, now: datetime) -> Enforced:
    """Make it so, and read back. Raises KspecError where nothing was done; else `failure` says what was not."""
    told = _brought(spec, settled, writer, asked, now)
    if "enforcement" not in told.fields:
        return told
    marked = {**told.fields["enforcement"], status.DIGEST: settled.digest}
    return told._replace(fields={**told.fields, "enforcement": marked})


def _brought(spec: LoadedSpec, settled: Settled, writer: Writer, asked: Asked, now: datetime) -> Enforced:
    names = asked_engines(spec)
    if not names:
        removal = remove(spec.name, writer) if asked.held else Removal()
        section = spec.spec.enforcement
        why = (
            "mode is monitor"
            if section is not None and section.enabled
            else "enforcement.enabled is not true"
        )
        said = Said(status.ENFORCED, "False", status.NOT_ENFORCED, f"{why}.")
        if removal.failure is not None:
            return _failed(removal.failure, removal.notes, removal.changes)
        return _nothing(said, removal.notes, None, names, removal.changes)
    mode = asked_mode(spec)
    is_new = not settled.applied(names)
    unserved = remove(spec.name, writer, but=_SERVED) if is_new and _is_unserved(spec, names) else Removal()
    if unserved.failure is not None:
        return _failed(unserved.failure, unserved.notes, unserved.changes)
    wanted = wanted_of(spec, writer, asked, now)
    done: list[Done] = []
    made = {name: Made([], []) for name in names}
    warned = asked.warned if asked.warned is not None else Warned()
    failure: KspecError | None = None
    for name in names:
        try:
            done.append(Turn(name, wanted, settled, writer, made[name], warned).run(names))
        except LostLease:
            raise
        except KspecError as error:  # the others are no worse for it
            failure = failure or error
    warned.over(whole=failure is None)
    notes = [*unserved.notes, *(note for one in made.values() for note in one.notes)]
    changes: dict[str, Sequence[tuple[str, bool]]] = dict(unserved.changes)
    changes |= {name: tuple(one.changes) for name, one in made.items() if one.changes}
    if failure is not None:
        return _staying(_failed(failure, notes, changes), settled.others(names), names)
    failure = next((one.failure for one in done if one.failure is not None), None)
    boundary = min((one.boundary for one in done if one.boundary is not None), default=None)
    if not any(one.objects for one in done) and not any(one.left for one in done):
        if not wanted.active:
            said = _inactive()
        else:
            left = len(wanted.plan.not_enforceable)
            text = f"nothing in it can be enforced by admission ({left} only scanned)."
            said = Said(status.ENFORCED, "False", status.NOTHING_TO_ENFORCE, text)
        told = _nothing(said, notes, boundary, names, changes)
    else:
        told = _told(wanted.plan, mode, names, settled, done, notes, boundary)
        if stays := "; ".join(one.stays for one in done if one.stays):
            told = _pending(told, stays)
    if failure is None and is_new:
        told, failure = _others(told, spec, names, writer, wanted)
        changes |= told.changes
    events = ordered(event for one in done for event in one.events)
    looked = not any(one.problems for one in done)
    told = told._replace(changes=changes, events=events, looked=looked, failure=failure)
    if failure is None:
        return told
    # What is not known to be applied is not said to be: the next attempt begins with what was applied before.
    told = told._replace(said=(status.not_enforced(failure)[0], *told.said[1:]), fields={})
    return _staying(told, settled.others(names), names)


def _others(
    told: Enforced, spec: LoadedSpec, names: Sequence[str], writer: Writer, wanted: Wanted
) -> tuple[Enforced, KspecError | None]:
    """What engines have there that are not named: it goes once those that are named are in force. A failure of that."""
    enforced = told.said[0]
    if wanted.active and enforced.reason != status.NOTHING_TO_ENFORCE and enforced.status != "True":
        try:
            there = engines_left(spec.name, writer, but=names)
        except SourceError as error:
            return told, error
        return _staying(told, there, names), None
    removal = remove(spec.name, writer, but=names)
    notes = (*told.notes, *removal.notes)
    return told._replace(notes=notes, changes=removal.changes), removal.failure


def _staying(told: Enforced, there: Sequence[str], names: Sequence[str]) -> Enforced:
    """Say that policies of these engines stay, so that the next turn knows it."""
    if not there:
        return told
    fields = dict(told.fields)
    if "enforcement" in fields:
        fields["enforcement"] = {**fields["enforcement"], "engines": [*names, *there]}
    text = f"policies of {', '.join(there)} stay until those of {', '.join(names)} are in force"
    return _pending(told._replace(fields=fields), text)


def _pending(told: Enforced, text: str) -> Enforced:
    """Say why policies that are to go are there; it is looked at again soon, since each look may end that."""
    enforced, *rest = told.said
    said = enforced._replace(message=f"{text}: {enforced.message}")
    if said.reason == status.NOT_IN_FORCE:
        said = said._replace(reason=status.PENDING)
    return told._replace(said=(said, *rest))


def _is_unserved(spec: LoadedSpec, names: Sequence[str]) -> bool:
    """Whether a running webhook does not serve it any more: a registration that stays may refuse every request."""
    hooks = spec.spec.webhooks
    return webhook.NAME not in names and hooks is not None and not hooks.enabled


def wanted_of(spec: LoadedSpec, writer: Writer, asked: Asked, now: datetime) -> Wanted:
    """What is to be generated for a specification. Raises KspecError."""
    rules = enforcement_plan(spec, asked.checkset(), version=writer.source.info().version, now=now)
    return Wanted(rules, asked_mode(spec), asked.cluster, asked.options)


def _told(
    plan: EnforcementPlan,
    mode: Mode,
    names: Sequence[str],
    settled: Settled,
    done: Sequence[Done],
    notes: Sequence[Note],
    boundary: datetime | None,
) -> Enforced:
    entries = [entry for one in done for entry in one.entries]
    differ = _differing(done, mode)
    in_force = [
        entry
        for one in done
        for entry in one.entries
        if entry.mode == mode
        and (entry.pending or not entry.problems)
        and (one.name, entry.name) not in differ
    ]
    waits = [_problem(entry, mode) for one in done for entry in one.entries if _waits(one.name, entry, mode)]
    problems = [
        _problem(entry, mode)
        for entry in entries
        if (entry.problems and not entry.pending) or entry.mode != mode
    ]
    problems += [f"{one.name}: nothing is in force" for one in done if not one.entries]
    problems += list(differ.values())
    drift = [drift_text(event) for one in done for event in one.left]
    is_active = Wanted(plan, mode).active
    if not is_active:
        said = _inactive()
    elif problems and len(waits) == len(problems):
        said = Said(status.ENFORCED, "False", status.PENDING, status.listed(problems))
    elif problems or not in_force:
        said = Said(
            status.ENFORCED, "False", status.NOT_IN_FORCE, status.listed(problems) or "No policy is in force."
        )
    else:
        text = f"{plural(len(in_force), 'policy', 'policies')} in force, mode {mode}."
        said = Said(status.ENFORCED, "True", status.DEPLOYED, text)
    unknown = [text for one in done for text in one.problems]
    if drift:
        found = Said(status.DRIFT, "True", status.DRIFT_FOUND, status.listed(drift))
    elif unknown:
        found = Said(status.DRIFT, "Unknown", status.NOT_COMPARED, status.listed(unknown))
    else:
        found = Said(
            status.DRIFT, "False", status.NO_DRIFT, "Policies are unchanged since they were applied."
        )
    was = settled.before.get("enforcement")
    last = was.get("lastEnforcementTime") if isinstance(was, dict) else None
    if any(one.made.changes for one in done) or last is None:
        last = status.stamp(plan.moment)
    enforcement = {
        "active": any(one.objects for one in done),
        "mode": str(mode),
        "engines": list(names),
        "policiesGenerated": len(entries),
        "lastEnforcementTime": last,
    }
    counts: Object = {"policiesEnforced": len(in_force) if is_active else 0}
    counts["driftEvents"] = len(drift) if drift or not unknown else None
    fields = {"enforcement": enforcement, "webhooks": _webhooks(done, mode)}
    kinds = Counter(event.kind.value for one in done for event in one.left)
    return Enforced((said, found), fields, counts, tuple(notes), boundary, kinds)


def _differing(done: Sequence[Done], mode: Mode) -> dict[tuple[str, str], str]:
    """Policies that are not as they were applied, by engine and name: what they enforce is not what was asked for.

    Those of which something else is wrong are left out: that is said already.
    """
    found = {}
    for one in done:
        wrong = {
            entry.name
            for entry in one.entries
            if (entry.problems and not entry.pending) or entry.mode != mode
        }
        for event in one.left:
            name = event.resource.name
            if name not in wrong:
                missing = event.kind is DriftKind.MISSING
                found[one.name, name] = f"{name}: {'missing' if missing else 'changed since it was applied'}"
    return found


def _webhooks(done: Sequence[Done], mode: Mode) -> Object | None:
    """`webhooks` of the status: of the registration, and of the webhook behind it as far as it answers."""
    for one in done:
        if one.name == webhook.NAME:
            served = any(entry.mode == mode and not entry.problems for entry in one.entries)
            bundles = [
                hook["clientConfig"].get("caBundle")
                for item in one.objects
                for hook in item.get("webhooks") or ()
            ]
            return {"active": served, "certificateReady": bool(bundles) and all(bundles)}
    return None


def _waits(name: str, entry: InForce, mode: Mode) -> bool:
    """Whether what is wrong is expected to pass: others of the cluster have to do something first."""
    return (entry.pending and entry.mode != mode) or (name == webhook.NAME and bool(entry.problems))


def _problem(entry: InForce, mode: Mode) -> str:
    return f"{entry.name}: {'; '.join(entry.problems) or f'not in mode {mode}'}"


def _inactive() -> Said:
    return Said(status.ENFORCED, "False", status.NOT_ACTIVE, "It is not active now (timeBasedActivation).")


def _failed(
    failure: KspecError, notes: Sequence[Note], changes: Mapping[str, Sequence[tuple[str, bool]]]
) -> Enforced:
    """What was done is told; what is in force, and what drifted, is not known."""
    unknown: Object = {"policiesEnforced": None, "driftEvents": None}
    said = tuple(status.not_enforced(failure))
    return Enforced(said, {}, unknown, tuple(notes), None, {}, changes, looked=False, failure=failure)


def _nothing(
    said: Said,
    notes: Sequence[Note],
    boundary: datetime | None,
    names: Sequence[str],
    changes: Mapping[str, Sequence[tuple[str, bool]]],
) -> Enforced:
    drift = Said(status.DRIFT, "False", status.NO_DRIFT, "No policies are applied that could drift.")
    enforcement: Object = {"active": False, "policiesGenerated": 0} | (
        {"engines": list(names)} if names else {}
    )
    fields = {"enforcement": enforcement, "webhooks": None}
    counts = {"policiesEnforced": 0, "driftEvents": 0}
    return Enforced((said, drift), fields, counts, tuple(notes), boundary, {}, changes)
