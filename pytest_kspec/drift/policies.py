"""Policy drift: what the API server would make of the policies of a specification, compared with what is there.

The server answers by dry run, so its defaults and what its webhooks change are no drift. An object that differs and
carries the digest of what would be applied now was changed by somebody. One with another digest, which only kspec
wrote to, is out of date: the specification, kspec or the time changed since it was applied, and not the cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from pytest_kspec.cluster.writing.write import FIELD_MANAGER, Writer
from pytest_kspec.drift import authors
from pytest_kspec.drift.events import (
    SEVERITIES,
    Action,
    DriftEvent,
    DriftKind,
    DriftType,
    Remediation,
    Status,
)
from pytest_kspec.enforce import apply as applying
from pytest_kspec.enforce.apply import Change
from pytest_kspec.enforce.engines import Engine
from pytest_kspec.enforce.inforce import held_by, is_being_deleted
from pytest_kspec.enforce.names import APPLIED_ANNOTATION, NAME_ANNOTATION
from pytest_kspec.errors import AccessDenied, Conflict
from pytest_kspec.kube import managedfields
from pytest_kspec.kube.objectdiff import FieldChange
from pytest_kspec.kube.objectdiff import changes as field_changes
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.spec.loading import LoadedSpec

Object = dict[str, Any]


NO_DRY_RUN = "Only the fields that kspec sets were compared, because a dry run is not permitted."
_LEAVING = "not corrected: a deletion cannot be undone"


class Drifted(NamedTuple):
    """A difference, and what would correct it."""

    event: DriftEvent
    change: Change


class Found(NamedTuple):
    """What the comparison of one specification found.

    drifted:  differences
    outdated: changes of objects that nobody else changed
    kept:     how many are as they should be
    problems: objects that could not be compared
    """

    drifted: tuple[Drifted, ...]
    outdated: tuple[Change, ...]
    kept: int
    problems: tuple[str, ...]


def compare(spec: LoadedSpec, engine: Engine, manifests: Sequence[Object], writer: Writer, now: str) -> Found:
    """Compare; writes nothing. now: RFC 3339. Raises SourceError where nothing could be compared."""
    return judge(spec, applying.changes(spec, engine, manifests, writer, keep_errors=True), now)


def judge(spec: LoadedSpec, planned: Sequence[Change], now: str) -> Found:
    """What of the changes that were planned is drift."""
    drifted: list[Drifted] = []
    outdated: list[Change] = []
    problems: list[str] = []
    kept = 0
    for change in planned:
        if change.what != "remove" and is_being_deleted(change.before):
            drifted.append(Drifted(_leaving(change, now), change))
        elif change.what == "keep":
            kept += 1
        elif change.what == "create":
            drifted.append(Drifted(_missing(change, now), change))
        elif change.what == "remove":
            drifted.append(Drifted(_extra(spec, change, now), change))
        else:
            fields = differing(change) if change.error is None else _without_dry_run(change)
            if not fields and change.error is not None:
                problems.append(f"{change.object} could not be compared: {change.error}")
            elif not fields:
                kept += 1
            elif _is_outdated(change, fields):
                outdated.append(change)
            else:
                drifted.append(Drifted(_modified(change, fields, now), change))
    return Found(tuple(drifted), tuple(outdated), kept, tuple(problems))


def differing(change: Change) -> tuple[FieldChange, ...]:
    """The fields that are not as the server would keep them: `before` as it should be, `after` as it is."""
    if change.before is None or change.after is None:
        return ()
    return field_changes(_told(change.after), _told(change.before))


def _told(item: Object) -> Object:
    told = applying.told(item)
    annotations = told["metadata"].get("annotations") or {}
    kept = {key: text for key, text in annotations.items() if key != APPLIED_ANNOTATION}
    return {**told, "metadata": {**told["metadata"], "annotations": kept}}


def _is_outdated(change: Change, fields: Sequence[FieldChange]) -> bool:
    if bears_mark(change):
        return False
    before = change.before
    assert before is not None
    seal = FieldChange(f"metadata.annotations[{APPLIED_ANNOTATION}]", None, None)
    return not authors.wrote(before, [*fields, seal])


def bears_mark(change: Change) -> bool:
    """Whether the object was applied as it is wanted now, however it was changed since."""
    before, manifest = change.before, change.manifest
    if before is None or manifest is None:
        return False
    mark = (before["metadata"].get("annotations") or {}).get(APPLIED_ANNOTATION)
    return bool(mark == manifest["metadata"]["annotations"][APPLIED_ANNOTATION])


def _missing(change: Change, now: str) -> DriftEvent:
    text = f"{change.object} does not exist."
    remediation = None
    if isinstance(change.error, Conflict):
        text = f"{change.object} does not exist: {change.error.what}"
        remediation = Remediation(Action.MANUAL, Status.MANUAL, now, details=change.error.fix)
    return _event(
        DriftKind.MISSING,
        change,
        text,
        now,
        expected=applying.told(change.manifest or {}),
        remediation=remediation,
    )


def is_leaving(event: DriftEvent) -> bool:
    """Whether the object is there, and is being deleted."""
    return event.remediation is not None and event.remediation.details.startswith(_LEAVING)


def _leaving(change: Change, now: str) -> DriftEvent:
    assert change.before is not None
    details = (
        f"{_LEAVING}; it can be created again after it is deleted. "
        "Find out which controller should remove its finalizers."
    )
    return _event(
        DriftKind.MISSING,
        change,
        f"{change.object}: {held_by(change.before)}.",
        now,
        expected=applying.told(change.manifest or {}),
        remediation=Remediation(Action.MANUAL, Status.MANUAL, now, details=details),
    )


def _extra(spec: LoadedSpec, change: Change, now: str) -> DriftEvent:
    before = change.before or {}
    text = f"{change.object} is not generated from {spec.name} any more."
    remediation = None
    if not is_ours(spec, before):
        text = f"{change.object} has the labels of {spec.name}, but kspec did not apply it."
        remediation = Remediation(
            Action.MANUAL, Status.MANUAL, now, details="Remove the object or its labels manually."
        )
    return _event(DriftKind.EXTRA, change, text, now, actual=applying.told(before), remediation=remediation)


def is_ours(spec: LoadedSpec, obj: Object) -> bool:
    """Whether kspec applied this object for this specification: what its labels say, others can write."""
    metadata = obj.get("metadata") or {}
    named = (metadata.get("annotations") or {}).get(NAME_ANNOTATION) == spec.name
    return named and any(entry.manager == FIELD_MANAGER for entry in managedfields.entries(obj))


def _modified(change: Change, fields: tuple[FieldChange, ...], now: str) -> DriftEvent:
    shown = ", ".join(one.path for one in fields[:3])
    more = f" and {len(fields) - 3} more fields" if len(fields) > 3 else ""
    text = f"{change.object} is not as it was applied: {shown}{more}."
    if change.error is not None:
        text += f" {NO_DRY_RUN}"
    return _event(DriftKind.MODIFIED, change, text, now, fields=fields)


def _event(kind: DriftKind, change: Change, text: str, now: str, **more: Any) -> DriftEvent:
    before = change.before or {}
    fields = more.get("fields", ())
    return DriftEvent(
        DriftType.POLICY,
        kind,
        SEVERITIES[kind],
        ResourceRef(change.api_version, change.kind, change.namespace, change.name),
        text,
        now,
        path=fields[0].path if len(fields) == 1 else "",
        author=authors.author(before, fields) if kind is DriftKind.MODIFIED else None,
        holder=authors.holder(before),
        **more,
    )


def _without_dry_run(change: Change) -> tuple[FieldChange, ...]:
    """What of the fields that kspec sets differs, where the user may read only; () where that cannot be said."""
    if not isinstance(change.error, AccessDenied) or change.before is None or change.manifest is None:
        return ()
    return tuple(
        one
        for one in applying.set_fields(change.manifest, change.before)
        if APPLIED_ANNOTATION not in one.path
    )
