"""PDF for those who decide: at most MOST_PAGES pages, whatever the number of clusters and findings.

What could not be looked at comes first, then the clusters, the frameworks, and what is not met on most of them. Each
table has room that it keeps to, and says what it leaves out; `pdf_full` goes on with every requirement and finding.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from pytest_kspec.reports.pdf.page import INK, MUTED, Cell, Colour, Column, Pages
from pytest_kspec.reports.shared import fleet, words
from pytest_kspec.reports.shared.text import plural
from pytest_kspec.results.evidence import ExemptionUse
from pytest_kspec.results.frameworks import ControlStatus
from pytest_kspec.results.order import WORST_SEVERITIES_FIRST
from pytest_kspec.results.result import ClusterResult, ScanResult
from pytest_kspec.results.totals import Totals
from pytest_kspec.results.verdict import Severity

MOST_PAGES = 10
# The last page that each part may go on to. Headings and paragraphs behind a part need less than what is left.
_UNSEEN_PAGE, _CLUSTERS_PAGE, _FRAMEWORKS_PAGE, _COMMON_PAGE = 2, 5, 6, 9
_RED, _PURPLE, _GREEN, _AMBER = (161, 26, 20), (91, 33, 182), (7, 84, 63), (133, 80, 0)
STATES: dict[str, Colour] = {"fail": _RED, "error": _PURPLE, "pass": _GREEN, "known": _AMBER, "skip": MUTED}
SEVERITIES: dict[Severity, Colour] = {
    Severity.CRITICAL: _RED,
    Severity.HIGH: _RED,
    Severity.MEDIUM: _AMBER,
    Severity.LOW: INK,
}
CONTROLS = {
    ControlStatus.MET: _GREEN,
    ControlStatus.PARTLY_MET: _AMBER,
    ControlStatus.NOT_MET: _RED,
    ControlStatus.NOT_EVALUATED: _PURPLE,
    ControlStatus.MANUAL: MUTED,
}
_SIGNS = {"fail": "×", "error": "!", "pass": "+", "known": "+", "skip": "–"}
Named = tuple[str, ClusterResult]


def render(result: ScanResult) -> bytes:
    """The file. `result` is in canonical order; the creation date is when the run ended."""
    pages = begin(result)
    overview(pages, result)
    return pages.output()


def begin(result: ScanResult) -> Pages:
    """The empty document."""
    return Pages(
        f"Kubernetes compliance report, {words.moment(result.finished_at)}",
        result.run_by or "pytest-kspec",
        f"pytest-kspec {result.tool_version}",
        _created(result.finished_at),
    )


def _created(rfc3339: str) -> datetime:
    try:
        at = datetime.fromisoformat(rfc3339)
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=UTC)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def in_order(result: ScanResult) -> list[Named]:
    """Clusters with their names, in the order to read them in."""
    named = zip(fleet.names(result), result.clusters, strict=True)
    return sorted(named, key=lambda one: fleet.rank(one[1].summary, one[0]))


def overview(pages: Pages, result: ScanResult, anchors: Sequence[Any] = ()) -> None:
    """At most MOST_PAGES pages. anchors: where each cluster is told of, in the order of `in_order`."""
    clusters = in_order(result)
    _first(pages, result)
    _unseen(pages, clusters)
    _clusters(pages, clusters, anchors or [None] * len(clusters))
    _frameworks(pages, result)
    _common(pages, clusters)
    _exemptions(pages, clusters)
    pages.paragraph(
        "Score: the weight of the requirements that are met, divided by the weight of all that apply (critical 8, high "
        "4, medium 2, low 1). Requirements that could not be evaluated count as not met, skipped requirements do not "
        "count. A score means little if few requirements were evaluated: it is shown with their number.",
        size=8,
        colour=MUTED,
    )


def _first(pages: Pages, result: ScanResult) -> None:
    summary, totals = result.summary, Totals.of_result(result)
    state = STATES[words.overall(summary)]
    pages.paragraph("Kubernetes compliance report", size=10, colour=MUTED)
    pages.heading(words.headline(result), 1, colour=state)
    pages.paragraph(words.sentence(summary), size=10)
    pages.gap(2)
    specs = sorted({f"{c.spec_name} {c.spec_version}".strip() for c in result.clusters})
    pages.facts(
        [
            ("Specification", ", ".join(specs)),
            ("Clusters", f"{len(words.by_cluster(result)):,}"),
            ("Recorded", words.recordings(result)),
            ("Scanned", f"{words.moment(result.started_at)} to {words.moment(result.finished_at)}"),
            ("Run by", result.run_by or "not known"),
            ("Made with", f"pytest-kspec {result.tool_version}"),
        ],
        size=9,
    )
    pages.tiles(
        [
            (words.score(summary), "score of 100", state),
            (f"{summary.errors:,}", "could not be evaluated", _PURPLE),
            (f"{summary.failed:,}", "failed", _RED),
            (f"{summary.passed:,}", "passed", _GREEN),
            (f"{summary.skipped:,}", "skipped", MUTED),
        ]
    )
    pages.paragraph(f"{words.coverage(summary)} requirements that apply were evaluated.", size=8.5)
    pages.heading("Findings by severity", 2, bookmark=False)
    columns = [
        Column("", 36),
        *(Column(s.value, 24, "R") for s in WORST_SEVERITIES_FIRST),
        Column("all", 24, "R"),
    ]
    rows = [
        [
            Cell(word, "B"),
            *(Cell(f"{totals.findings[status][s]:,}") for s in WORST_SEVERITIES_FIRST),
            Cell(f"{totals.count(status):,}", "B"),
        ]
        for status, word in words.STATUSES.items()
    ]
    pages.table(columns, rows)
    pages.paragraph(
        "An open finding causes a failure. A known finding is in the baseline of the run; an "
        "exempted finding is covered by an exemption of the specification. "
        "One finding stands for all pods of its owner.",
        size=8,
        colour=MUTED,
    )


_UNSEEN = [
    Column("why", 96, lines=6),
    Column("requirements", 24, "R"),
    Column("clusters", 60, lines=4),
]


def _unseen(pages: Pages, clusters: Sequence[Named]) -> None:
    """What could not be looked at, before anything is compared."""
    unclear = [one for one in clusters if one[1].summary.errors]
    if not unclear:
        return
    pages.heading("What could not be evaluated", 2)
    pages.paragraph(
        f"{plural(len(unclear), 'result')} of {len(clusters):,} "
        f"{'is' if len(unclear) == 1 else 'are'} not complete. Nothing is known about a cluster that could not be "
        "read: it is listed above the others, without a rank. Follow each reason, for example by granting the access "
        "that it names, and scan again.",
        size=8.5,
    )
    rows = (
        [Cell(one.text), Cell(f"{one.requirements:,}"), Cell(fleet.listed(one.clusters))]
        for one in fleet.reasons(unclear)
    )
    _table(pages, _UNSEEN, list(rows), _UNSEEN_PAGE, "more reason")


_CLUSTERS = [
    Column("", 5),
    Column("cluster", 42, lines=2),
    Column("specification", 30, lines=2),
    Column("looked at", 38, lines=2),
    Column("score", 12, "R"),
    Column("evaluated", 17, "R"),
    Column("failed", 12, "R"),
    Column("passed", 12, "R"),
    Column("findings", 12, "R"),
]


def _clusters(pages: Pages, clusters: Sequence[Named], anchors: Sequence[Any]) -> None:
    if not clusters:
        return
    pages.heading("Clusters", 2)
    rows = (_cluster_row(*one, anchor) for one, anchor in zip(clusters, anchors, strict=True))
    _table(pages, _CLUSTERS, rows, _CLUSTERS_PAGE, "more cluster")


def _cluster_row(name: str, cluster: ClusterResult, anchor: Any) -> list[Cell]:
    summary, state = cluster.summary, words.state(cluster.summary)
    found = sum(len(check.open_findings) for check in cluster.checks)
    return [
        Cell(_SIGNS[state], "B", STATES[state]),
        Cell(name, "B", link=anchor),
        Cell(f"{cluster.spec_name} {cluster.spec_version}".strip()),
        Cell(words.looked_at(cluster)),
        Cell(words.score(summary), "B", STATES[state]),
        Cell(words.coverage(summary), "B" if summary.errors else "", _PURPLE if summary.errors else INK),
        *(Cell(f"{count:,}") for count in (summary.failed, summary.passed, found)),
    ]


_FRAMEWORKS = [
    Column("framework", 50, lines=3),
    Column("score", 30, "R", lines=2),
    Column("coverage in %", 30, "R", lines=2),
    *(Column(name, 14, "R") for name in ("met", "in part", "not met", "not eval.", "manual")),
]


def _frameworks(pages: Pages, result: ScanResult) -> None:
    found = fleet.frameworks(result.clusters)
    if not found:
        return
    pages.heading("Frameworks", 2)
    rows = [
        [
            Cell(one.name, "B"),
            Cell(fleet.spread(s.score for s in one.summaries)),
            Cell(fleet.spread(s.coverage for s in one.summaries)),
            *(Cell(f"{count:,}") for count in one.counts.values()),
        ]
        for one in found
    ]
    _table(pages, _FRAMEWORKS, rows, _FRAMEWORKS_PAGE, "more framework")
    pages.paragraph(
        "The score counts controls that are met among those that were evaluated; coverage says how many were. A "
        "control that checks cover only in part counts half. Each control is counted once, by its worst status on any "
        "cluster. A control that was not evaluated, or that needs manual review, never counts as met.",
        size=8,
        colour=MUTED,
    )


_COMMON = [
    Column("severity", 15),
    Column("requirement, and how to fix it", 95, lines=4),
    Column("failed on", 44, lines=3),
    Column("errors", 12, "R"),
    Column("findings", 14, "R"),
]


def _common(pages: Pages, clusters: Sequence[Named]) -> None:
    found = fleet.common(clusters)
    if not found:
        return
    pages.heading("What is not met", 2)
    rows = []
    for one in found:
        check = one.check
        fix = f" To fix it: {check.remediation}" if check.remediation and one.open else ""
        where = (
            f"{len(one.failed):,} of {one.asked:,}: {fleet.listed(one.failed, 3)}" if one.failed else "none"
        )
        rows.append(
            [
                Cell(check.severity.value, "B", SEVERITIES[check.severity]),
                Cell(f"{check.title} ({check.id}).{fix}"),
                Cell(where if len(clusters) > 1 else "yes" if one.failed else "no"),
                Cell(f"{len(one.errors):,}"),
                Cell(f"{one.found:,}"),
            ]
        )
    _table(pages, _COMMON, rows, _COMMON_PAGE, "more requirement")


_EXPIRED = [
    Column("exemption", 50, lines=2),
    Column("reason", 60, lines=2),
    Column("until", 24, lines=2),
    Column("clusters", 46, lines=2),
]


def _exemptions(pages: Pages, clusters: Sequence[Named]) -> None:
    """Those that have expired, which somebody must decide about."""
    expired: dict[tuple[str, str, str], tuple[ExemptionUse, dict[str, None]]] = {}
    for name, cluster in clusters:
        for use in cluster.exemptions:
            if use.state == "expired":
                key = (use.name, use.reason, use.expires_at)
                expired.setdefault(key, (use, {}))[1][name] = None
    if not expired:
        return
    pages.heading("Exemptions that have expired", 2)
    rows = [
        [
            Cell(use.name, "B"),
            Cell(use.reason),
            Cell(words.until(use.expires_at)),
            Cell(fleet.listed(list(where), 3)),
        ]
        for use, where in expired.values()
    ]
    _table(pages, _EXPIRED, rows, MOST_PAGES - 1, "more exemption")


def _table(
    pages: Pages, columns: Sequence[Column], rows: Iterable[Sequence[Cell]], last_page: int, noun: str
) -> None:
    if left := pages.table(columns, rows, last_page=last_page):
        pages.paragraph(
            f"… and {plural(left, noun)}; see the reports pdf-full and json of this run.",
            size=8,
            style="B",
        )
