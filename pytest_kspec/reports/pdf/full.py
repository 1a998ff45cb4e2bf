"""PDF for auditors: the executive report, then every requirement, finding, exemption and control.

What is the same on many clusters is said once. Of the findings as many are shown as fit into MOST_FINDINGS in all,
equally many at most for each requirement; counts are exact, and the page says where the rest is. Without Kubernetes
knowledge one can read what was asked, what is not met, who accepted what, and how to ask for the same again.
"""

from __future__ import annotations

from collections.abc import Sequence

from pytest_kspec.reports.pdf.document import CONTROLS, SEVERITIES, STATES, Named, begin, in_order, overview
from pytest_kspec.reports.pdf.page import INK, MUTED, Cell, Column, Pages
from pytest_kspec.reports.shared import fleet, words
from pytest_kspec.reports.shared.text import baseline_notes, plural, value
from pytest_kspec.results.finding import Finding, FindingStatus
from pytest_kspec.results.frameworks import ControlResult, ControlStatus
from pytest_kspec.results.order import worst_first
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.results.totals import Totals
from pytest_kspec.results.verdict import Verdict

MOST_FINDINGS = 5_000
_LIMITS = (1000, 500, 200, 100, 50, 25, 10, 5, 3, 2, 1)


def render(result: ScanResult) -> bytes:
    """The file. `result` is in canonical order; the creation date is when the run ended."""
    pages = begin(result)
    clusters = in_order(result)
    limit = _limit(result)
    anchors = [pages.anchor() for _ in clusters]
    overview(pages, result, anchors)
    _not_met(pages, clusters, limit)
    for (name, cluster), anchor in zip(clusters, anchors, strict=True):
        pages.new_page()
        pages.here(anchor)
        _cluster(pages, cluster, name, limit)
    _controls(pages, result)
    return pages.output()


def _limit(result: ScanResult) -> int:
    """How many findings of each requirement and status are shown at most."""
    counts = [
        len(check.findings) for cluster in result.clusters for check in cluster.checks if check.findings
    ]
    for limit in _LIMITS:
        if sum(min(count, limit) for count in counts) <= MOST_FINDINGS:
            return limit
    return 1


def _not_met(pages: Pages, clusters: Sequence[Named], limit: int) -> None:
    """Each requirement once, and each finding of it once, with its clusters."""
    found = fleet.common(clusters)
    if not found:
        return
    pages.new_page()
    pages.heading("What is not met, and what could not be evaluated", 2)
    for one in found:
        _requirement(pages, one, limit, alone=len(clusters) == 1)


def _requirement(pages: Pages, one: fleet.Common, limit: int, *, alone: bool) -> None:
    check = one.check
    state = "fail" if one.failed else "error"
    word = words.VERDICTS[Verdict.FAIL if one.failed else Verdict.ERROR]
    pages.need(34)
    pages.gap(1.5)
    pages.paragraph(
        f"{word}, {check.severity.value}: {check.title}", size=9.5, style="B", colour=STATES[state]
    )
    facts = [("Requirement", check.id)]
    if not alone:
        facts.append(("Failed on", f"{len(one.failed):,} of {one.asked:,}: {fleet.listed(one.failed, 40)}"))
    for reason in one.reasons[:_REASONS]:
        on = "" if alone else f" (on {fleet.listed(reason.clusters, 40)})"
        facts.append(("Could not be evaluated", f"{reason.text}{on}"))
    if len(one.reasons) > _REASONS:
        facts.append(("", f"and {plural(len(one.reasons) - _REASONS, 'more reason')}"))
    facts += [
        ("How to fix", check.remediation if one.open else ""),
        ("Controls", words.controls(check)),
        ("Required by", check.location),
    ]
    pages.facts(facts, size=8)
    _findings(pages, one, limit, alone=alone)


_REASONS = 10


def _findings(pages: Pages, one: fleet.Common, limit: int, *, alone: bool) -> None:
    alike = one.alike()
    if not alike:
        return
    rows = ([*_finding_row(f), *([] if alone else [Cell(fleet.listed(on))])] for f, on, _ in alike[:limit])
    pages.table(_FINDINGS if alone else _FINDINGS_OF_MANY, rows, size=7.5)
    if len(alike) > limit:
        pages.paragraph(
            f"… and {plural(len(alike) - limit, 'more finding')}; see the JSON report of this run.",
            size=8,
            style="B",
        )
    if fixes := sum(finding.fix is not None for _, found in one.open for finding in found):
        pages.paragraph(
            f"A patch for {plural(fixes, 'finding')} is in the JSON report; 'kspec fix' writes it.", size=8
        )


