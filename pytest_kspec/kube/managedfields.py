"""Who wrote which field of an object, as the API server keeps it in `metadata.managedFields`.

An entry has a manager, an operation (Apply or Update), a time and a set of fields (`fieldsV1`): a tree with steps
`f:name` of maps, `k:{...}` of lists with keys, `v:...` of sets and `i:0` of positions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from pytest_kspec.kube.objectdiff import ABSENT, NAMES

_DEPTH = 64


class Entry(NamedTuple):
    """What one manager holds. time: RFC 3339, or "" where the server gives none."""

    manager: str
    operation: str
    time: str
    fields: Mapping[str, Any]


def entries(obj: Mapping[str, Any]) -> list[Entry]:
    """The entries of an object but those of its status; what is malformed is left out.

    Those of other subresources count: `kubectl scale` and autoscalers write replicas by one.
    """
    found = (obj.get("metadata") or {}).get("managedFields")
    made = []
    for one in found if isinstance(found, list) else ():
        if not isinstance(one, dict) or one.get("subresource") == "status":
            continue
        fields = one.get("fieldsV1")
        text = [str(one.get(key) or "") for key in ("manager", "operation", "time")]
        made.append(Entry(text[0], text[1], text[2], fields if isinstance(fields, dict) else {}))
    return made


def beyond(entry: Entry, wanted: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What the entry holds and `wanted` does not set, with its value: (path, value).

    Paths are those of `objectdiff`, with `*` for the keys of lists. Metadata and status are left out.
    """
    for step, below in entry.fields.items():
        if step not in ("f:metadata", "f:status", "f:apiVersion", "f:kind"):
            yield from _beyond({step: below}, wanted, there, "", 0)


def _beyond(fields: Any, wanted: Any, there: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    if not isinstance(fields, dict) or depth > _DEPTH:
        return
    for step, below in fields.items():
        if step == ".":
            continue
        here = _down(there, step)
        if here is ABSENT:
            continue  # held once, and gone since
        mine = _down(wanted, step)
        name = f"{path}{_shown(step, general=True)}"
        if mine is ABSENT:
            yield name.lstrip("."), here
        else:
            yield from _beyond(below, mine, here, name, depth + 1)


def _down(value: Any, step: str) -> Any:
    """What is at this step; ABSENT where there is nothing."""
    kind, _, rest = step.partition(":")
    if kind == "f":
        return value.get(rest, ABSENT) if isinstance(value, dict) else ABSENT
    if not isinstance(value, list):
        return ABSENT
    try:
        key = json.loads(rest)
    except (ValueError, RecursionError):
        return ABSENT
    if kind == "k" and isinstance(key, dict):
        for item in value:
            # A part of the key may be a default that was left out.
            if isinstance(item, dict) and all(item.get(name, part) == part for name, part in key.items()):
                return item
    if kind == "v" and key in value:
        return key
    if kind == "i" and isinstance(key, int) and 0 <= key < len(value):
        return value[key]
    return ABSENT


def _shown(step: str, *, general: bool = False) -> str:
    kind, _, rest = step.partition(":")
    if kind == "f":
        return f"[{rest}]" if "." in rest or "/" in rest else f".{rest}"
    if general:
        return "[*]"
    try:
        key = json.loads(rest)
    except (ValueError, RecursionError):
        return f"[{rest}]"
    if isinstance(key, dict) and key:
        name = next((name for name in NAMES if name in key), min(key))
        return f"[{key[name]}]"
    return f"[{key}]"


def holds(entry: Entry, path: str, there: Any = ABSENT) -> bool:
    """Whether the entry has the field at this path of `objectdiff`, a part of it, or what it is a part of.

    there: the object, by which an item of a list is known under each of its names: a port of a Service is held by its
           number, and its path has its name.
    """
    return _holds(entry.fields, path, "", there, 0)


def _holds(fields: Any, path: str, here: str, there: Any, depth: int) -> bool:
    below = {k: v for k, v in fields.items() if k != "."} if isinstance(fields, dict) else {}
    if not below or depth > _DEPTH:
        return bool(here)
    for step, rest in below.items():
        if step.startswith(("v:", "i:")):  # objectdiff compares such a list by position
            return bool(here)
        item = _down(there, step)
        for name in _names(step, there, item):
            longer = f"{here}{name}".lstrip(".")
            if _related(longer, path) and _holds(rest, path, longer, item, depth + 1):
                return True
    return False


def _names(step: str, items: Any, item: Any) -> Iterator[str]:
    """What paths of `objectdiff` may call this step."""
    yield _shown(step)
    if step.startswith("k:") and isinstance(item, dict):
        found = (item.get(name) for name in NAMES)
        yield from (f"[{name}]" for name in found if isinstance(name, str | int))
        yield f"[{next(i for i, one in enumerate(items) if one is item)}]"


def _related(one: str, other: str) -> bool:
    short, long = sorted((one, other), key=len)
    return long == short or (long.startswith(short) and long[len(short)] in ".[")
