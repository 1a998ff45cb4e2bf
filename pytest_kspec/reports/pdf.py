"""PDF for auditors: the verdict and its numbers first, then each cluster with what its results rest on.

Every requirement is listed. Of its findings as many are shown as fit into MOST_FINDINGS in all, equally many at most
for each requirement; counts are exact, and the page says where the rest is. Without Kubernetes knowledge one can read
what was asked, what is not met, who accepted what, and how to ask for the same again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from pytest_kspec.model.check import Severity, Verdict
from pytest_kspec.model.finding import Finding, FindingStatus
from pytest_kspec.model.frameworks import ControlStatus
from pytest_kspec.model.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.model.totals import WORST_FIRST, Totals
from pytest_kspec.reports import order, words
from pytest_kspec.reports.pdf_page import INK, MUTED, Cell, Colour, Column, Pages
from pytest_kspec.reports.text import baseline_notes, plural, value

MOST_FINDINGS = 5_000
_LIMITS = (1000, 500, 200, 100, 50, 25, 10, 5, 3, 2, 1)
_RED, _PURPLE, _GREEN, _AMBER = (161, 26, 20), (91, 33, 182), (7, 84, 63), (133, 80, 0)
_STATES: dict[str, Colour] = {"fail": _RED, "error": _PURPLE, "pass": _GREEN, "known": _AMBER, "skip": MUTED}
_SEVERITIES: dict[Severity, Colour] = {
    Severity.CRITICAL: _RED,
    Severity.HIGH: _RED,
    Severity.MEDIUM: _AMBER,
    Severity.LOW: INK,
}
_CONTROLS = {
    ControlStatus.MET: _GREEN,
    ControlStatus.PARTLY_MET: _AMBER,
    ControlStatus.NOT_MET: _RED,
    ControlStatus.NOT_EVALUATED: _PURPLE,
    ControlStatus.MANUAL: MUTED,
}


def render(result: ScanResult) -> bytes:
    """The file. `result` is in canonical order; the creation date is when the run ended."""
    headline = words.headline(result)
    pages = Pages(
        f"Kubernetes compliance report, {words.moment(result.finished_at)}",
        result.run_by or "pytest-kspec",
        f"pytest-kspec {result.tool_version}",
        _created(result.finished_at),
    )
    limit = _limit(result)
    clusters = sorted(zip(result.clusters, order.titles(result), strict=True), key=lambda c: _worst(*c))
    anchors = [pages.anchor() for _ in clusters]
    _overview(pages, result, headline, clusters, anchors)
    for (cluster, title), anchor in zip(clusters, anchors, strict=True):
        pages.new_page()
        pages.here(anchor)
        _cluster(pages, cluster, title if len(clusters) > 1 else cluster.name, limit)
    return pages.output()


def _created(rfc3339: str) -> datetime:
    try:
        at = datetime.fromisoformat(rfc3339)
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=UTC)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _limit(result: ScanResult) -> int:
    """How many findings of each requirement and status are shown at most."""
    counts = [
        len(check.findings) for cluster in result.clusters for check in cluster.checks if check.findings
    ]
    for limit in _LIMITS:
        if sum(min(count, limit) for count in counts) <= MOST_FINDINGS:
            return limit
    return 1


def _worst(cluster: ClusterResult, title: str) -> tuple[object, ...]:
    summary = cluster.summary
    return 101 if summary.score is None else summary.score, -summary.errors, title


def _overview(
    pages: Pages,
    result: ScanResult,
    headline: str,
    clusters: list[tuple[ClusterResult, str]],
    anchors: list[Any],
) -> None:
    summary, totals = result.summary, Totals.of_result(result)
    pages.paragraph("Kubernetes compliance report", size=10, colour=MUTED)
    pages.heading(headline, 1, colour=_STATES[words.state(summary)])
    pages.paragraph(words.sentence(summary), size=10)
    pages.gap(2)
    specs = sorted({f"{c.spec_name} {c.spec_version}".strip() for c in result.clusters})
    pages.facts(
        [
            ("Specification", ", ".join(specs)),
            ("Clusters", f"{len(words.by_cluster(result)):,}"),
            ("Scanned", f"{words.moment(result.started_at)} to {words.moment(result.finished_at)}"),
            ("Run by", result.run_by or "not known"),
            ("Made with", f"pytest-kspec {result.tool_version}"),
        ],
        size=9,
    )
    pages.tiles(
        [
            (words.score(summary), "score of 100", _STATES[words.state(summary)]),
            (f"{summary.errors:,}", "could not be evaluated", _PURPLE),
            (f"{summary.failed:,}", "failed", _RED),
            (f"{summary.passed:,}", "passed", _GREEN),
            (f"{summary.skipped:,}", "skipped", MUTED),
        ]
    )
    pages.heading("Findings by severity", 2, bookmark=False)
    columns = [Column("", 36), *(Column(s.value, 24, "R") for s in WORST_FIRST), Column("all", 24, "R")]
    rows = [
        [
            Cell(word, "B"),
            *(Cell(f"{totals.findings[status][s]:,}") for s in WORST_FIRST),
            Cell(f"{totals.count(status):,}", "B"),
        ]
        for status, word in words.STATUSES.items()
    ]
    pages.table(columns, rows)
    pages.paragraph(
        "An open finding is a reason to fail. A known one is in the baseline that was given with the run; an "
        "exempted one is covered by an exemption of the specification. One finding stands for all pods of its owner.",
        size=8,
        colour=MUTED,
    )
    if clusters:
        pages.heading("Clusters", 2)
        pages.table(_CLUSTERS, (_cluster_row(c, a) for (c, _), a in zip(clusters, anchors, strict=True)))
    if any(cluster.frameworks for cluster, _ in clusters):
        pages.heading("Frameworks", 2)
        pages.table(_FRAMEWORKS, _framework_rows(clusters))
        pages.paragraph(
            "The score counts controls that are met among those that were evaluated; coverage says how many were. "
            "What checks answer in part only counts half. A control that was not evaluated, or that a person must "
            "look at, never counts as met.",
            size=8,
            colour=MUTED,
        )
    pages.paragraph(
        "Score: the weight of the requirements that are met over the weight of all that apply (critical 8, high 4, "
        "medium 2, low 1). What could not be evaluated counts as not met, skipped requirements do not count.",
        size=8,
        colour=MUTED,
    )


_NUMBERS = ("score", "errors", "failed", "passed", "skipped", "open findings")
_CLUSTERS = [
    Column("cluster", 50, lines=3),
    Column("specification", 40, lines=3),
    *(Column(name, 14 if name != "open findings" else 20, "R") for name in _NUMBERS),
]
_FRAMEWORKS = [
    Column("cluster", 38, lines=3),
    Column("framework", 44, lines=3),
    *(
        Column(name, 14, "R")
        for name in ("score", "coverage", "met", "in part", "not met", "not eval.", "manual")
    ),
]


def _cluster_row(cluster: ClusterResult, anchor: Any) -> list[Cell]:
    summary = cluster.summary
    about = f"{cluster.spec_name} {cluster.spec_version}".strip()
    found = sum(len(check.open_findings) for check in cluster.checks)
    counts = (summary.errors, summary.failed, summary.passed, summary.skipped, found)
    state = _STATES[words.state(summary)]
    return [
        Cell(cluster.name, "B", link=anchor),
        Cell(about),
        Cell(words.score(summary), "B", state),
        *(Cell(f"{count:,}") for count in counts),
    ]


def _framework_rows(clusters: Iterable[tuple[ClusterResult, str]]) -> Iterator[list[Cell]]:
    for cluster, _ in clusters:
        for framework in cluster.frameworks:
            counts = framework.summary
            score = "none" if counts.score is None else f"{counts.score:.1f}"
            numbers = (
                *(counts.met, counts.partly_met, counts.not_met),
                *(counts.not_evaluated, counts.manual),
            )
            yield [
                Cell(cluster.name),
                Cell(f"{framework.name} {framework.version}".strip(), "B"),
                Cell(score, "B"),
                Cell(f"{counts.coverage:.1f} %"),
                *(Cell(f"{number:,}") for number in numbers),
            ]


def _cluster(pages: Pages, cluster: ClusterResult, title: str, limit: int) -> None:
    pages.heading(title, 2)
    pages.paragraph(
        f"{words.STATES[words.state(cluster.summary)]}. {words.sentence(cluster.summary)}", style="B"
    )
    _evidence(pages, cluster)
    checks = order.worst_first(cluster.checks)
    if checks:
        pages.heading("Requirements", 3)
        pages.table(_REQUIREMENTS, map(_requirement_row, checks))
    bad = [c for c in checks if c.verdict in (Verdict.FAIL, Verdict.ERROR)]
    if bad:
        pages.heading("What is not met, and what could not be evaluated", 3)
        for check in bad:
            _check(pages, check, limit)
    _accepted(pages, checks, FindingStatus.KNOWN, "Known from the baseline", limit)
    for note in baseline_notes(cluster, 20):
        pages.paragraph(note, size=8)
    _accepted(pages, checks, FindingStatus.EXEMPT, "Covered by exemptions", limit)
    _exemptions(pages, cluster)
    _controls(pages, cluster)
    if cluster.not_evaluated:
        pages.heading("Asked for, but not evaluated by this version", 3)
        columns = [Column("key", 60), Column("reason", 80), Column("where", 40)]
        pages.table(columns, ([Cell(n.key), Cell(n.reason), Cell(n.location)] for n in cluster.not_evaluated))


def _evidence(pages: Pages, cluster: ClusterResult) -> None:
    """What one needs to ask for the same again."""
    evidence = cluster.evidence
    pages.facts(
        [
            ("Cluster", f"{cluster.name}, Kubernetes {cluster.version or 'version unknown'}"),
            ("Cluster UID", cluster.uid),
            (
                "Examined",
                f"{cluster.source}: {evidence.source_ref}" if evidence.source_ref else cluster.source,
            ),
            ("Snapshot SHA-256", evidence.snapshot_sha256),
            ("Recorded", words.moment(evidence.recorded_at) if evidence.recorded_at else ""),
            ("Specification", f"{cluster.spec_name} {cluster.spec_version}, {cluster.spec_path}"),
            ("Specification SHA-256", evidence.spec_sha256),
        ]
    )


_REQUIREMENTS = [
    Column("verdict", 16),
    Column("severity", 16),
    Column("requirement", 98, lines=4),
    Column("examined", 16, "R"),
    Column("findings", 34, "R", lines=3),
]


def _requirement_row(check: CheckResult) -> list[Cell]:
    totals = Totals.of([check])
    counts = [
        f"{totals.count(status):,} {word}" for status, word in words.STATUSES.items() if totals.count(status)
    ]
    colour = _STATES[check.verdict.value]
    return [
        Cell(words.VERDICTS[check.verdict], "B", colour),
        Cell(check.severity.value, "", _SEVERITIES[check.severity]),
        Cell(
            f"{check.title} ({check.id})"
            if not check.reason
            else f"{check.title} ({check.id}): {check.reason}"
        ),
        Cell(f"{check.examined:,}"),
        Cell(", ".join(counts) or "0"),
    ]


def _check(pages: Pages, check: CheckResult, limit: int) -> None:
    """One requirement: why, what was found where, how to fix it, who asks for it."""
    word = words.VERDICTS[check.verdict]
    colour = _STATES[check.verdict.value]
    pages.need(34)
    pages.gap(1.5)
    pages.paragraph(f"{word}, {check.severity.value}: {check.title}", size=9.5, style="B", colour=colour)
    facts = [
        ("Requirement", check.id),
        ("Could not be evaluated" if check.verdict is Verdict.ERROR else "Reason", check.reason),
        ("How to fix", check.remediation if check.open_findings else ""),
        ("Controls", words.controls(check)),
        ("Required by", check.location),
    ]
    pages.facts(facts, size=8)
    findings = check.open_findings
    _findings(pages, findings, limit)
    if fixes := sum(finding.fix is not None for finding in findings):
        pages.paragraph(
            f"A patch for {plural(fixes, 'finding')} is in the JSON report; 'kspec fix' writes it.", size=8
        )


_FINDINGS = [Column("object", 50), Column("field", 50), Column("found", 40), Column("expected", 40)]


def _findings(pages: Pages, findings: tuple[Finding, ...], limit: int) -> None:
    if not findings:
        return
    pages.table(_FINDINGS, map(_finding_row, findings[:limit]), size=7.5)
    if len(findings) > limit:
        pages.paragraph(
            f"… and {plural(len(findings) - limit, 'more finding')}, which the JSON report of this run lists.",
            size=8,
            style="B",
        )


def _finding_row(finding: Finding) -> list[Cell]:
    return [
        Cell(_object(finding)),
        Cell(finding.path or finding.message),
        Cell(value(finding.actual) if finding.path or finding.actual is not None else ""),
        Cell(finding.expected),
    ]


def _object(finding: Finding) -> str:
    count = f" ×{finding.count:,}" if finding.count > 1 else ""
    inner = f" ({finding.resource})" if finding.resource != finding.owner else ""
    return f"{finding.owner}{count}{inner}"


_ACCEPTED = [Column("requirement", 52), Column("object", 46), Column("field", 50), Column("found", 32)]


def _accepted(pages: Pages, checks: list[CheckResult], status: FindingStatus, title: str, limit: int) -> None:
    """Findings that are no reason to fail."""
    rows: list[list[Cell]] = []
    left = 0
    for check in checks:
        found = [f for f in check.findings if f.status is status]
        left += max(len(found) - limit, 0)
        for finding in found[:limit]:
            by = f" ({finding.exemption.name})" if finding.exemption else ""
            where = finding.path or finding.message
            rows.append(
                [Cell(f"{check.id}{by}"), Cell(_object(finding)), Cell(where), Cell(value(finding.actual))]
            )
    if rows:
        pages.heading(title, 3)
        pages.table(_ACCEPTED, rows, size=7.5)
    if left:
        pages.paragraph(
            f"… and {plural(left, 'more finding')}, which the JSON report of this run lists.", size=8
        )


def _exemptions(pages: Pages, cluster: ClusterResult) -> None:
    if not cluster.exemptions:
        return
    pages.heading("Exemptions", 3)
    columns = [
        Column("exemption", 44),
        Column("state", 16),
        Column("reason", 52),
        Column("approved by", 30),
        Column("until", 24),
        Column("findings", 14, "R"),
    ]
    rows = (
        [
            Cell(use.name, "B"),
            Cell(use.state, "", _RED if use.state == "expired" else INK),
            Cell(use.reason),
            Cell(use.approver or "not named"),
            Cell(words.until(use.expires_at)),
            Cell(f"{use.matched:,}"),
        ]
        for use in cluster.exemptions
    )
    pages.table(columns, rows)
    pages.paragraph(
        "An expired exemption covers nothing: its findings count again. An unused one matches nothing and can go.",
        size=8,
        colour=MUTED,
    )


def _controls(pages: Pages, cluster: ClusterResult) -> None:
    columns = [
        Column("status", 20),
        Column("control", 28),
        Column("title", 46),
        Column("requirements that answer it, and what is left", 86, lines=30),
    ]
    for framework in cluster.frameworks:
        pages.heading(f"{framework.name} {framework.version}".strip(), 3)
        if framework.source:
            pages.paragraph(
                f"Controls from: {framework.source} {framework.date}".strip(), size=8, colour=MUTED
            )
        rows = []
        for control in framework.controls:
            word, colour = words.CONTROLS[control.status], _CONTROLS[control.status]
            said = [", ".join(control.checks), control.reason]
            if control.remaining:
                said.append(f"for a person to look at: {control.remaining}")
            text = "; ".join(filter(None, said))
            rows.append([Cell(word, "B", colour), Cell(control.id), Cell(control.title), Cell(text)])
        pages.table(columns, rows, size=7.5)
