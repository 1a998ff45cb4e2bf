"""Score over time as a drawing: points of the history become coordinates here, the template only draws.

Every number of the drawing is in a table beside it. A run without a score interrupts the line. A run of some
requirements is in the table only: its score is of something else.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import NamedTuple

from pytest_kspec.reports.shared.text import printable
from pytest_kspec.results.identity import labels
from pytest_kspec.results.points import TrendPoint

WIDTH, HEIGHT = 720, 180
SMALL_WIDTH, SMALL_HEIGHT = 120, 28
_SHOWN = 60
"""Rows of the table of one cluster; older points are in the line, and said to be."""


class Dot(NamedTuple):
    """One point: where it is in the drawing, and what it says."""

    x: float
    y: float
    point: TrendPoint


class Series(NamedTuple):
    """One specification on one cluster. lines: `x,y x,y …`, one for each run of points that have a score.

    points: of whole runs, or of all where none is whole; partial: how many others the table has
    """

    name: str
    points: list[TrendPoint]
    lines: list[str]
    dots: list[Dot]
    change: float | None
    shown: list[TrendPoint]
    partial: int
    older: int

    @property
    def first(self) -> TrendPoint:
        """The oldest."""
        return self.points[0]

    @property
    def last(self) -> TrendPoint:
        """The newest."""
        return self.points[-1]


def of(trend: Iterable[TrendPoint]) -> list[Series]:
    """Sorted by cluster and specification; drawn small where there are several."""
    trend = list(trend)
    names = labels((point.cluster_id or point.cluster, point.cluster) for point in trend)
    grouped: dict[tuple[str, str], list[TrendPoint]] = {}
    for point in trend:
        grouped.setdefault((names[point.cluster_id or point.cluster], point.spec), []).append(point)
    specs = {spec for _, spec in grouped}
    width, height = (WIDTH, HEIGHT) if len(grouped) == 1 else (SMALL_WIDTH, SMALL_HEIGHT)
    return [
        _series(
            printable(cluster if len(specs) == 1 else f"{cluster} ({spec})"),
            sorted(points, key=lambda p: (_moment(p.finished_at), p.run)),
            width,
            height,
        )
        for (cluster, spec), points in sorted(grouped.items())
    ]


def _series(name: str, all_of: list[TrendPoint], width: int, height: int) -> Series:
    points = [point for point in all_of if not point.left_out] or all_of
    times = [_moment(point.finished_at) for point in points]
    start, length = times[0], (times[-1] - times[0]) or 1.0
    dots: list[Dot] = []
    lines: list[list[str]] = [[]]
    for point, at in zip(points, times, strict=True):
        if point.score is None:
            lines.append([])
            continue
        dot = Dot(round((at - start) / length * width, 1), round(height * (1 - point.score / 100), 1), point)
        dots.append(dot)
        lines[-1].append(f"{dot.x},{dot.y}")
    first, last = points[0].score, points[-1].score
    change = round(last - first, 1) if len(points) > 1 and first is not None and last is not None else None
    return Series(
        name,
        points,
        [" ".join(line) for line in lines if len(line) > 1],
        dots,
        change,
        shown := all_of[::-1][:_SHOWN],
        len(all_of) - len(points),
        len(all_of) - len(shown),
    )


def _moment(rfc3339: str) -> float:
    at = datetime.fromisoformat(rfc3339)
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
