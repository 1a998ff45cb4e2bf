"""A look as the JSON document of `kspec drift`: the keys that scripts read, in snake case."""

from __future__ import annotations

from typing import Any

from pytest_kspec.drift.events import DriftEvent, DriftType, Look
from pytest_kspec.kube.objectdiff import ABSENT, FieldChange

_PLURALS = {
    DriftType.POLICY: "policies",
    DriftType.COMPLIANCE: "compliance",
    DriftType.CONFIGURATION: "configuration",
}


def to_wire(look: Look) -> dict[str, Any]:
    """Plain data. `errors`: what could not be compared; `outdated`: what has to be applied again, and is no drift."""
    counts = {"total": len(look.events)} | {name: look.count(type) for type, name in _PLURALS.items()}
    found = {event.type for event in look.events}
    return {
        "timestamp": look.at,
        "spec": {"name": look.spec, "version": look.version},
        "cluster": {"name": look.cluster, "uid": look.uid},
        "drift": {
            "detected": bool(look.events),
            "severity": look.severity.value if look.severity else "",
            "types": [type.value for type in DriftType if type in found],
            "counts": counts,
        },
        "events": [event_to_wire(event) for event in look.events],
        "checked": [type.value for type in look.looked],
        "outdated": list(look.outdated),
        "errors": list(look.problems),
    }


def event_to_wire(event: DriftEvent) -> dict[str, Any]:
    """Plain data; what is not known has no key."""
    resource = {"kind": event.resource.kind, "name": event.resource.name, "path": event.path}
    if event.resource.namespace:
        resource["namespace"] = event.resource.namespace
    made: dict[str, Any] = {
        "timestamp": event.first_seen,
        "type": event.type.value,
        "severity": event.severity.value,
        "resource": resource,
        "drift_kind": event.kind.value,
        "message": event.message,
    }
    if event.check:
        made["check"] = event.check
    if event.expected is not ABSENT:
        made["expected"] = event.expected
    if event.actual is not ABSENT:
        made["actual"] = event.actual
    if event.fields:
        made["diff"] = _diff(event.fields)
    if event.author is not None:
        made["changed_by"] = {"manager": event.author.manager, "timestamp": event.author.time}
    if event.holder:
        made["managed_by"] = event.holder
    if event.remediation is not None:
        done = event.remediation
        remediation = {"action": done.action.value, "status": done.status.value, "timestamp": done.time}
        made["remediation"] = remediation | {
            key: text for key, text in (("error", done.error), ("details", done.details)) if text
        }
    return made


def _diff(fields: tuple[FieldChange, ...]) -> dict[str, Any]:
    """By path: what is there beside what should be, what should be and is not, and what is another value."""
    return {
        "added": {one.path: one.after for one in fields if one.before is ABSENT},
        "removed": {one.path: one.before for one in fields if one.after is ABSENT},
        "modified": {
            one.path: {"old_value": one.before, "new_value": one.after}
            for one in fields
            if one.before is not ABSENT and one.after is not ABSENT
        },
    }
