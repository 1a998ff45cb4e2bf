"""Looks in a store: what was there when, and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytest_kspec.drift.document import event_to_wire
from pytest_kspec.drift.events import DriftType, Look
from pytest_kspec.results.identity import cluster_id

if TYPE_CHECKING:
    from pytest_kspec.storage.drift import StoredDrift
    from pytest_kspec.storage.engine import Store


def record(store: Store, look: Look) -> int:
    """Store a look; how many of its differences are new. Raises StoreError.

    Where something could not be compared, what is not found is not gone.
    """
    from pytest_kspec.storage import drift as stored

    differences = [
        stored.Difference(_key(event.key), event.type.value, event.severity.value, event_to_wire(event))
        for event in look.events
    ]
    whole = [type.value for type in look.looked] if not look.problems else []
    still = [_key(key) for key in look.still]
    place = cluster_id(look.uid, "live", look.cluster), look.cluster, look.spec
    return stored.record(store, *place, look.at, differences, whole, still)


def known(store: Store, identity: str, spec: str, type: DriftType) -> Callable[[tuple[str, ...]], bool]:
    """Whether a difference (`DriftEvent.key`) of this type is stored, and did not clear. Raises StoreError."""
    from pytest_kspec.storage import drift as stored

    there = stored.open_keys(store, identity, spec, type.value)
    return lambda key: stored.digest_of(_key(key)) in there


def _key(parts: Sequence[str]) -> str:
    return "\0".join(parts)


def to_wire(found: tuple[StoredDrift, ...]) -> dict[str, Any]:
    """Plain data, keys as in `kspec drift history -o json`."""
    events = [
        {
            **one.event,
            "timestamp": one.first_seen,
            "last_seen": one.last_seen,
            "cleared_at": one.cleared_at,
            "cluster": {"name": one.cluster, "uid": one.cluster_id},
            "spec": one.spec,
        }
        for one in found
    ]
    types = {type.value: sum(one.get("type") == type.value for one in events) for type in DriftType}
    severities = ("low", "medium", "high", "critical")
    statuses = [(one.get("remediation") or {}).get("status") for one in events]
    return {
        "events": events,
        "stats": {
            "total_events": len(events),
            "events_by_type": {name: count for name, count in types.items() if count},
            "events_by_severity": {
                name: count
                for name in severities
                if (count := sum(one.get("severity") == name for one in events))
            },
            "open_events": sum(not one["cleared_at"] for one in events),
            "remediated_events": statuses.count("remediated"),
            "failed_remediations": statuses.count("failed"),
            "first_event": events[0]["timestamp"] if events else "",
            "last_event": max((one["timestamp"] for one in events), default=""),
        },
    }
