"""The report on a run over a fleet, for a terminal: what could not be scanned first, everything bounded."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import TypeVar

from pytest_kspec.fleet.report import FleetReport, Sums
from pytest_kspec.reports.shared.text import fold, padded, plural, width_of
from pytest_kspec.results.outcome import Outcome
from pytest_kspec.shown import printable
from pytest_kspec.storage.fleetpages import FleetRow

Style = Callable[..., str]
SHOWN = 10
"""Lines of each part; the JSON report has all."""
MISSING = 50
LINES = 4
_FIRST_COLUMN = re.compile(r" *\S+ {2,}")
_T = TypeVar("_T")


def lines(report: FleetReport, width: int, style: Style) -> Iterator[str]:
    """The report in this width."""
    sums = report.sums
    run = report.run
    head = f"run {run.id} · {_minute(run.created_at)} · {plural(sums.clusters, 'cluster')}"
    yield from (style(part, "bold") for part in _fit(head, width))
    same = sum(row.outcome == Outcome.DUPLICATE for row in report.rows)
    also = f" ({plural(same, 'other name')} of them)" if same else ""
    yield from _fit(
        f"score {_score(sums.score)} · {sums.scanned} of {plural(sums.clusters, 'cluster')} scanned{also} · "
        f"{sums.evaluated_percent:.1f} % of the requirements evaluated · {plural(sums.findings, 'finding')}",
        width,
    )
    for title, part in (
        ("could not be scanned", _missing(report.missing)),
        ("groups", _groups(report)),
        ("frameworks", _frameworks(report)),
        ("requirements that are not met", _requirements(report)),
        ("clusters, the lowest score first", _worst(report)),
        (f"changes since {_minute(report.since)}", _changes(report)),
        ("exemptions that end this month", _ending(report)),
    ):
        found = list(part)
        if found:
            yield ""
            yield style(title, "bold")
            for line in found:
                yield from (f"  {part}" for part in _fit(line, width - 2))


def status_lines(report: FleetReport, width: int) -> Iterator[str]:
    """Each cluster of a run in a line."""
    names = max((width_of(printable(row.name)) for row in report.rows), default=0)
    for row in report.rows:
        what = row.outcome or "waiting"
        more = (
            _why(row).removeprefix(": ").lstrip()
            if row.reason
            else f"score {_score(row.score)}, {row.seconds:.1f} s"
            if row.outcome
            else ""
        )
        before = f"{padded(printable(row.name), names)}  {what:<11}  {row.spec}  "
        yield from _fit(f"{before}{more}".rstrip(), width, width_of(printable(before)))


def _missing(rows: Sequence[FleetRow]) -> Iterator[str]:
    by_name = [list(some) for _, some in groupby(rows, key=lambda row: row.name)]
    for some in by_name[:MISSING]:
        row = some[0]
        yield f"{row.name}: {row.outcome or 'no outcome yet'}{_why(row)}"
    yield from _more(len(by_name) - MISSING, "cluster")


def _why(row: FleetRow) -> str:
    """` since 2026-11-22 10:00, last scanned 2026-11-22 09:45: reason`."""
    since = f" since {_minute(row.since)}" if row.since else ""
    last = f", last scanned {_minute(row.last_scanned)}" if row.last_scanned else ""
    never = ", never scanned" if row.since and not row.last_scanned else ""
    return f"{since}{last}{never}{f': {row.reason}' if row.reason else ''}"


def _groups(report: FleetReport) -> Iterator[str]:
    widest = max(map(width_of, report.groups), default=0)
    for label, sums in report.groups.items():
        yield f"{padded(label, widest)}  {_of(sums)}"


def _of(sums: Sums) -> str:
    return f"{_score(sums.score):>5}  {sums.scanned} of {sums.clusters} scanned  {plural(sums.findings, 'finding')}"


def _frameworks(report: FleetReport) -> Iterator[str]:
    for row in report.frameworks:
        summary = row.summary
        coverage = f"{summary.coverage:.1f} % of the controls evaluated"
        yield f"{_score(summary.score):>5}  {row.name} {row.version}  {coverage}"


def _requirements(report: FleetReport) -> Iterator[str]:
    for row in _first(report.worst_requirements):
        errors = f", not evaluated on {row.errors}" if row.errors else ""
        failed = f"fails on {plural(row.failed, 'cluster')}" if row.failed else "fails on none"
        yield f"{row.severity:<8}  {row.check} ({row.spec}): {failed}{errors}, {plural(row.findings, 'finding')}"
    yield from _more(len(report.worst_requirements) - SHOWN, "requirement")


def _worst(report: FleetReport) -> Iterator[str]:
    for row in _first(report.worst):
        moved = ""
        if row.before is not None and row.before != row.score:
            moved = f" (before {row.before:.1f})"
        yield f"{_score(row.score):>5}  {row.name} ({row.spec}): {plural(row.findings, 'finding')}{moved}"
    yield from _more(len(report.worst) - SHOWN, "cluster")


def _changes(report: FleetReport) -> Iterator[str]:
    if report.moved.new or report.moved.fixed:
        yield f"{plural(report.moved.new, 'new finding')}, {report.moved.fixed} fixed"
    for row in _first(report.changed):
        names = ", ".join(row.clusters[:3]) + (
            f" and {len(row.clusters) - 3} more" if row.clusters[3:] else ""
        )
        yield f"{row.check} ({row.spec}): {row.before} → {row.now} on {names}"
    yield from _more(len(report.changed) - SHOWN, "change")


def _ending(report: FleetReport) -> Iterator[str]:
    for row in _first(report.ending):
        matched = plural(row.matched, "finding")
        on = plural(len(row.clusters) - row.not_scanned, "cluster")
        left = f"; {row.not_scanned} could not be scanned" if row.not_scanned else ""
        yield f"{row.expires_at}  {row.name}: {matched} on {on}{left}"
    yield from _more(len(report.ending) - SHOWN, "exemption")


def _fit(line: str, width: int, column: int | None = None) -> list[str]:
    """A line, or as many as it takes up to LINES, so that what is said at the end can be read.

    column: where the others begin, if this leaves half of the width; None: below the first column
    """
    line = printable(line)
    if width_of(line) <= width:
        return [line]
    if column is None:
        first = _FIRST_COLUMN.match(line)
        column = len(first[0]) if first else 2
    hang = min(column, width // 2)
    said = line.lstrip()
    indent = line[: len(line) - len(said)]
    head = fold(said, width - len(indent), 2)[0]
    rest = fold(said[len(head) :], width - hang, LINES - 1)
    return [indent + head, *(" " * hang + part for part in rest)]


def _first(found: Sequence[_T]) -> Iterable[_T]:
    return found[:SHOWN]


def _more(count: int, noun: str) -> Iterator[str]:
    if count > 0:
        yield f"… {plural(count, f'more {noun}', f'more {noun}s')}: -o json has all"


def _score(score: float | None) -> str:
    return "none" if score is None else f"{score:.1f}"


def _minute(rfc3339: str) -> str:
    return f"{rfc3339[:10]} {rfc3339[11:16]}"