def _cluster(pages: Pages, cluster: ClusterResult, title: str, limit: int) -> None:
    pages.heading(title, 2)
    pages.paragraph(
        f"{words.standing(cluster.summary)}. {words.coverage(cluster.summary)} requirements evaluated. "
        f"{words.sentence(cluster.summary)}",
        style="B",
    )
    _evidence(pages, cluster)
    checks = worst_first(cluster.checks)
    if checks:
        pages.heading("Requirements", 3)
        pages.table(_REQUIREMENTS, map(_requirement_row, checks))
    _accepted(pages, checks, FindingStatus.KNOWN, "Known from the baseline", limit)
    for note in baseline_notes(cluster, 20):
        pages.paragraph(note, size=8)
    _accepted(pages, checks, FindingStatus.EXEMPT, "Covered by exemptions", limit)
    _exemptions(pages, cluster)
    if cluster.not_evaluated:
        pages.heading("Required, but not evaluated by this version", 3)
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
    colour = STATES[check.verdict.value]
    return [
        Cell(words.VERDICTS[check.verdict], "B", colour),
        Cell(check.severity.value, "", SEVERITIES[check.severity]),
        Cell(
            f"{check.title} ({check.id})"
            if not check.reason
            else f"{check.title} ({check.id}): {check.reason}"
        ),
        Cell(f"{check.examined:,}"),
        Cell(", ".join(counts) or "0"),
    ]


_FINDINGS = [Column("object", 50), Column("field", 50), Column("found", 40), Column("expected", 40)]
_FINDINGS_OF_MANY = [
    Column("object", 42),
    Column("field", 44),
    Column("found", 32),
    Column("expected", 30),
    Column("clusters", 32),
]


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
    """Findings that cause no failure."""
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
        pages.paragraph(f"… and {plural(left, 'more finding')}; see the JSON report of this run.", size=8)


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
            Cell(use.state, "", STATES["fail"] if use.state == "expired" else INK),
            Cell(use.reason),
            Cell(use.approver or "not named"),
            Cell(words.until(use.expires_at)),
            Cell(f"{use.matched:,}"),
        ]
        for use in cluster.exemptions
    )
    pages.table(columns, rows)
    pages.paragraph(
        "An expired exemption does not cover any findings: they count again. An "
        "unused exemption matches nothing and can be removed.",
        size=8,
        colour=MUTED,
    )


_CONTROLS = [
    Column("status", 26, lines=6),
    Column("control", 34, lines=30),
    Column("title", 44),
    Column("requirements that cover it, and what remains to be reviewed", 76, lines=30),
]


def _controls(pages: Pages, result: ScanResult) -> None:
    """Every control once for all clusters; those of which there is nothing to say but the same, together."""
    for framework in fleet.frameworks(result.clusters):
        pages.heading(framework.name, 2)
        if framework.first.source:
            pages.paragraph(
                f"Controls from: {framework.first.source} {framework.first.date}".strip(),
                size=8,
                colour=MUTED,
            )
        rows: dict[tuple[str, ...], list[ControlResult]] = {}
        statuses_of: dict[tuple[str, ...], dict[ControlStatus, int]] = {}
        for control, statuses in framework.controls:
            said = [", ".join(control.checks), control.reason]
            if control.remaining:
                said.append(f"for manual review: {control.remaining}")
            key = (_statuses(statuses), "; ".join(filter(None, said)), control.id if control.checks else "")
            rows.setdefault(key, []).append(control)
            statuses_of[key] = statuses
        pages.table(
            _CONTROLS,
            (
                [
                    Cell(key[0], "B", CONTROLS[fleet.worst(statuses_of[key])]),
                    Cell(", ".join(control.id for control in controls)),
                    Cell(controls[0].title if len(controls) == 1 else plural(len(controls), "control")),
                    Cell(key[1]),
                ]
                for key, controls in rows.items()
            ),
            size=7.5,
        )


def _statuses(statuses: dict[ControlStatus, int]) -> str:
    """`not met`, or `not met on 10, met on 2`."""
    if len(statuses) == 1:
        (status,) = statuses
        return words.CONTROLS[status]
    return ", ".join(f"{words.CONTROLS[s]} on {n:,}" for s, n in statuses.items())
