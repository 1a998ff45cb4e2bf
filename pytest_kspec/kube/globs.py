"""Wildcards as users write them: `*` is any text, `?` is one character, everything else is itself.

`fnmatch` gives square brackets a meaning, but check ids contain them: `podSecurity.standard[privileged]`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

ANY = "."
"""What `*` runs over: any character."""


def is_literal(pattern: str) -> bool:
    """True if it has no wildcard."""
    return "*" not in pattern and "?" not in pattern


class Globs:
    """Several patterns, compiled once. No pattern at all matches everything."""

    __slots__ = ("_literals", "_regex", "matches_all")

    def __init__(self, patterns: Iterable[str]) -> None:
        chosen = list(patterns)
        self.matches_all = not chosen or any(p and not p.strip("*") for p in chosen)
        self._literals = frozenset(filter(is_literal, chosen))
        wild = [] if self.matches_all else [linear(p) for p in dict.fromkeys(chosen) if not is_literal(p)]
        self._regex = re.compile("|".join(wild), re.DOTALL) if wild else None

    def match(self, text: str) -> bool:
        """Whether one of the patterns covers the whole text."""
        if self.matches_all or text in self._literals:
            return True
        return self._regex is not None and self._regex.fullmatch(text) is not None


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
