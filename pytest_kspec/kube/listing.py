"""Sentences that name the first of many things. People read the sentence; programs get all of the names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Self

NAMES_SHOWN = 8


class Listing(str):
    """A sentence, and the names that it shortens."""

    __slots__ = ("names",)

    names: tuple[str, ...]

    def __new__(cls, text: str, names: Iterable[str]) -> Self:
        made = super().__new__(cls, text)
        made.names = tuple(names)
        return made


def few(names: tuple[str, ...] | list[str]) -> str:
    """The first of them, and how many more there are."""
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{', '.join(names[:NAMES_SHOWN])}{more}"
