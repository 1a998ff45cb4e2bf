"""What pytest writes to its terminal, on its way: colours are its own, everything else is text."""

from __future__ import annotations

import io
from typing import Any, TextIO

from pytest_kspec.shown import Inert


class Screen:
    """A text file whose lines hold no commands, whoever wrote them: reports, captured output, warnings, node ids."""

    def __init__(self, file: TextIO, *, colours: bool) -> None:
        self._file = file
        self._inert = Inert(colours=colours, anew=True)

    def write(self, text: str) -> int:
        """Write a part of a line, or lines."""
        self._file.write(self._inert.take(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _Nowhere(io.TextIOBase):
    """A file without a descriptor: a check cannot close it below pytest."""

    def write(self, text: str) -> int:
        return len(text)


def guard(reporter: Any, *, unread: bool = False) -> None:
    """Put it between pytest's terminal reporter and its file. unread: below pytest-xdist, where nobody sees it."""
    writer = reporter._tw
    if unread:
        writer._file = _Nowhere()
        return
    if not isinstance(writer._file, Screen):
        writer._file = Screen(writer._file, colours=writer.hasmarkup)
