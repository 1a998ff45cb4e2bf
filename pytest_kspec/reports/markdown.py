"""Markdown for a comment on a pull request: the verdict first, then what is not met, worst first.

GitHub refuses a comment of more than 65,536 characters, so the text is cut where a block ends, and says so with exact
totals. Whatever a cluster or a specification holds is text here: it makes no link, mentions nobody, refers to no issue.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator

from pytest_kspec.reports.shared import fleet, words
from pytest_kspec.reports.shared.text import baseline_notes, elide, plural, printable, value
from pytest_kspec.results.finding import Finding, FindingStatus
from pytest_kspec.results.order import WORST_SEVERITIES_FIRST
from pytest_kspec.results.result import ClusterResult, ScanResult, Summary
from pytest_kspec.results.totals import Totals
from pytest_kspec.results.verdict import Verdict

LIMIT = 65_000
"""Bytes of UTF-8, which are at least as many as characters, with some room below what GitHub takes."""
MARKER = "<!-- pytest-kspec -->"
"""First line: by it a job finds its own comment, to write it anew."""
_FINDINGS = 10
_CLUSTERS = 100
_REASONS = 10
_WIDEST = 300
_SYMBOLS = {Verdict.ERROR: "⚠️", Verdict.FAIL: "❌", Verdict.PASS: "✅", Verdict.SKIP: "⚪"}
_STATES = {"fail": "❌", "error": "⚠️", "pass": "✅", "known": "✅", "skip": "⚪"}
_SPECIAL = re.compile(r"[\\`*_{}\[\]|~$^!]|(?<=www)\.|:(?=//)")
_REFERENCE = re.compile(r"[@#]|\b(?:GH|gh)-(?=\d)")
_TICKS = re.compile("`+")


def render(result: ScanResult) -> bytes:
    """The text as UTF-8, at most LIMIT bytes."""
    totals = Totals.of_result(result)
    text = _Text(LIMIT)
    for block in _head(result, totals):
        text.add(block)
    foot = _foot(result)
    # What must be there keeps its room: the notes below are shorter than this.
    text.keep(len(foot.encode()) + 600)
    shown = _clusters(result, text)
    text.keep(0)
    bad = totals.requirements[Verdict.FAIL] + totals.requirements[Verdict.ERROR]
    found = totals.count(FindingStatus.OPEN)
    if shown.requirements < bad or shown.findings < found or not shown.asides:
        text.add(
            f"> **Shortened.** Of {plural(bad, 'requirement')} not met or not evaluated, {shown.requirements:,} "
            f"{'is' if shown.requirements == 1 else 'are'} shown; of {plural(found, 'open finding')}, "
            f"{shown.findings:,}."
            f"{'' if shown.asides else ' Exemptions, known findings and what is not evaluated are left out in part.'} "
            "The counts above are exact; the JSON report of the same run has everything.\n"
        )
    text.add(foot)
    return text.content().encode("utf-8", "replace")


class _Text:
    """Blocks up to a number of bytes, with an empty line between them."""

    def __init__(self, limit: int) -> None:
        self._blocks: list[str] = []
        self._room = limit
        self._kept = 0

    def keep(self, size: int) -> None:
        """Leave so many bytes for what comes last."""
        self._kept = size

    def add(self, block: str) -> bool:
        """Whether it fitted."""
        size = len(block.encode("utf-8", "replace")) + 1
        if size > self._room - self._kept:
            return False
        self._room -= size
        self._blocks.append(block)
        return True

    def content(self) -> str:
        return "\n".join(self._blocks)


class _Shown:
    """What found room. asides: every block of exemptions, known findings and keys that are not evaluated did."""

    requirements = 0
    findings = 0
    asides = True


def _head(result: ScanResult, totals: Totals) -> Iterator[str]:
    summary = result.summary
    state = words.overall(summary)
    yield f"{MARKER}\n## {_STATES[state]} {escape(words.headline(result))}\n"
    yield f"{words.sentence(summary)} Score: {words.score(summary)}.\n"
    rows = [
        (
            word,
            *(f"{totals.findings[status][s]:,}" for s in WORST_SEVERITIES_FIRST),
            f"{totals.count(status):,}",
        )
        for status, word in words.STATUSES.items()
    ]
    yield _table(("Findings", *(s.value for s in WORST_SEVERITIES_FIRST), "all"), rows)
    clusters = _named(result)
    yield from _unseen(clusters)
    rows = [_row(*one) for one in clusters[:_CLUSTERS]]
    if len(clusters) > 1:
        rows.append(("**all**", "", *_counts(summary, totals.count(FindingStatus.OPEN)), ""))
    if clusters:
        yield _table(
            (
                *("Cluster", "Specification", "Score", "Errors", "Failed", "Passed", "Skipped"),
                *("Open findings", "Evaluated", "Looked at"),
            ),
            rows,
            left=2,
        )
    if len(clusters) > _CLUSTERS:
        yield f"and {plural(len(clusters) - _CLUSTERS, 'more cluster')}, included in the last row.\n"
    frameworks = fleet.frameworks(result.clusters)
    if frameworks:
        yield _table(
            ("Framework", "Score", "Coverage %", "Met", "In part", "Not met", "Not evaluated", "Manual"),
            map(_framework_row, frameworks[:_CLUSTERS]),
        )
    if len(clusters) > 1 and frameworks:
        yield "Each control is counted once, by its worst status on any cluster.\n"


def _named(result: ScanResult) -> list[tuple[str, ClusterResult]]:
    """Clusters with their names, in the order to read them in."""
    named = zip(fleet.names(result), result.clusters, strict=True)
    return sorted(
        named, key=lambda one: (fleet.rank(one[1].summary, one[0]), one[1].spec_name, one[1].spec_path)
    )


def _unseen(clusters: list[tuple[str, ClusterResult]]) -> Iterator[str]:
    """What could not be looked at, before anything is compared."""
    unclear = [one for one in clusters if one[1].summary.errors]
    if not unclear:
        return
    found = fleet.reasons(unclear)
    lines = [
        f"- {escape(_short(reason.text))} ({plural(reason.requirements, 'requirement')} on "
        f"{escape(_short(fleet.listed(reason.clusters, 5)))})"
        for reason in found[:_REASONS]
    ]
    if len(found) > _REASONS:
        lines.append(f"- and {plural(len(found) - _REASONS, 'more reason')}, in the JSON report")
    names = ", ".join(
        f"{code(elide(name, 80))} ({words.coverage(cluster.summary)} requirements evaluated)"
        for name, cluster in unclear[:_REASONS]
    )
    more = f" and {len(unclear) - _REASONS:,} more" if len(unclear) > _REASONS else ""
    yield (
        f"**Could not be fully evaluated:** {names}{more}. Nothing is known about a cluster that could not be read. "
        "Reasons, and what to do:\n\n" + "\n".join(lines) + "\n"
    )


def _row(name: str, cluster: ClusterResult) -> tuple[str, ...]:
    summary = cluster.summary
    about = f"{cluster.spec_name} {cluster.spec_version}".strip()
    shown = f"{_STATES[words.state(summary)]} {code(elide(name, 80), cell=True)}"
    findings = sum(len(check.open_findings) for check in cluster.checks)
    return shown, escape(elide(about, 60)), *_counts(summary, findings), escape(words.looked_at(cluster))


def _framework_row(framework: fleet.Framework) -> tuple[str, ...]:
    return (
        escape(elide(framework.name, 80)),
        fleet.spread(summary.score for summary in framework.summaries),
        fleet.spread(summary.coverage for summary in framework.summaries),
        *(f"{count:,}" for count in framework.counts.values()),
    )


def _counts(summary: Summary, findings: int) -> tuple[str, ...]:
    counts = (summary.errors, summary.failed, summary.passed, summary.skipped, findings)
    return words.score(summary), *(f"{count:,}" for count in counts), words.coverage(summary)


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]], left: int = 1) -> str:
    """left: how many columns hold text; numbers stand at the right."""
    lines = [head, tuple("---" if n < left else "---:" for n in range(len(head))), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def _clusters(result: ScanResult, text: _Text) -> _Shown:
    """What is not met, as much as there is room for: each requirement and finding once, then each cluster's asides."""
    shown, clusters = _Shown(), _named(result)
    one_only = len(clusters) == 1
    for one in fleet.common(clusters):
        block, findings = _requirement(one, alone=one_only)
        if not text.add(block):
            shown.asides = False
            return shown
        shown.requirements += one.results
        shown.findings += findings
    for name, cluster in clusters:
        about = ", ".join(p for p in (cluster.version, cluster.source) if p)
        heading = f"### {code(elide(name, 80))}{f' ({escape(about)})' if about else ''}\n"
        for block in _aside(cluster):
            if not text.add(f"{heading}\n{block}" if heading else block):
                shown.asides = False
                continue
            heading = ""
    return shown


