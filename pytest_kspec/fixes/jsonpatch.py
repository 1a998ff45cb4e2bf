"""JSON patches (RFC 6902). They name items of lists by index, so they need the object that they are for.

Each index comes with a test of what is there: applied to another version of the object, the patch is refused whole.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_kspec.rules.repair.strategic import MERGE_KEYS, apply


def json_patch(obj: Mapping[str, Any], patch: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The strategic merge patch as operations on this object. Raises `rules.strategic.Unsayable`."""
    return list(_operations(obj, apply(dict(obj), patch), ""))


def _operations(before: Mapping[str, Any], after: Mapping[str, Any], base: str) -> Iterator[dict[str, Any]]:
    for key in sorted({*before, *after}):
        path = f"{base}/{_escaped(key)}"
        old, new = before.get(key), after.get(key)
        if old == new and (key in before) == (key in after):
            continue
        if key not in after:
            yield {"op": "remove", "path": path}
        elif key not in before:
            yield {"op": "add", "path": path, "value": new}
        elif isinstance(old, dict) and isinstance(new, dict):
            yield from _operations(old, new, path)
        elif key in MERGE_KEYS and isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
            yield from _items(old, new, path, MERGE_KEYS[key])
        else:
            yield {"op": "replace", "path": path, "value": new}


def _items(old: list[Any], new: list[Any], path: str, merge_key: str) -> Iterator[dict[str, Any]]:
    for index, (before, after) in enumerate(zip(old, new, strict=True)):
        if before != after:
            yield {"op": "test", "path": f"{path}/{index}/{merge_key}", "value": before[merge_key]}
            yield from _operations(before, after, f"{path}/{index}")


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
