"""Which ClusterRoles an aggregationRule brings together, also through other aggregated roles.

Roles that select each other have one union, found once (strongly connected components), so that the time follows what
is selected and not the product of all roles. Work is counted, and bounded: what goes beyond is unknown, never empty.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import msgspec

MAX_COMPARED = 500_000
"""Selectors times labels that are compared, about a second; an index finds what a `matchLabels` can select."""
MAX_TOGETHER = 10_000_000
"""Names of roles that sets are made of."""


class TooMuch(Exception):
    """More is selected than is followed."""


class Selection:
    """Roles by their labels. select: (selector, labels) → whether it selects them, or an error."""

    def __init__(self, labels: Mapping[str, Mapping[str, str]], select: Callable[[Any, Any], bool]) -> None:
        self._select = select
        self._groups: list[tuple[Mapping[str, str], list[str]]] = []
        self._by_pair: dict[tuple[str, str], list[int]] = {}
        self._by_key: dict[str, list[int]] = {}
        self._known: dict[bytes, frozenset[str]] = {}
        self._compared = 0
        equal: dict[tuple[tuple[str, str], ...], list[str]] = {}
        for name, have in labels.items():
            equal.setdefault(tuple(sorted(have.items())), []).append(name)
        for index, (pairs, names) in enumerate(equal.items()):
            self._groups.append((dict(pairs), names))
            for key, value in pairs:
                self._by_pair.setdefault((key, value), []).append(index)
                self._by_key.setdefault(key, []).append(index)

    def names(self, selector: Any) -> frozenset[str]:
        """The roles that it selects. Raises what `select` raises, and TooMuch."""
        known = msgspec.json.encode(selector)
        if known not in self._known:
            found: set[str] = set()
            if not self._groups:
                self._select(selector, {})  # said also where there is nothing to select
            for index in self._candidates(selector):
                self._compared += 1
                if self._compared > MAX_COMPARED:
                    raise TooMuch
                labels, names = self._groups[index]
                if self._select(selector, labels):
                    found.update(names)
            self._known[known] = frozenset(found)
        return self._known[known]

    def _candidates(self, selector: Any) -> Collection[int]:
        """Groups that it may select: all, where nothing in it is known to need a label. One at least, to be judged."""
        every = range(len(self._groups))
        needed = list(self._needed(selector)) if isinstance(selector, dict) else []
        return min(needed, key=len, default=every) or every[:1]

    def _needed(self, selector: Mapping[str, Any]) -> Iterator[Collection[int]]:
        pairs = selector.get("matchLabels")
        for key, value in pairs.items() if isinstance(pairs, dict) else ():
            if isinstance(value, str):
                yield self._by_pair.get((key, value), ())
        expressions = selector.get("matchExpressions")
        for one in expressions if isinstance(expressions, list) else ():
            key, operator = (one.get("key"), one.get("operator")) if isinstance(one, dict) else (None, None)
            if isinstance(key, str) and operator in ("In", "Exists"):
                yield self._by_key.get(key, ())


def together(selected: Mapping[str, Collection[str]]) -> dict[str, frozenset[str] | None]:
    """All roles that each role reaches, one set for roles that reach each other; None where that is too much.

    selected: of each aggregated role, what it selects itself
    """
    found: dict[str, frozenset[str] | None] = {}
    place: dict[str, int] = {}
    spent = 0
    for members in _components(selected):
        direct = set().union(*(selected[name] for name in members))
        spent += len(direct)
        reached: set[str] | None = set(members) if len(members) > 1 else set()
        # Those that were found last reach most: what they reach need not be looked at again.
        for name in sorted(direct & place.keys(), key=place.__getitem__, reverse=True):
            if reached is None or name in reached:
                continue
            below = found[name]
            spent += len(below or ())
            reached = None if below is None or spent > MAX_TOGETHER else reached | below
        whole = None if reached is None else frozenset(reached | direct)
        for name in members:
            found[name] = whole
            place[name] = len(place)
    return found


def _components(selected: Mapping[str, Collection[str]]) -> Iterator[list[str]]:
    """Roles that reach each other; what is reached comes before what reaches it (Tarjan's algorithm on a list)."""
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    open_names: list[str] = []
    done: set[str] = set()
    for start in selected:
        if start in order:
            continue
        path: list[tuple[str, Iterator[str]]] = []

        def enter(name: str, path: list[tuple[str, Iterator[str]]] = path) -> None:
            order[name] = lowest[name] = len(order)
            open_names.append(name)
            path.append((name, iter(selected[name])))

        enter(start)
        while path:
            name, others = path[-1]
            for other in others:
                if other in done or other not in selected:
                    continue
                if other not in order:
                    enter(other)
                    break
                lowest[name] = min(lowest[name], order[other])
            else:
                path.pop()
                if path:
                    lowest[path[-1][0]] = min(lowest[path[-1][0]], lowest[name])
                if lowest[name] == order[name]:
                    members = [open_names.pop()]
                    while members[-1] != name:
                        members.append(open_names.pop())
                    done.update(members)
                    yield members
