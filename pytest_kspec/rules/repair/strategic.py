"""Strategic merge patches of pods and of what holds them: made of two versions of an object, and applied.

What the API server and kubectl understand as such, for the fields that fixes touch: maps are merged, null takes a key
away, a list of MERGE_KEYS is merged item by item, any other list is replaced. Objects are plain data, shared and
never changed; null and missing are the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

MERGE_KEYS = {
    "containers": "name",
    "ephemeralContainers": "name",
    "initContainers": "name",
    "env": "name",
    "evictionResponders": "name",
    "hostAliases": "ip",
    "imagePullSecrets": "name",
    "ports": "containerPort",
    "resourceClaims": "name",
    "schedulingGates": "name",
    "topologySpreadConstraints": "topologyKey",
    "volumeDevices": "devicePath",
    "volumeMounts": "mountPath",
    "volumes": "name",
}
"""Lists of pods that are merged, and what tells their items apart. Facts of the Kubernetes API, v1.37."""

DELETE = {"$patch": "delete"}


class Unsayable(ValueError):
    """No strategic merge patch says this change: two items of a list have one key."""


def diff(before: Any, after: Any) -> dict[str, Any]:
    """The smallest patch that makes `after` of `before`, both maps; {} if they are equal. Raises Unsayable."""
    patch: dict[str, Any] = {}
    for key in sorted({*before, *after}):
        old, new = before.get(key), after.get(key)
        if old is new or old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            if inner := diff(old, new):
                patch[key] = inner
        elif key in MERGE_KEYS and isinstance(old, list) and isinstance(new, list):
            patch[key] = _diff_items(old, new, MERGE_KEYS[key])
        else:
            patch[key] = new
    return patch


def _diff_items(old: list[Any], new: list[Any], merge_key: str) -> list[Any]:
    before, after = _by_key(old, merge_key), _by_key(new, merge_key)
    changes: list[Any] = []
    for key, item in after.items():
        known = before.get(key)
        if known is None:
            changes.append(item)
        elif known is not item and (inner := diff(known, item)):
            changes.append({merge_key: key, **inner})
    return changes + [{merge_key: key, **DELETE} for key in before if key not in after]


def _by_key(items: list[Any], merge_key: str) -> dict[Any, Any]:
    found: dict[Any, Any] = {}
    for item in items:
        key = item.get(merge_key) if isinstance(item, dict) else None
        if not isinstance(key, str | int) or key in found:
            raise Unsayable(f"it has no item of its own with {merge_key} {key!r}")
        found[key] = item
    return found


def apply(data: Any, patch: Mapping[str, Any]) -> dict[str, Any]:
    """What becomes of an object. Raises Unsayable where a list cannot be merged."""
    result = dict(data) if isinstance(data, dict) else {}
    for key, value in patch.items():
        old = result.get(key)
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict):
            result[key] = apply(old, value)
        elif isinstance(value, list) and key in MERGE_KEYS:
            result[key] = _apply_items(old if isinstance(old, list) else [], value, MERGE_KEYS[key])
        else:
            result[key] = value
    return result


def _apply_items(old: list[Any], changes: list[Any], merge_key: str) -> list[Any]:
    items = _by_key(old, merge_key)
    for change in changes:
        key = change.get(merge_key) if isinstance(change, dict) else None
        if not isinstance(key, str | int):
            raise Unsayable(f"an item of the patch has no {merge_key}")
        if change.get("$patch") == "delete":
            items.pop(key, None)
        else:
            items[key] = apply(items.get(key), change)
    return list(items.values())
