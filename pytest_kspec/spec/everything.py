"""Whether wildcards together match every name that there can be, however that is spelled.

`*`, `?*` and `*?*` do, and so do `a*`, `b*`, … `z*`, `0*`, … `9*` together. Names are walked letter by letter, with all
places in all patterns that the letters so far can have led to: if no name leads out of them, they match everything.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

from pytest_kspec.kube.globs import Globs

MAX_WORK = 300_000
"""Places that are looked at; beyond it, patterns that nothing was found against count as everything."""
_ALNUM = string.ascii_lowercase + string.digits
_ID = string.ascii_letters

_State = str
_Grammar = Callable[[_State, str], _State]
"""State and letter → state; "" for what no name is. "start" is the first; those that end in "." may be a whole name."""


def _label(state: _State, letter: str) -> _State:
    """Names of namespaces and containers: RFC 1123 labels. Their length is not looked at."""
    if letter in _ALNUM:
        return "in."
    return "in" if letter == "-" and state != "start" else ""


def _object(state: _State, letter: str) -> _State:
    """Names of objects: of roles too, which may hold anything but / and %."""
    return "" if letter in "/%" else "in."


def _check(state: _State, letter: str) -> _State:
    """Ids of checks, without [part]: `area.thing`."""
    if state in ("start", "dot"):
        return ("area" if state == "start" else "in.") if letter in _ID else ""
    if letter == ".":
        return "dot"
    return state if letter in _ID + string.digits + "-_" else ""


GRAMMARS: dict[str, tuple[_Grammar, str]] = {
    "namespaces": (_label, _ALNUM + "-"),
    "containers": (_label, _ALNUM + "-"),
    "objects": (_object, _ALNUM + "-.:"),
    "checks": (_check, _ID + string.digits + "-_."),
}
"""What is named → its grammar, and letters that its names have."""

_PROBES = {
    "namespaces": ("q", "zx-7w", "kq0" * 20),
    "containers": ("q", "zx-7w", "kq0" * 20),
    "objects": ("q", "zx-7.w", "kq0" * 20),
    "checks": ("q.z", "zx-7.wq.j", "kq0." * 20 + "z"),
}


def matches_all(patterns: Iterable[str], what: str) -> bool:
    """Whether the patterns together match every name of this kind (a key of GRAMMARS). False for no pattern."""
    chosen = tuple(dict.fromkeys(patterns))
    if any("*" in pattern and not pattern.strip("*?") for pattern in chosen):
        return True  # `??*` too, although there are names of one letter: it says nothing of a name
    # Almost every list of patterns is limited, and a name that it does not match shows it at once.
    plain = Globs(chosen)
    return bool(chosen) and all(map(plain.match, _PROBES[what])) and _walk(chosen, what)


@lru_cache(maxsize=256)
def _walk(patterns: Sequence[str], what: str) -> bool:
    grammar, letters = GRAMMARS[what]
    used = {letter for pattern in patterns for letter in pattern} - set("*?")
    alphabet = sorted({*letters, *used})
    first = ("start", _closed(patterns, {(index, 0) for index in range(len(patterns))}))
    waiting, seen, work = [first], {first}, 0
    while waiting:
        state, places = waiting.pop()
        for letter in alphabet:
            after = grammar(state, letter)
            if not after:
                continue
            work += len(places)
            if work > MAX_WORK:
                return True
            moved = _closed(patterns, _moved(patterns, places, letter))
            if not moved:
                return False
            if after.endswith(".") and not any(place == len(patterns[index]) for index, place in moved):
                return False
            new = (after, moved)
            if new not in seen:
                seen.add(new)
                waiting.append(new)
    return True


def _moved(patterns: Sequence[str], places: frozenset[tuple[int, int]], letter: str) -> set[tuple[int, int]]:
    found = set()
    for index, place in places:
        if place < len(patterns[index]):
            symbol = patterns[index][place]
            if symbol == "*":
                found.add((index, place))
            elif symbol in ("?", letter):
                found.add((index, place + 1))
    return found


def _closed(patterns: Sequence[str], places: set[tuple[int, int]]) -> frozenset[tuple[int, int]]:
    """With what is reached without a letter: behind each `*`."""
    found = set(places)
    for index, place in places:
        while place < len(patterns[index]) and patterns[index][place] == "*":
            place += 1
            found.add((index, place))
    return frozenset(found)
