"""Kinds of other projects whose objects hold pods, and where: `podkinds.txt`, and what a specification adds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

TABLE = Path(__file__).with_name("podkinds.txt")
EVERY = "*"
PodHolder = Literal["podTemplate", "podSpec", "containers", "container"]
PATH = r"[^\s.\[\]*^+,=]+(\[\*\])?(\.([^\s.\[\]*^+,=]+(\[\*\])?|\*))*"
"""A path as it is written: `spec.tasks[*].template`, `spec.replicaSpecs.*.template`."""

Keys = tuple[str, ...]


class Part(NamedTuple):
    """A place that a field of a composed pod comes from. rooted: from the root of the object, not below the path.

    defaults: place of what holds for all containers that are here, or None
    """

    keys: Keys
    rooted: bool = False
    defaults: Part | None = None


class PodPlace(NamedTuple):
    """Where objects of one kind hold pods.

    keys:    from the root of the object; "*" passes through every entry of a list or value of a map
    holds:   "podTemplate", "podSpec", "containers", "container", "objects", "parts" or "none"
    partial: an operator completes the pod: containers without an image are not whole
    parts:   of "parts": field of the pod spec → places
    """

    keys: Keys
    holds: str
    partial: bool = False
    parts: tuple[tuple[str, tuple[Part, ...]], ...] = ()


PodKinds = Mapping[tuple[str, str], tuple[PodPlace, ...]]
"""(group, kind) → places. Kind "*": every kind of the group."""

Added = tuple[str, str, str, str]
"""What a specification adds: (group, kind, path, what is held)."""


@cache
def pod_kinds(added: tuple[Added, ...] = ()) -> PodKinds:
    """The table, and what a specification adds to it: its own entries of a kind stand in place of the table's."""
    own = _grouped((group, kind, PodPlace(_keys(path), holds)) for group, kind, path, holds in added)
    return {**_table(), **own}


@cache
def _table() -> PodKinds:
    lines = TABLE.read_text(encoding="utf-8").splitlines()
    return _grouped(_line(line.split(" ")) for line in lines if line and not line.startswith("#"))


def _grouped(entries: Iterable[tuple[str, str, PodPlace]]) -> PodKinds:
    found: dict[tuple[str, str], tuple[PodPlace, ...]] = {}
    for group, kind, place in entries:
        found[group, kind] = (*found.get((group, kind), ()), place)
    return found


def _line(words: list[str]) -> tuple[str, str, PodPlace]:
    group, kind, holds, path, *parts = words
    named = tuple((field, _parts(places)) for field, _, places in (part.partition("=") for part in parts))
    return group, kind, PodPlace(_keys(path), holds.removesuffix("~"), holds.endswith("~"), named)


def _parts(text: str) -> tuple[Part, ...]:
    found = []
    for place in text.split(","):
        path, _, defaults = place.partition("+")
        found.append(_part(path)._replace(defaults=_part(defaults) if defaults else None))
    return tuple(found)


def _part(path: str) -> Part:
    return Part(_keys(path.removeprefix("^")), path.startswith("^"))


def _keys(path: str) -> Keys:
    return tuple(key for key in re.sub(r"\[\*\]", ".*", path).split(".") if key)
