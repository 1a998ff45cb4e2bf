"""Values and names as text, in the cells of a terminal."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from pytest_kspec.regexes import regex
from pytest_kspec.shown import printable as printable
from pytest_kspec.shown import printable_lines as printable_lines

if TYPE_CHECKING:
    from pytest_kspec.results.result import ClusterResult

Measure = Callable[[str], float]

_BREAKS = regex(r"[/,\]]|\.(?!\d)|(?=@)")
_AMBIGUOUS = frozenset({"true", "false", "null", "unset", ""})


def value(actual: Any) -> str:
    """A found value: `unset` for None, JSON for data; text quoted where it would read as something else."""
    if actual is None:
        return "unset"
    if isinstance(actual, str):
        return f'"{actual}"' if actual in _AMBIGUOUS or _is_number(actual) else printable(actual)
    try:
        return printable(json.dumps(actual, ensure_ascii=False, sort_keys=True, default=str))
    except (TypeError, ValueError):  # keys of several types, or data that holds itself
        return printable(repr(actual))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def plural(count: int, noun: str, nouns: str = "") -> str:
    """`1 finding`, `12 findings`, `1,200 findings`."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def told_apart(requirements: Iterable[tuple[str, str]]) -> list[str]:
    """Titles of requirements, of (title, id). Where several have one title, the parameters of the id follow it:
    `Forbidden access is not granted to anyone [core/secrets]`.
    """
    named = [(title or check, check) for title, check in requirements]
    ids: dict[str, set[str]] = {}
    for title, check in named:
        ids.setdefault(title, set()).add(check)
    return [
        title
        if len(ids[title]) == 1
        else f"{title} {check[check.index('[') :] if '[' in check else f'({check})'}"
        for title, check in named
    ]


def baseline_notes(cluster: ClusterResult, limit: int | None = None) -> list[str]:
    """A line if the baseline was made for something else, and one for each entry that is fixed, at most `limit`."""
    use = cluster.baseline
    if use is None:
        return []
    if not use.covered:
        return [
            f"the baseline {use.path} was not made from cluster {cluster.name} and specification "
            f"{cluster.spec_name}: every finding is new"
        ]
    lines = [f"fixed, but still in the baseline {use.path}: {f.check}: {f.what}" for f in use.fixed[:limit]]
    more = len(use.fixed) - len(lines)
    return [*lines, f"and {more:,} more fixed entries in the baseline"] if more else lines


def width_of(text: str) -> int:
    """Terminal cells: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text
    )


def padded(text: str, width: int) -> str:
    """The text with spaces behind it, as wide as so many cells."""
    return text + " " * max(0, width - width_of(text))


def elide(text: str, width: int, mark: str = "…") -> str:
    """The text in at most `width` cells; what is too much is taken from its middle."""
    if width_of(text) <= width:
        return text
    room = max(width - len(mark), 0)
    head, tail = _head(text, room - room // 2), _head(text[::-1], room // 2)[::-1]
    return f"{head}{mark}{tail}"[: max(width, 0)] if text.isascii() else f"{head}{mark}{tail}"


def _head(text: str, width: float, measure: Measure = width_of) -> str:
    used = 0.0
    for index, char in enumerate(text):
        used += measure(char)
        if used > width:
            return text[:index]
    return text


def fold(text: str, width: float, lines: int = 4, mark: str = "…", measure: Measure = width_of) -> list[str]:
    """The text in lines of at most `width` cells, broken at spaces, else after `. / , ]` or before
    `@`, but not in a version such as 1.37, else anywhere.

    At most `lines` lines; the last one says with `mark` that there was more. measure: the width of a text, where it
    is not in cells; it must be that of its characters together.
    """
    width = max(width, 8)
    result: list[str] = []
    rest = text.strip()
    while rest and measure(rest) > width:
        if len(result) == lines - 1:
            # What is said at the end is lost, and seen to be; a cut in the middle reads as another text.
            head = _head(rest, width - measure(mark), measure)
            space = head.rfind(" ")
            result.append((head[:space] if space > len(head) // 3 else head).rstrip() + mark)
            return result
        head = _head(rest, width, measure)
        cut = head.rfind(" ") if rest[len(head)] != " " else len(head)
        if cut < len(head) // 3:
            ends = (part.end() for part in _BREAKS.finditer(rest[: len(head) + 1]))
            cut = max((end for end in ends if end <= len(head)), default=0)
        if cut < len(head) // 3:
            cut = len(head)
        result.append(rest[:cut].rstrip())
        rest = rest[cut:].lstrip()
    if rest or not result:
        result.append(rest)
    return result
