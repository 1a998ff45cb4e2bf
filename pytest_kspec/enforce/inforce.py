"""What of a specification is in force in a cluster, read back from its objects, by whatever engine and command."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce.engines import Engine, InForce

Object = dict[str, Any]


def in_force(engine: Engine, objects: Sequence[Object], writer: Writer) -> list[InForce]:
    """What the objects of a specification that are in the cluster do, as the engine says. Raises KspecError.

    What is being deleted is not in force: it may go at any moment, and cannot be applied again before.
    """
    return [_unless_leaving(entry, objects) for entry in engine.in_force(objects, writer)]


def is_being_deleted(obj: Object | None) -> bool:
    """Whether it is there only until finalizers let it go."""
    return obj is not None and bool((obj.get("metadata") or {}).get("deletionTimestamp"))


def held_by(obj: Object) -> str:
    """Why an object that is being deleted is still there."""
    names = ", ".join(map(str, obj["metadata"].get("finalizers") or ()))
    return f"it is being deleted, and finalizers block the deletion ({names})"


def _unless_leaving(entry: InForce, objects: Sequence[Object]) -> InForce:
    for item in objects:
        if item["metadata"]["name"] == entry.name and is_being_deleted(item):
            return entry._replace(mode="", problems=(held_by(item),), pending=True)
    return entry