def _requirement(one: fleet.Common, *, alone: bool) -> tuple[str, int]:
    """One requirement that is not met, and how many findings are shown of it. alone: there is one cluster only.

    Its summary line is HTML, in which GitHub reads no Markdown.
    """
    check, alike = one.check, one.alike()
    symbol = _SYMBOLS[Verdict.FAIL if one.failed else Verdict.ERROR]
    where = "" if alone else f", {len(one.failed):,} of {one.asked:,} clusters"
    count = f", {plural(one.found, 'finding')}" if one.found else ""
    head = f"{symbol} {check.severity.value} <code>{_html(check.id)}</code> {_html(check.title)}"
    lines = [f"<details><summary>{head}{where}{count}</summary>", ""]
    for reason in one.reasons if alone else ():
        lines += [f"**Could not be evaluated:** {escape(_short(reason.text))}", ""]
    if one.errors and not alone:
        lines += [
            f"**Could not be evaluated** on {escape(_short(fleet.listed(one.errors, 5)))}: see above",
            "",
        ]
    for finding, clusters, _ in alike[:_FINDINGS]:
        on = "" if alone else f" (on {escape(_short(fleet.listed(clusters, 5)))})"
        lines.append(_finding(finding) + on)
    if len(alike) > _FINDINGS:
        lines.append(f"- … and {plural(len(alike) - _FINDINGS, 'more finding')}")
    lines.append("")
    if check.remediation and alike:
        lines.append(f"**Fix:** {escape(_short(check.remediation))}")
        if fixes := sum(finding.fix is not None for _, found in one.open for finding in found):
            lines.append(
                f"A patch for {plural(fixes, 'finding')} is in the JSON report; `kspec fix` writes it."
            )
        lines.append("")
    if check.location:
        lines.append(f"Required by {code(check.location)}")
    if check.controls:
        lines.append(f"Controls: {escape(_short(words.controls(check)))}")
    shown = sum(one.times for one in alike[:_FINDINGS])
    return "\n".join([*lines, "", "</details>", ""]), shown


