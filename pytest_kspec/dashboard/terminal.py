"""The fleet as text: what `kspec dashboard` prints, once or again and again, and its JSON.

A state is a mark and a word; colours only repeat it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from pytest_kspec.reports.shared.text import elide, plural, printable, told_apart, width_of
from pytest_kspec.reports.shared.words import STATES
from pytest_kspec.reports.terminal_parts import ASCII, UNICODE
from pytest_kspec.results.identity import labels
from pytest_kspec.storage import lasting, listing
from pytest_kspec.storage.cut import Cut
from pytest_kspec.storage.engine import Store
from pytest_kspec.storage.rows import DriftRow, Listed, RequirementTotals, Standing
from pytest_kspec.storage.visible import ALL

MOST = 5_000
"""Results that are shown; more are counted."""
_WORST = Cut(1, 5)
MARKS = {"error": UNICODE.error, "fail": UNICODE.fail, "known": "~", "pass": UNICODE.passed, "skip": "-"}
COLOURS = {"error": "yellow", "fail": "red", "known": "cyan", "pass": "green", "skip": ""}
HEADS = ("CLUSTER", "SPEC", "STATE", "SCORE", "ERRORS", "FAILED", "PASSED", "FINDINGS", "SCANNED (UTC)")
DRIFT_HEADS = ("SEVERITY", "CLUSTER", "OBJECT", "KIND", "WHAT", "SINCE (UTC)")
_NUMBERS = range(3, 8)
_GAP = 2
_LEAST = 8
"""Cells of a name, whatever else is shown."""
Style = Callable[..., str]
_PLAIN = str.maketrans({UNICODE.fail: ASCII.fail, UNICODE.passed: ASCII.passed, "…": "~", "·": ASCII.dot})


def encodable(text: str, encoding: str) -> str:
    """The text as a stream of this encoding can show it."""
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return text.translate(_PLAIN).encode(encoding, "backslashreplace").decode(encoding)
    return text


class Fleet(NamedTuple):
    """What is shown of one moment. worst: requirements that fail on most clusters. drift: differences that are present,
    the most severe of them; its counts by state are empty where none was ever stored.
    """

    clusters: int
    found: Listed[Standing]
    worst: tuple[RequirementTotals, ...]
    drift: Listed[DriftRow]


def look(store: Store, spec: str) -> Fleet:
    """spec: name of a specification, "" for all. Raises StoreError."""
    found = listing.standings(store, spec=spec, cut=Cut(1, MOST))
    worst = listing.requirements(store, spec=spec, cut=_WORST).rows
    return Fleet(
        listing.visible_clusters(store, ALL) if not spec else len({row.cluster_id for row in found.rows}),
        found,
        tuple(row for row in worst if row.failed or row.errors),
        lasting.drift(store, spec=spec, state="present", cut=_WORST),
    )


def wire(fleet: Fleet) -> dict[str, Any]:
    """Plain data, keys as in the API."""
    return {
        "apiVersion": "kspec.io/v1",
        "kind": "Dashboard",
        "clusters": fleet.clusters,
        "total": fleet.found.total,
        "counts": {state: fleet.found.counts.get(state, 0) for state in STATES},
        "results": msgspec.to_builtins(fleet.found.rows),
        "worstRequirements": msgspec.to_builtins(fleet.worst),
        "drift": {
            "present": fleet.drift.counts.get("present", 0),
            "cleared": fleet.drift.counts.get("cleared", 0),
            "worst": msgspec.to_builtins(fleet.drift.rows),
        },
    }


def summary(fleet: Fleet) -> str:
    """`51 clusters, 51 results: 6 not fully evaluated, 36 not compliant, 9 compliant`."""
    counts = fleet.found.counts
    said = [f"{counts[state]:,} {STATES[state].lower()}" for state in MARKS if counts.get(state)]
    head = f"{plural(fleet.clusters, 'cluster')}, {plural(fleet.found.total, 'result')}"
    text = f"{head}: {', '.join(said)}" if said else head
    return f"{text}; {plural(present, 'drift difference')}" if (present := drifted(fleet)) else text


def drifted(fleet: Fleet) -> int:
    """How many differences are present."""
    return fleet.drift.counts.get("present", 0)


def drift_cells(rows: Iterable[DriftRow]) -> list[tuple[str, ...]]:
    """The texts of each difference, as DRIFT_HEADS names them."""
    return [
        (
            printable(row.severity),
            printable(row.cluster),
            printable(row.object),
            printable(row.drift_kind),
            printable(row.message),
            minute(row.first_seen),
        )
        for row in rows
    ]


def cells(rows: Iterable[Standing]) -> list[tuple[str, ...]]:
    """The texts of each row, as HEADS names them."""
    rows = list(rows)
    names = labels((row.cluster_id, row.cluster) for row in rows)
    return [
        (
            printable(names[row.cluster_id]),
            printable(row.spec),
            f"{MARKS[row.state]} {standing(row)}",
            "-" if row.score is None else f"{row.score:.1f}",
            f"{row.errors:,}",
            f"{row.failed:,}",
            f"{row.passed:,}",
            f"{row.findings:,}",
            minute(row.finished_at),
        )
        for row in rows
    ]


def fitted(rows: list[tuple[str, ...]], width: int, padding: int) -> list[tuple[str, ...]]:
    """Rows of `cells` with names that leave room for the state, the score and the first numbers. padding: of a cell."""
    widths = [max(map(width_of, column)) + padding for column in zip(HEADS, *rows, strict=True)]
    room = max(2 * _LEAST, width - sum(widths[2:6]) - 2 * padding)
    spec = min(widths[1] - padding, max(room // 2, room - (widths[0] - padding)))
    return [(elide(row[0], room - spec), elide(row[1], spec), *row[2:]) for row in rows]


def standing(row: Standing) -> str:
    """The state in words."""
    both = row.failed and row.errors
    said = "Not compliant, errors" if both else STATES[row.state]
    return f"{said} ({row.selected} of {row.selected + row.left_out})" if row.left_out else said


def minute(rfc3339: str) -> str:
    """`2026-11-24 06:00`."""
    return f"{rfc3339[:10]} {rfc3339[11:16]}"


def lines(fleet: Fleet, width: int, style: Style, source: str = "") -> list[str]:
    """At most `width` cells each. style(text, *names): with colours, where they are shown. source: what was read."""
    said = [style(elide(summary(fleet), width), "bold"), ""]
    if not fleet.found.rows:
        where = f"No results yet: {printable(source)}." if source else "No results yet."
        return [*said[:1], where, *_drift_lines(fleet, width, style)]
    rows = cells(fleet.found.rows)
    shown = _columns(width, several=len({row.spec for row in fleet.found.rows}) > 1)
    # In the order in which they are given up where there is no room: names are cut, the others are not.
    widths = [max(map(width_of, column)) for column in zip(HEADS, *rows, strict=True)]
    room = width - sum(widths[n] + _GAP for n in shown if n > 1)
    spec = min(widths[1], max(_LEAST, room // 3)) if 1 in shown else 0
    widths[1] = spec
    widths[0] = max(_LEAST, min(widths[0], room - (spec + _GAP if spec else 0)))
    said.append(style(_line(HEADS, widths, shown), "bold"))
    for standing_, row in zip(fleet.found.rows, rows, strict=True):
        colour = COLOURS[standing_.state]
        said.append(_line(row, widths, shown, lambda text, c=colour: style(text, c) if c else text))  # type: ignore[misc]
    left = fleet.found.total - len(rows)
    if left:
        said.append(f"and {left:,} more")
    if fleet.worst:
        said += ["", style("Requirements that fail on most clusters", "bold")]
        titles = told_apart((one.title, one.check) for one in fleet.worst)
        for one, title in zip(fleet.worst, titles, strict=True):
            counts = f"{one.failed:,} failed" + (f", {plural(one.errors, 'error')}" if one.errors else "")
            head = f"{one.severity:<8}  "
            said.append(head + elide(f"{printable(title)}: {counts}", max(20, width - len(head))))
    return said + _drift_lines(fleet, width, style)


def _drift_lines(fleet: Fleet, width: int, style: Style) -> list[str]:
    """Nothing where no look for drift is in the store."""
    if not fleet.drift.counts:
        return []
    if not (present := drifted(fleet)):
        return ["", "There is no drift."]
    said = ["", style("Drift", "bold")]
    for row, one in zip(fleet.drift.rows, drift_cells(fleet.drift.rows), strict=True):
        head = f"{one[0]:<8}  "
        where = f"{one[2] or one[4]} ({one[3] or printable(row.type)}) on {one[1]}"
        said.append(head + elide(where, max(20, width - len(head))))
    left = present - len(fleet.drift.rows)
    return [*said, f"and {left:,} more"] if left else said


def _columns(width: int, several: bool) -> list[int]:
    """Places of the columns that are shown: a narrow terminal has the most telling ones. several: specifications."""
    if width >= 118:
        return list(range(len(HEADS)))
    if width >= 96:
        return [0, *([1] if several else []), 2, 3, 5, *([] if several else [4, 7]), 8]
    return [0, 1, 2, 3, 5] if several else [0, 2, 3, 5, 8]


def _line(
    row: tuple[str, ...], widths: list[int], shown: list[int], state: Callable[[str], str] = lambda text: text
) -> str:
    parts = []
    for place in shown:
        text = elide(row[place], widths[place])
        blank = " " * (widths[place] - width_of(text))
        parts.append(blank + text if place in _NUMBERS else (state(text) if place == 2 else text) + blank)
    return (" " * _GAP).join(parts).rstrip()


def aged(as_of: datetime, problem: str) -> str:
    """The line that says that the data is not current."""
    return f"Not the current state: {printable(problem)} Read at {as_of:%Y-%m-%d %H:%M:%S} UTC."
