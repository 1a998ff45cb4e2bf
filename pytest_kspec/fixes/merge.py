"""Patches of one object become one. What two of them say differently is decided by order, and told.

Lists that are replaced as a whole hold what both keep: each patch took away what its rule refuses. Only what
containers drop is joined.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pytest_kspec.rules.repair.strategic import MERGE_KEYS

_JOINED = "drop"


def merge(patches: Iterable[Mapping[str, Any]]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """(the one patch, paths at which an earlier patch won against a later one)."""
    merged: dict[str, Any] = {}
    conflicts: dict[str, None] = {}
    for patch in patches:
        _into(merged, patch, "", conflicts)
    return merged, tuple(conflicts)


def _into(merged: dict[str, Any], patch: Mapping[str, Any], base: str, conflicts: dict[str, None]) -> None:
    for key, value in patch.items():
        path = f"{base}.{key}" if base else key
        if key not in merged:
            merged[key] = _copy(value)
            continue
        known = merged[key]
        if isinstance(known, dict) and isinstance(value, dict):
            _into(known, value, path, conflicts)
        elif isinstance(known, list) and isinstance(value, list):
            if key in MERGE_KEYS:
                _items_into(known, value, MERGE_KEYS[key], path, conflicts)
            elif key == _JOINED:
                known.extend(item for item in value if item not in known)
            else:
                merged[key] = [item for item in known if item in value] or None
        elif known != value and (known or value):  # false and unset are one for what is switched off
            conflicts[path] = None


def _items_into(
    known: list[Any], changes: list[Any], merge_key: str, path: str, conflicts: dict[str, None]
) -> None:
    items = {item[merge_key]: item for item in known}
    for change in changes:
        key = change[merge_key]
        if key in items:
            _into(items[key], change, f"{path}[{key}]", conflicts)
        else:
            known.append(_copy(change))
            items[key] = known[-1]


def _copy(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _copy(item) for key, item in value.items()}
    return [_copy(item) for item in value] if isinstance(value, list) else value
