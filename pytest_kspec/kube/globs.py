"""Wildcards as users write them: `*` is any text, `?` is one character, everything else is itself.

`fnmatch` gives square brackets a meaning, but check ids contain them: `podSecurity.standard[privileged]`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

ANY = "."
"""What `*` runs over: any character."""


FEW = 8
"""Up to so many patterns, comparing each costs less than choosing some."""
LONGEST_PIECE = 16
"""Characters of a piece that patterns are found by: as many substrings of a text begin at each of its places."""


def is_literal(pattern: str) -> bool:
    """True if it has no wildcard."""
    return "*" not in pattern and "?" not in pattern


class Globs:
    """Several patterns, compiled once. Without any pattern, every text matches."""

    __slots__ = ("_literals", "_many", "_regex", "matches_all")

    def __init__(self, patterns: Iterable[str]) -> None:
        chosen = list(patterns)
        self.matches_all = not chosen or any(p and not p.strip("*") for p in chosen)
        self._literals = frozenset(filter(is_literal, chosen))
        wild = [] if self.matches_all else [p for p in dict.fromkeys(chosen) if not is_literal(p)]
        self._many = _Many(wild) if len(wild) > FEW else None
        few = wild if self._many is None else []
        self._regex = re.compile("|".join(map(linear, few)), re.DOTALL) if few else None

    def match(self, text: str) -> bool:
        """Whether one of the patterns covers the whole text."""
        if self.matches_all or text in self._literals:
            return True
        if self._many is not None:
            return self._many.match(text)
        return self._regex is not None and self._regex.fullmatch(text) is not None


class _Many:
    """Wildcards of which a text is compared with those only that hold a piece of it."""

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = patterns
        self._index = Pieces([pieces_of(pattern) for pattern in patterns])
        self._compiled: dict[int, re.Pattern[str]] = {}

    def match(self, text: str) -> bool:
        for index in self._index.candidates(text):
            regex = self._compiled.get(index)
            if regex is None:
                regex = self._compiled[index] = re.compile(linear(self._patterns[index]), re.DOTALL)
            if regex.fullmatch(text) is not None:
                return True
        return False


def pieces_of(pattern: str) -> list[str]:
    """The texts between its wildcards: whatever it matches holds them all."""
    return [piece for piece in re.split(r"[*?]+", pattern) if piece]


class Pieces:
    """Patterns by the rarest piece of text that each of them needs, so that their number costs a text nothing.

    needed: of each pattern, pieces that all that it matches holds; where there are none, it is always a candidate
    """

    def __init__(self, needed: Sequence[Iterable[str]]) -> None:
        cut = [{piece[:LONGEST_PIECE] for piece in pieces} for pieces in needed]
        counts = Counter(piece for pieces in cut for piece in pieces)
        self._always: list[int] = []
        self._by_length: dict[int, dict[str, list[int]]] = {}
        for index, pieces in enumerate(cut):
            if pieces:
                rarest = min(pieces, key=lambda piece: (counts[piece], -len(piece), piece))
                self._by_length.setdefault(len(rarest), {}).setdefault(rarest, []).append(index)
            else:
                self._always.append(index)

    def candidates(self, text: str) -> Sequence[int]:
        """Positions of the patterns that may match, in their order."""
        found = set(self._always)
        for length, known in self._by_length.items():
            for start in range(len(text) - length + 1):
                positions = known.get(text[start : start + length])
                if positions is not None:
                    found.update(positions)
        return sorted(found)


def linear(pattern: str, any_one: str = ANY) -> str:
    """A regular expression of Python's for one pattern, which never tries a place twice for each `*`.

    any_one: the character class that `*` runs over; each character of the pattern must be in it
    """
    first, *rest = re.sub(r"\*+", "*", pattern).split("*")
    if not rest:
        return _literal(first)
    # Atomic groups: the first place where a middle part fits is as good as any, so matching never backtracks.
    middle = "".join(f"(?>{any_one}*?{_literal(part)})" for part in rest[:-1])
    return f"{_literal(first)}{middle}{any_one}*{_literal(rest[-1])}"


def _literal(part: str) -> str:
    return "".join("." if c == "?" else re.escape(c) for c in part)


def matches_check(patterns: Globs, check_id: str) -> bool:
    """Check ids: `rbac.forbiddenRules` covers `rbac.forbiddenRules[core/secrets]` too."""
    return patterns.match(check_id) or (check_id.endswith("]") and patterns.match(check_id.partition("[")[0]))
