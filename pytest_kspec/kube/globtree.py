"""Many patterns compared with a text at once: what they begin with alike is compared once.

`pod-*-a-*` and `pod-*-b-*` share their way to the second `*`, which is always at the first place where it fits. A text
costs as many steps as there are beginnings that fit it, and not one for each pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytest_kspec.kube.globs import is_literal, linear


class GlobTree:
    """Patterns, each with the positions that it stands for: bits of a number, of which thousands join at once."""

    def __init__(self, patterns: Iterable[tuple[str, int]]) -> None:
        self._literal: dict[str, int] = {}
        self._by_length: dict[int, dict[str, int]] = {}  # of `?` alone
        self._beginnings: dict[str, _Node] = {}
        self._compiled: dict[str, re.Pattern[str]] = {}
        for pattern, position in patterns:
            bit = 1 << position
            first, *rest = re.sub(r"\*+", "*", pattern).split("*")
            if rest:
                node = self._beginnings.setdefault(first, _Node())
                for part in rest[:-1]:
                    node = node.then.setdefault(part, _Node())
                    node.only_end = False
                node.ends[rest[-1]] = node.ends.get(rest[-1], 0) | bit
                node.only_end = not node.then and list(node.ends) == [""]
            elif is_literal(pattern):
                self._literal[pattern] = self._literal.get(pattern, 0) | bit
            else:
                alike = self._by_length.setdefault(len(pattern), {})
                alike[pattern] = alike.get(pattern, 0) | bit

    def matching(self, text: str) -> int:
        """The positions of all patterns that cover the whole text."""
        found = self._literal.get(text, 0)
        for pattern, positions in self._by_length.get(len(text), {}).items():
            if self._at(text, pattern, 0):
                found |= positions
        open_ones = [
            (node, len(first)) for first, node in self._beginnings.items() if self._at(text, first, 0)
        ]
        while open_ones:
            node, start = open_ones.pop()
            for last, positions in node.ends.items():
                if not last or (
                    len(text) - len(last) >= start and self._at(text, last, len(text) - len(last))
                ):
                    found |= positions
            for part, following in node.then.items():
                place = self._find(text, part, start)
                if place < 0:
                    continue
                if following.only_end:  # most of many
                    found |= following.ends[""]
                else:
                    open_ones.append((following, place + len(part)))
        return found

    def _at(self, text: str, part: str, place: int) -> bool:
        if "?" not in part:
            return text.startswith(part, place)
        return self._regex(part).match(text, place) is not None

    def _find(self, text: str, part: str, start: int) -> int:
        if "?" not in part:
            return text.find(part, start)
        found = self._regex(part).search(text, start)
        return found.start() if found else -1

    def _regex(self, part: str) -> re.Pattern[str]:
        regex = self._compiled.get(part)
        if regex is None:
            regex = self._compiled[part] = re.compile(linear(part), re.DOTALL)
        return regex


class _Node:
    """What may follow a `*`: parts before another one, and the ends of patterns with their positions."""

    __slots__ = ("ends", "only_end", "then")

    def __init__(self) -> None:
        self.then: dict[str, _Node] = {}
        self.ends: dict[str, int] = {}
        self.only_end = False  # whatever comes is covered, and nothing else follows
