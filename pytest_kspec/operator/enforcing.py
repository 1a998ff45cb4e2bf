"""Policies of one specification in the cluster: as it asks, none where it asks for none, and whether they drifted.

The engine is the API server's own (ValidatingAdmissionPolicy). What differs from what should be there is found by dry
run, so that defaults of the server and changes of other webhooks are no drift. It is drift where the specification did
not change since policies were applied, and an object is gone, or somebody else wrote to it: managedFields say who.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from pytest_kspec.cluster.writing.write import FIELD_MANAGER, Writer
from pytest_kspec.enforce import apply as applying
from pytest_kspec.enforce.engines import Wanted, engine
from pytest_kspec.enforce.modes import Mode, asked_mode
from pytest_kspec.enforce.names import REAPPLY_ANNOTATION
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.operator import status
from pytest_kspec.operator.status import Note, Said
from pytest_kspec.plan.checkset import CheckSet
from pytest_kspec.spec.loading import LoadedSpec, spec_from_part

Object = dict[str, Any]

ENGINE = "vap"
_SHOWN = 5
_OPERATIONS = {"create": "create", "change": "update", "remove": "delete"}
"""What a change does, in the words of metrics."""


class Enforced(NamedTuple):
    """What came of it.

    said:     PolicyEnforced and DriftDetected
    fields:   `enforcement` of the status
    counts:   what `summary` of the status says of policies and drift
    notes:    Events of what was done
    boundary: when it has to be done again, None: never
    drift:    differences by kind; changes: what was changed: create, update or delete, and whether that corrected drift
    """

    said: tuple[Said, ...]
    fields: Object
    counts: Object
    notes: tuple[Note, ...]
    boundary: datetime | None
    drift: Mapping[str, int] = {}
    changes: tuple[tuple[str, bool], ...] = ()


class Settled(NamedTuple):
    """The status before: whether policies of this generation and mode were applied."""

    generation: int
    before: Mapping[str, Any]

    def holds(self, mode: Mode, objects: Sequence[Object], now: datetime) -> bool:
        """Whether nothing but drift explains a difference."""
        was = self.before.get("enforcement")
        if not isinstance(was, dict) or not was.get("active") or was.get("mode") != str(mode):
            return False
        if self.before.get("observedGeneration") != self.generation:
            return False
        ends = [(item["metadata"].get("annotations") or {}).get(REAPPLY_ANNOTATION) for item in objects]
        return not any(end and datetime.fromisoformat(end) <= now for end in ends)


def asks(spec: LoadedSpec) -> bool:
    """Whether anything is to be in the cluster for it."""
    return asked_mode(spec) is not Mode.MONITOR


def enforce(
    spec: LoadedSpec,
    settled: Settled,
    writer: Writer,
    checkset: Callable[[], CheckSet],
    cluster: str,
    now: datetime,
) -> Enforced:
    """Make it so, and read back. Raises KspecError; what was done stays done.

    checkset: called where something is enforced; cluster: its name in exemptions
    """
    mode = asked_mode(spec)
    if mode is Mode.MONITOR:
        removed = remove(spec.name, writer)
        asked = spec.spec.enforcement
        why = "mode is monitor" if asked is not None and asked.enabled else "enforcement.enabled is not true"
        return _nothing(Said(status.ENFORCED, "False", status.NOT_ENFORCED, f"{why}."), removed, None)
    chosen = engine(ENGINE)
    plan = enforcement_plan(spec, checkset(), version=writer.source.info().version, now=now)
    wanted = Wanted(plan, mode, cluster)
    made = chosen.generate(wanted)
    if not made.manifests:
        removed = remove(spec.name, writer)
        text = f"nothing in it can be enforced by admission ({len(plan.not_enforceable)} only scanned)."
        said = Said(status.ENFORCED, "False", status.NOTHING_TO_ENFORCE, text)
        return _nothing(said, removed, wanted.boundary)
    planned = applying.changes(spec, chosen, made.manifests, writer)
    there = {_key(item): item for item in applying.existing(spec, chosen, writer)}
    found: dict[str, str] = {}
    if settled.holds(mode, list(there.values()), now):
        found = {change.object: text for change in planned if (text := _drift(change, there))}
    asked = spec.spec.enforcement
    correct = asked is not None and asked.auto_remediate
    kept = found if not correct else {}
    notes = []
    changes = []
    for change in applying.carry_out([one for one in planned if one.object not in kept], writer):
        if change.what == "keep":
            continue
        changes.append((_OPERATIONS[change.what], change.object in found))
        if change.object in found:
            notes.append(Note("Normal", "DriftRemediated", f"{found[change.object]}: corrected."))
        else:
            reason = "PolicyPruned" if change.what == "remove" else "PolicyApplied"
            notes.append(Note("Normal", reason, f"{change.object}, mode {mode}."))
    made_so = _read_back(spec, wanted, settled, writer, list(kept.values()), len(changes), notes)
    kinds = Counter(
        "missing" if change.what == "create" else "modified" for change in planned if change.object in kept
    )
    return made_so._replace(drift=kinds, changes=tuple(changes))


def remove(name: str, writer: Writer) -> list[applying.Change]:
    """Remove all that was applied for the specification of this name. Raises SourceError."""
    spec = spec_from_part({}, name=name)  # what it asks for does not matter
    return list(applying.carry_out(applying.removals(spec, engine(ENGINE), writer), writer))


def _nothing(said: Said, removed: Sequence[applying.Change], boundary: datetime | None) -> Enforced:
    notes = tuple(Note("Normal", "PolicyPruned", f"{change.object}.") for change in removed)
    drift = Said(status.DRIFT, "False", status.NO_DRIFT, "No policies are applied that could drift.")
    counts = {"policiesEnforced": 0, "driftEvents": 0}
    changes = tuple((_OPERATIONS[change.what], False) for change in removed if change.what != "keep")
    return Enforced((said, drift), {"active": False}, counts, notes, boundary, {}, changes)


def _read_back(
    spec: LoadedSpec,
    wanted: Wanted,
    settled: Settled,
    writer: Writer,
    drift: Sequence[str],
    changed: int,
    notes: Sequence[Note],
) -> Enforced:
    chosen = engine(ENGINE)
    objects = applying.existing(spec, chosen, writer)
    entries = chosen.in_force(objects, writer)
    mode = str(wanted.mode)
    in_force = [entry for entry in entries if entry.mode == mode]
    problems = [
        f"{entry.name}: {'; '.join(entry.problems) or 'not in mode ' + mode}"
        for entry in entries
        if (entry.problems and not entry.pending) or entry.mode != mode
    ]
    if not wanted.active:
        said = Said(
            status.ENFORCED, "False", status.NOT_ACTIVE, "It is not active now (timeBasedActivation)."
        )
    elif problems or not in_force:
        text = _listed(problems) or "No policy is in force."
        said = Said(status.ENFORCED, "False", status.NOT_IN_FORCE, text)
    else:
        text = f"{len(in_force)} policies in force, mode {mode}."
        said = Said(status.ENFORCED, "True", status.DEPLOYED, text)
    if drift:
        found = Said(status.DRIFT, "True", status.DRIFT_FOUND, _listed(drift))
    else:
        found = Said(status.DRIFT, "False", status.NO_DRIFT, "Policies are as they were applied.")
    was = settled.before.get("enforcement")
    last = was.get("lastEnforcementTime") if isinstance(was, dict) else None
    if changed or last is None:
        last = status.stamp(wanted.plan.moment)
    fields = {
        "active": bool(objects),
        "mode": mode,
        "policiesGenerated": sum(item["kind"] == chosen.KINDS[0][1] for item in objects),
        "lastEnforcementTime": last,
    }
    counts = {"policiesEnforced": len(in_force) if wanted.active else 0, "driftEvents": len(drift)}
    return Enforced((said, found), fields, counts, tuple(notes), wanted.boundary)


def _drift(change: applying.Change, there: Mapping[tuple[str, str], Object]) -> str:
    """What happened to this object, or "" where it was not drift."""
    if change.what == "create":
        return f"{change.object} is missing"
    if change.what != "change":
        return ""
    item = there.get((change.kind, change.name)) or {"metadata": {}}
    others = [
        entry
        for entry in item["metadata"].get("managedFields") or ()
        if entry.get("manager") != FIELD_MANAGER and entry.get("subresource") != "status"
    ]
    if not others:
        return ""  # written by an earlier version of ours
    last = max(others, key=lambda entry: str(entry.get("time", "")))
    return f"{change.object} was changed by {last.get('manager', '?')} at {last.get('time', '?')}"


def _key(item: Object) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]


def _listed(texts: Sequence[str]) -> str:
    more = f"; and {len(texts) - _SHOWN} more" if len(texts) > _SHOWN else ""
    return "; ".join(texts[:_SHOWN]) + more if texts else ""
