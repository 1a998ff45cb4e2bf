"""A change of many clusters: a tenth of them first, then the others, until one fails.

What is done stays done, and what is so already is left out: the same change again goes on where it stopped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from pytest_kspec.errors import KspecError

T = TypeVar("T")
FIRST = 0.1
"""Part of the clusters that is changed in each wave; at least one."""


class Done(NamedTuple):
    """One cluster. problem: why it was not changed; None: it was."""

    name: str
    wave: int
    problem: KspecError | None


def waves(items: Sequence[T], part: float = FIRST) -> list[Sequence[T]]:
    """In equal waves of this part, the last of which may be smaller."""
    size = max(1, math.ceil(len(items) * part))
    return [items[start : start + size] for start in range(0, len(items), size)]


def roll_out(items: Sequence[T], name: Callable[[T], str], change: Callable[[T], None]) -> Iterator[Done]:
    """Change wave after wave; each cluster as it is done. After a wave in which one failed there is no other."""
    for number, wave in enumerate(waves(items), 1):
        failed = False
        for item in wave:
            try:
                change(item)
            except KspecError as error:
                failed = True
                yield Done(name(item), number, error)
            else:
                yield Done(name(item), number, None)
        if failed:
            return
