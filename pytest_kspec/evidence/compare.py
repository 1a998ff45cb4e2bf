"""A result and its replay as documents: everything in them must be equal, but for what `MAY_DIFFER` lists.

It is a list of what may differ and not of what is compared, so that a field that is added to results later is compared
without being named here. Nothing of the result is trusted: it may hold any JSON.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from os.path import normpath
from typing import Any

from pytest_kspec.results.moments import moment

MAX_DEPTH = 100
"""Below it, values are compared as a whole."""
LONGEST_SHOWN = 120


def _time(value: Any) -> bool:
    return moment(value) is not None


def _text(value: Any) -> bool:
    return isinstance(value, str)


def _seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


MAY_DIFFER: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "startedAt": ("an RFC 3339 time", _time),
    "finishedAt": ("an RFC 3339 time", _time),
    "runBy": ("text", _text),
    "clusters[].checks[].durationSeconds": ("a number of seconds", _seconds),
    "clusters[].evidence.sourceRef": ("text", _text),
}
"""Path → what it must be all the same. Times, who ran it, and where the snapshot lay: nobody can replay those."""

_PLACES = {
    "clusters[].spec.path",
    "clusters[].checks[].location",
    "clusters[].exemptions[].location",
    "clusters[].notEvaluated[].location",
    "clusters[].baseline.path",
}
"""Paths of files: compared as names in the bundle."""

_NODEID = "clusters[].checks[].nodeid"
_NAMES = ("id", "name", "key", "cluster", "owner", "resource", "path", "container", "message")


def differences(
    recorded: Mapping[str, Any], replayed: Mapping[str, Any], places: Mapping[str, str]
) -> Iterator[str]:
    """One line each, with the path; none if both say the same.

    places: path of a file as the result writes it → as the replay does
    """
    yield from _Comparison(places).compare(recorded, replayed, "", "", 0)


class _Comparison:
    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = {normpath(path): name for path, name in places.items()}
        self._files: dict[str, set[str]] = {}
        for path, name in self._places.items():
            self._files.setdefault(normpath(name), set()).add(_file_name(path))

    def compare(self, was: Any, now: Any, path: str, shape: str, depth: int) -> Iterator[str]:
        """path: for people; shape: the same without names of list entries."""
        if depth > MAX_DEPTH:
            if not same_text(was, now):
                yield f"{path}: a deeply nested value differs"
        elif shape in MAY_DIFFER:
            what, is_that = MAY_DIFFER[shape]
            if not is_that(was):
                yield f"{path}: {shown(was)} is not {what}"
        elif isinstance(was, dict) and isinstance(now, dict):
            yield from self._objects(was, now, path, shape, depth)
        elif isinstance(was, list) and isinstance(now, list):
            yield from self._lists(was, now, path, f"{shape}[]", depth)
        elif not self._same(was, now, shape):
            yield f"{path}: the result has {shown(was)}, the replay has {shown(now)}"

    def _objects(
        self, was: dict[str, Any], now: dict[str, Any], path: str, shape: str, depth: int
    ) -> Iterator[str]:
        for key in [*now, *(key for key in was if key not in now)]:
            inner = f"{path}.{_label(key)}" if path else _label(key)
            if key not in was:
                yield f"{inner}: not in the result; the replay has {shown(now[key])}"
            elif key not in now:
                yield f"{inner}: only in the result ({shown(was[key])})"
            else:
                yield from self.compare(was[key], now[key], inner, f"{shape}.{key}".lstrip("."), depth + 1)

    def _lists(self, was: list[Any], now: list[Any], path: str, shape: str, depth: int) -> Iterator[str]:
        """Entries are paired by what they are about; what then has no partner is paired in order, or missing."""
        if len(was) == len(now) and all(map(_is_about_the_same, was, now)):
            pairs = list(zip(was, now, strict=True))
            only_was: list[Any] = []
            only_now: list[Any] = []
        else:
            pairs, only_was, only_now, in_order = _paired(was, now)
            if not in_order:
                yield f"{path}: the result has it in another order"
            if len(was) == len(now):
                pairs += zip(only_was, only_now, strict=True)
                only_was, only_now = [], []
        for index, (old, new) in enumerate(pairs):
            yield from self.compare(old, new, f"{path}[{_name(new, index)}]", shape, depth + 1)
        for entry in only_was:
            yield f"{path}[{_name(entry, was.index(entry))}]: only in the result, or duplicated"
        for entry in only_now:
            yield f"{path}[{_name(entry, now.index(entry))}]: not in the result"

    def _same(self, was: Any, now: Any, shape: str) -> bool:
        if isinstance(was, bool) or isinstance(now, bool):
            return was is now
        if isinstance(was, str) and isinstance(now, str):
            if shape in _PLACES:
                return self._place(was) == _normal(now)
            if shape == _NODEID:
                return self._same_node(was, now)
        same_type = type(was) is type(now) or {type(was), type(now)} == {int, float}
        return same_type and bool(was == now)

    def _same_node(self, was: str, now: str) -> bool:
        """The path at its start depends on the folder that pytest was started in; the name of the file does not."""
        (old, _, rest), (new, _, again) = was.partition("::"), now.partition("::")
        return rest == again and _file_name(old) in self._files.get(normpath(new), {_file_name(new)})

    def _place(self, text: str) -> str:
        """`specs/prod.yaml:3:5` → `files/prod.yaml:3:5`."""
        path, position = _split(text)
        return self._places.get(normpath(path), normpath(path) if path else "") + position


def same_text(was: Any, now: Any) -> bool:
    """Whether both are the same JSON: true is not 1, and 1 is not 1.0."""
    try:
        return json.dumps(was, sort_keys=True) == json.dumps(now, sort_keys=True)
    except RecursionError:
        return False


def _split(location: str) -> tuple[str, str]:
    path, *position = location.rsplit(":", 2)
    if len(position) == 2 and all(part.isdecimal() for part in position):
        return path, f":{position[0]}:{position[1]}"
    return location, ""


def _normal(location: str) -> str:
    path, position = _split(location)
    return (normpath(path) if path else "") + position


def _file_name(path: str) -> str:
    return normpath(path).rpartition("/")[2]


def _about(entry: Any) -> str:
    """What an entry of a list is about, as text that can be compared."""
    if isinstance(entry, dict):
        chosen = {name: entry[name] for name in _NAMES if name in entry}
        if isinstance(entry.get("spec"), dict):
            chosen["spec"] = entry["spec"].get("name")
        return json.dumps(chosen, sort_keys=True) if chosen else ""
    return json.dumps(entry, sort_keys=True)


def _is_about_the_same(was: Any, now: Any) -> bool:
    return _about(was) == _about(now)


def _paired(was: list[Any], now: list[Any]) -> tuple[list[tuple[Any, Any]], list[Any], list[Any], bool]:
    """(pairs in the order of `now`, entries of `was` alone, of `now` alone, whether pairs were in order)."""
    waiting: dict[str, list[int]] = {}
    for index, entry in enumerate(was):
        waiting.setdefault(_about(entry), []).append(index)
    for indexes in waiting.values():
        indexes.reverse()
    pairs, only_now, taken = [], [], []
    for entry in now:
        indexes = waiting.get(_about(entry), [])
        if indexes:
            taken.append(indexes.pop())
            pairs.append((was[taken[-1]], entry))
        else:
            only_now.append(entry)
    left = set(range(len(was))) - set(taken)
    return pairs, [was[index] for index in sorted(left)], only_now, taken == sorted(taken)


def _name(entry: Any, index: int) -> str:
    if not isinstance(entry, dict):
        return str(index)
    for name in ("id", "name", "key"):
        if isinstance(entry.get(name), str) and entry[name]:
            spec = entry.get("spec")
            more = f", {spec['name']}" if isinstance(spec, dict) and isinstance(spec.get("name"), str) else ""
            return _label(entry[name] + more)
    owner = entry.get("owner")
    if isinstance(owner, dict):
        whose = "/".join(str(owner[key]) for key in ("kind", "namespace", "name") if owner.get(key))
        return _label(f"{whose} {entry.get('path') or ''}".strip())
    return str(index)


def _label(text: str) -> str:
    shown = json.dumps(text)[1:-1].replace('\\"', '"')
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}…"


def shown(value: Any) -> str:
    """A value of a result as one short line without control characters."""
    text = json.dumps(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
