"""The framework view of the HTML page: control → checks → findings → exemptions, for one cluster or many.

For many clusters a control is counted once, by its worst status. It says on how many it has which, and where it is
worst; the matrix of every control on every cluster is drawn by the script from one letter a cell.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from pytest_kspec.reports.html.rows import Entry, Row
from pytest_kspec.reports.shared import fleet, words
from pytest_kspec.reports.shared.text import printable
from pytest_kspec.reports.shared.titles import unique
from pytest_kspec.results.frameworks import ControlResult, ControlStatus, FrameworkResult, FrameworkSummary
from pytest_kspec.results.order import WORST_VERDICTS_FIRST, verdict_rank

LETTERS = {
    ControlStatus.MET: "m",
    ControlStatus.PARTLY_MET: "p",
    ControlStatus.NOT_MET: "n",
    ControlStatus.NOT_EVALUATED: "e",
    ControlStatus.MANUAL: "h",
}
NOT_ASKED = "."
"""In the matrix: the framework says nothing of this control on this cluster."""
_LINKS = 3


class Answer(NamedTuple):
    """One check that answers a control. where: up to three (cluster, entry), the worst; verdicts: how often."""

    id: str
    title: str
    where: list[tuple[str, Entry]]
    verdicts: dict[str, int]


class Control(NamedTuple):
    """One control over all clusters of a framework.

    status: the worst on any cluster; counts: on how many clusters it has which status; reasons: (reason, on how many)
    """

    id: str
    title: str
    anchor: str
    status: str
    counts: dict[str, int]
    answers: list[Answer]
    reasons: list[tuple[str, int]]
    remaining: list[str]


class View(NamedTuple):
    """One framework. results: of each cluster that asks for it, in the order of the page."""

    first: FrameworkResult
    anchor: str
    name: str
    results: list[tuple[Row, FrameworkResult, FrameworkSummary]]
    controls: list[Control]
    parts: list[tuple[str, str, int]]
    score: str
    coverage: str

    def matrix(self) -> dict[str, Any]:
        """Rows, columns and letters, for the script."""
        columns = [
            {control.id: LETTERS[control.status] for control in result.controls}
            for _, result, _ in self.results
        ]
        return {
            "id": self.anchor,
            "columns": [row.anchor for row, _, _ in self.results],
            "rows": [
                [
                    printable(control.id),
                    printable(control.title),
                    "".join(column.get(control.id, NOT_ASKED) for column in columns),
                    [printable("_".join(answer.id.split())) for answer in control.answers],
                ]
                for control in self.controls
            ],
        }


def of(rows: list[Row]) -> list[View]:
    """By name and version."""
    found: dict[tuple[str, str, str], list[tuple[Row, FrameworkResult]]] = {}
    for row in rows:
        for framework in row.cluster.frameworks:
            found.setdefault((framework.id, framework.name, framework.version), []).append((row, framework))
    keys = sorted(found)
    anchors = unique("_".join(f"framework//{key[0]}".split()) for key in keys)
    return [_view(found[key], anchor.replace(" ", "_")) for key, anchor in zip(keys, anchors, strict=True)]


def _view(results: list[tuple[Row, FrameworkResult]], anchor: str) -> View:
    first = results[0][1]
    counted = [(row, framework, framework.summary) for row, framework in results]
    by_control: dict[str, list[tuple[Row, ControlResult]]] = {}
    for row, framework in results:
        for control in framework.controls:
            by_control.setdefault(control.id, []).append((row, control))
    anchors = unique(f"{anchor}/{'_'.join(control.split())}" for control in by_control)
    controls = [
        _control(found, name.replace(" ", "_"))
        for found, name in zip(by_control.values(), anchors, strict=True)
    ]
    total = Counter(control.status for control in controls)
    return View(
        first=first,
        anchor=anchor,
        name=f"{first.name} {first.version}".strip(),
        results=counted,
        controls=controls,
        parts=[(s.value, words.CONTROLS[s], total[s.value]) for s in ControlStatus],
        score=fleet.spread([summary.score for _, _, summary in counted]),
        coverage=fleet.spread([summary.coverage for _, _, summary in counted]),
    )


def _control(found: list[tuple[Row, ControlResult]], anchor: str) -> Control:
    first = found[0][1]
    statuses = Counter(control.status for _, control in found)
    reasons = Counter(control.reason for _, control in found if control.reason)
    remaining = sorted({control.remaining for _, control in found if control.remaining})
    answers: dict[str, list[tuple[Row, Entry | None]]] = {}
    for row, control in found:
        for check in control.checks:
            answers.setdefault(check, []).append((row, row.by_id.get(check)))
    return Control(
        id=first.id,
        title=first.title,
        anchor=anchor,
        status=fleet.worst(statuses).value,
        counts={status.value: statuses[status] for status in ControlStatus},
        answers=[_answer(check, where) for check, where in sorted(answers.items())],
        reasons=sorted(reasons.items(), key=lambda item: (-item[1], item[0])),
        remaining=remaining,
    )


def _answer(check: str, where: list[tuple[Row, Entry | None]]) -> Answer:
    there = [(row, entry) for row, entry in where if entry is not None]
    there.sort(key=lambda item: (verdict_rank(item[1].check.verdict), item[0].title))
    verdicts = Counter(entry.check.verdict for _, entry in there)
    return Answer(
        id=check,
        title=there[0][1].check.title if there else "",
        where=[(row.name, entry) for row, entry in there[:_LINKS]],
        verdicts={verdict.value: verdicts[verdict] for verdict in WORST_VERDICTS_FIRST if verdicts[verdict]},
    )
