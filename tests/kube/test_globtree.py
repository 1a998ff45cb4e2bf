"""A tree of patterns finds what comparing each would find, and compares what they share once."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import permutations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pytest_kspec.kube.globs import Globs
from pytest_kspec.kube.globtree import GlobTree


def bits(positions: Iterable[int]) -> int:
    return sum(1 << position for position in positions)


patterns = st.text("ab\n*?", min_size=1, max_size=8)


@given(st.lists(patterns, max_size=12), st.text("ab\n", max_size=8))
@example(["a*a"], "a")
@example(["*", "**", "?*", "*?"], "")
@example(["*a?*b", "?a", "a?"], "aab")
def test_a_tree_finds_what_each_pattern_covers(some: list[str], text: str) -> None:
    tree = GlobTree((pattern, number) for number, pattern in enumerate(some))
    assert tree.matching(text) == bits(n for n, pattern in enumerate(some) if Globs([pattern]).match(text))


def test_what_patterns_share_is_looked_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_for: list[str] = []
    plain = GlobTree._find

    def find(self: GlobTree, text: str, part: str, start: int) -> int:
        looked_for.append(part)
        return plain(self, text, part, start)

    monkeypatch.setattr(GlobTree, "_find", find)
    orders: list[tuple[str, ...]] = list(permutations("abcdefgh", 5))
    tree = GlobTree(("*" + "*".join(order) + "*", number) for number, order in enumerate(orders))
    assert tree.matching("hgfedcba") == bits(n for n, o in enumerate(orders) if list(o) == sorted(o)[::-1])
    assert len(looked_for) < len(orders) // 4