def _finding(finding: Finding) -> str:
    count = f" ×{finding.count:,}" if finding.count > 1 else ""
    where = f"- **{escape(_short(str(finding.owner)))}**{count}"
    if finding.resource != finding.owner:
        where += f", {escape(_short(str(finding.resource)))}"
    if not finding.path:
        return f"{where}: {escape(_short(finding.message))}"
    wanted = f" → {code(_short(finding.expected))}" if finding.expected else ""
    return f"{where}: {code(_short(finding.path))}: {code(_short(value(finding.actual)))}{wanted}"


def _aside(cluster: ClusterResult) -> Iterator[str]:
    """What does not fail, and must not be forgotten."""
    if cluster.exemptions:
        rows = [
            (
                escape(_short(use.name)),
                use.state,
                f"{use.matched:,}",
                words.until(use.expires_at),
                escape(_short(use.approver)),
                escape(_short(use.reason)),
            )
            for use in cluster.exemptions
        ]
        table = _table(("Exemption", "State", "Findings", "Until", "Approved by", "Reason"), rows, left=6)
        yield _folded(plural(len(rows), "exemption"), table)
    known = [
        (code(_short(c.id), cell=True), f"{len(c.known_findings):,}")
        for c in cluster.checks
        if c.known_findings
    ]
    if known:
        yield _folded("Known from the baseline", _table(("Requirement", "Findings"), known))
    if notes := baseline_notes(cluster, 20):
        yield _folded("Baseline", "".join(f"- {escape(_short(note))}\n" for note in notes))
    if cluster.not_evaluated:
        lines = "".join(
            f"- {code(_short(n.key))}: {escape(_short(n.reason))}\n" for n in cluster.not_evaluated
        )
        yield _folded("Required, but not evaluated by this version", lines)


def _folded(summary: str, body: str) -> str:
    return f"<details><summary>{summary}</summary>\n\n{body}\n</details>\n"


def _foot(result: ScanResult) -> str:
    by = f" by {escape(_short(result.run_by))}" if result.run_by else ""
    made = f"with pytest-kspec {escape(result.tool_version)}"
    return f"<sub>Scanned {words.moment(result.finished_at)}{by} {made}</sub>\n"


def _short(text: str) -> str:
    return elide(printable(text), _WIDEST)


def _html(text: str) -> str:
    return _REFERENCE.sub(_defuse, html.escape(_short(text)).replace("&#x27;", "'"))


def escape(text: str) -> str:
    """Text that Markdown shows as it is: nothing in it is markup, a link, a mention or a reference."""
    # One pass for each: HTML first, since the other two write what it would escape.
    plain = html.escape(printable(text), quote=False)
    return _REFERENCE.sub(_defuse, _SPECIAL.sub(r"\\\g<0>", plain))


def _defuse(match: re.Match[str]) -> str:
    """A character of no width keeps `@name` from being a mention and `#1` from being a reference."""
    return f"{match[0]}&#8203;"


def code(text: str, *, cell: bool = False) -> str:
    """Text in a code span, where nothing is markup. cell: in a table, where a pipe would end the cell."""
    text = printable(text)
    if not text.strip():
        return "` `"
    ticks = "`" * (1 + max((len(run) for run in _TICKS.findall(text)), default=0))
    pad = " " if text[0] in "` " or text[-1] in "` " else ""
    if cell:
        text = text.replace("|", r"\|")
    return f"{ticks}{pad}{text}{pad}{ticks}"
