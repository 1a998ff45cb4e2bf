"""Which fields of an object changed, as paths that a person recognises: `spec.containers[app].image`.

Items of a list are matched by their name where every item has one, else by position: an inserted container is one
addition, and not a change of all that follow it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from pytest_kspec.kube.resources import ResourceType

# The keys by which Kubernetes itself merges lists, the usual ones.
NAMES = ("name", "key", "containerPort", "port", "mountPath", "topologyKey", "ip", "uid", "type")
VOLATILE = ("status", "metadata.resourceVersion", "metadata.generation", "metadata.creationTimestamp")
"""Fields that the cluster itself writes, all the time or along with others."""


class FieldChange(NamedTuple):
    """One field. before, after: JSON-like; ABSENT where it is not there."""

    path: str
    before: Any
    after: Any

    def to_wire(self) -> dict[str, Any]:
        """Plain data; a value that is not there has no key."""
        wire = {"path": self.path, "before": self.before, "after": self.after}
        return {key: value for key, value in wire.items() if value is not ABSENT}


Key = tuple[str, str]
"""Namespace and name."""


@dataclass(frozen=True, slots=True)
class ChangedObject:
    """One object that is in both and differs. fields: never empty."""

    namespace: str
    name: str
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True, slots=True)
class KindDiff:
    """One kind. added, removed: sorted. unknown: why it could not be compared, or ""."""

    type: ResourceType
    added: tuple[Key, ...] = ()
    removed: tuple[Key, ...] = ()
    changed: tuple[ChangedObject, ...] = ()
    unknown: str = ""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def to_wire(self) -> dict[str, Any]:
        """Plain data; a value that is not there has no key."""
        return {
            "apiVersion": self.type.api_version,
            "kind": self.type.kind,
            "unknown": self.unknown,
            "added": [{"namespace": namespace, "name": name} for namespace, name in self.added],
            "removed": [{"namespace": namespace, "name": name} for namespace, name in self.removed],
            "changed": [
                {
                    "namespace": one.namespace,
                    "name": one.name,
                    "fields": [field.to_wire() for field in one.fields],
                }
                for one in self.changed
            ],
        }


class _Absent:
    """Not there, which is not the same as null."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[FieldChange, ...]:
    """The fields that differ, in the order of their paths, without VOLATILE ones."""
    found = (change for change in _of_maps("", before, after) if not _is_volatile(change.path))
    return tuple(sorted(found, key=lambda change: change.path))


def _is_volatile(path: str) -> bool:
    return any(path == name or path.startswith((f"{name}.", f"{name}[")) for name in VOLATILE)


def _of(path: str, before: Any, after: Any) -> Iterator[FieldChange]:
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_maps(path, before, after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _of_lists(path, before, after)
    elif type(before) is not type(after) or before != after:
        yield FieldChange(path, before, after)


def _of_maps(path: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[FieldChange]:
    for key in {**before, **after}:
        # A key with dots ("kubernetes.io/hostname") is one step, and is to be read as one.
        step = f"[{key}]" if "." in key or "/" in key else f".{key}" if path else key
        yield from _of(f"{path}{step}", before.get(key, ABSENT), after.get(key, ABSENT))


def _of_lists(path: str, before: list[Any], after: list[Any]) -> Iterator[FieldChange]:
    if before == after:
        return
    for name in NAMES:
        old, new = _named(before, name), _named(after, name)
        if old is not None and new is not None:
            for key in {**old, **new}:
                yield from _of(f"{path}[{key}]", old.get(key, ABSENT), new.get(key, ABSENT))
            if not _same_order(old, new):
                yield FieldChange(path, list(old), list(new))
            return
    for index in range(max(len(before), len(after))):
        old_item = before[index] if index < len(before) else ABSENT
        new_item = after[index] if index < len(after) else ABSENT
        yield from _of(f"{path}[{index}]", old_item, new_item)


def _same_order(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Init containers run in their order, and of two variables the later one may use the first."""
    return [key for key in old if key in new] == [key for key in new if key in old]


def _named(items: list[Any], name: str) -> dict[str, Any] | None:
    """The items by this key; None where one lacks it or two share it."""
    found: dict[str, Any] = {}
    for item in items:
        key = item.get(name) if isinstance(item, dict) else None
        if not isinstance(key, str | int) or str(key) in found:
            return None
        found[str(key)] = item
    return found
