"""What pytest writes to its terminal, on its way: colours are its own, everything else is text."""

from __future__ import annotations

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


def guard(reporter: Any) -> None:
    """Put it between pytest's terminal reporter and its file."""
    writer = reporter._tw
    if not isinstance(writer._file, Screen):
        writer._file = Screen(writer._file, colours=writer.hasmarkup)
