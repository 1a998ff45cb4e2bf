"""Events as those of a DriftReport, in its words."""

from __future__ import annotations

from typing import Any

from pytest_kspec.drift.events import DriftEvent
from pytest_kspec.drift.words import ACTIONS, KINDS, STATUSES, TYPES
from pytest_kspec.kube.objectdiff import ABSENT


def report_event(event: DriftEvent) -> dict[str, Any]:
    """Plain data, as `crds.models.driftreport.DriftEvent`; who changed the object is a part of the message."""
    one = event.resource
    message = event.message
    if event.author is not None:
        manager, time = event.author
        message += f" Changed by {manager or 'an unnamed client'}{f' at {time}' if time else ''}."
    if event.holder:
        message += f" {event.holder} keeps it."
    made: dict[str, Any] = {
        "type": TYPES[event.type],
        "severity": event.severity.value,
        "resource": {
            "apiVersion": one.api_version,
            "kind": one.kind,
            "namespace": one.namespace,
            "name": one.name,
            "path": event.path,
        },
        "driftType": KINDS[event.kind],
        "message": message,
        "timestamp": event.first_seen,
    }
    if event.check:
        made["check"] = event.check
    if event.fields:
        made["expected"] = {field.path: field.before for field in event.fields if field.before is not ABSENT}
        made["actual"] = {field.path: field.after for field in event.fields if field.after is not ABSENT}
    done = event.remediation
    if done is not None:
        remediation = {"action": ACTIONS[done.action], "status": STATUSES[done.status]}
        if done.status.value == "remediated":
            remediation["appliedAt"] = done.time
        made["remediation"] = remediation | {
            key: text for key, text in (("error", done.error), ("details", done.details)) if text
        }
    return made
