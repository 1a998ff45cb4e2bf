"""The terminal summary: errors first, then failures by severity, each with its fix; of many clusters each once.

Plain text in a given width; `style` adds colour. Everything is capped here, since the reports carry all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_kspec.reports import terminal_fleet
from pytest_kspec.reports.shared import words
from pytest_kspec.reports.shared.text import elide, plural, width_of
from pytest_kspec.reports.terminal_parts import (
    Page,
    Style,
    count_parts,
    findings_lines,
    fix_lines,
    framework_lines,
    id_lines,
    note_lines,
    notes,
    plain,
    short_line,
    symbols_of,
)
from pytest_kspec.results.identity import called
from pytest_kspec.results.order import canonical, worst_first
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult, Summary
from pytest_kspec.results.verdict import Verdict

MIN_WIDTH = 40
_WORST = 16
"""Cells from which on the worst finding of a cluster is worth its place."""
ALIKE = 3
"""From how many on errors with one reason are listed below each other, and the reason once."""


def render(
    result: ScanResult,
    width: int = 80,
    style: Style = plain,
    *,
    findings: int = 5,
    details: int = 100,
    encoding: str = "utf-8",
) -> str:
    """The summary, with a trailing newline; no line is wider than `width` (at least 40) cells.

    findings: shown of each requirement; details: requirements shown with findings; others take a line each.
    """
    symbols, encoding = symbols_of(encoding)
    page = Page(max(width, MIN_WIDTH), style, symbols, findings, iter(range(details)), encoding)
    lines: list[str] = []
    result = canonical(result)
    if len(result.clusters) > 1:
        lines += terminal_fleet.lines(result, page)
        lines.append("")
    else:
        for cluster in result.clusters:
            lines += _cluster(cluster, page)
            lines.append("")
    lines += _table(result, page)
    lines += _overall(result, page)
    return "\n".join(lines) + "\n"


def brief(result: ScanResult, width: int = 80, style: Style = plain, *, encoding: str = "utf-8") -> str:
    """The same, a line for each cluster: verdict, score, counts, and the worst of what is not as asked for."""
    symbols, encoding = symbols_of(encoding)
    page = Page(max(width, MIN_WIDTH), style, symbols, 0, iter(()), encoding)
    result = canonical(result)
    names = [page.elide(name, page.width - page.width // 4) for name in _names(result)]
    column = max(map(width_of, names), default=0)
    counts = [_brief_counts(cluster) for cluster in result.clusters]
    counted = max(map(len, counts), default=0)
    lines = []
    for cluster, name, count in zip(result.clusters, names, counts, strict=True):
        symbol, _, styles = _verdict(cluster.summary, page)
        score = "none" if cluster.summary.score is None else f"{cluster.summary.score:.1f}"
        line = f"{symbol} {name}{' ' * (column - width_of(name))}  {score:>5}  {count:<{counted}}"
        worst = _worst(cluster)
        if worst is not None and (space := page.width - width_of(line) - 2) >= _WORST:
            owner = f" {worst.open_findings[0].owner}" if worst.open_findings else ""
            text = page.fold(f"{worst.severity.value} {worst.id}{owner}", page.width - space, 1)[0]
            line = f"{line}  {text}"
        line = elide(line.rstrip(), page.width, symbols.more)
        lines.append(f"{page.style(line[:1], *styles)}{line[1:]}")
    lines += ["", *_overall(result, page)] if len(lines) > 1 else _overall(result, page)
    return "\n".join(lines) + "\n"


def _brief_counts(cluster: ClusterResult) -> str:
    """`1 error, 2 failed of 19`, or `17 passed of 19`."""
    summary = cluster.summary
    parts = [plural(summary.errors, "error")] if summary.errors else []
    parts += [f"{summary.failed:,} failed"] if summary.failed else []
    return f"{', '.join(parts) or f'{summary.passed:,} passed'} of {len(cluster.checks):,}"


def _worst(cluster: ClusterResult) -> CheckResult | None:
    """What fails with the highest severity, else what could not be evaluated."""
    found = [check for check in worst_first(cluster.checks) if check.verdict in (Verdict.ERROR, Verdict.FAIL)]
    return max(found, key=lambda check: (check.severity.rank, check.verdict is Verdict.FAIL), default=None)


def _cluster(cluster: ClusterResult, page: Page) -> Iterator[str]:
    about = f"{cluster.spec_name} {cluster.spec_version}".strip()
    head = f"{page.symbols.rule * 2} {page.elide(cluster.name, 6)} "
    yield page.style(head + page.symbols.rule * (page.width - width_of(head)), "bold")
    yield from page.row(
        [(page.elide(p, 3), ()) for p in (about, cluster.version, cluster.source) if p], "   "
    )
    yield from page.row(count_parts(cluster.summary), "   ")
    open_checks = [c for c in worst_first(cluster.checks) if c.verdict in (Verdict.ERROR, Verdict.FAIL)]
    alike: dict[str, list[CheckResult]] = {}
    for check in open_checks:
        if _has_only_a_reason(check):
            alike.setdefault(check.reason, []).append(check)
    for check in open_checks:
        same = alike[check.reason] if _has_only_a_reason(check) else []
        if len(same) < ALIKE:
            yield from _check(check, page)
        elif check is same[0]:
            yield from _alike(same, page)
    yield from note_lines(notes(cluster), page)
    yield from framework_lines(_frameworks(cluster), page)


def _has_only_a_reason(check: CheckResult) -> bool:
    """An error without findings; what was found before the error came is shown with its requirement."""
    return check.verdict is Verdict.ERROR and not check.open_findings


def _alike(checks: Sequence[CheckResult], page: Page) -> Iterator[str]:
    """Errors of one cause, said once: a cluster that does not answer answers no check."""
    yield ""
    for check in checks:
        yield from id_lines(check, page)
    yield from page.block(checks[0].reason, "   ", first=f"{page.symbols.error} ", lines=6)


def _check(check: CheckResult, page: Page) -> Iterator[str]:
    findings = check.open_findings
    if next(page.details, None) is None:
        yield short_line(check, page, len(findings))
        return
    yield ""
    yield from id_lines(check, page)
    yield from page.block(check.title, "   ", styles=("bold",))
    if check.verdict is Verdict.ERROR:
        yield from page.block(check.reason, "   ", first=f"{page.symbols.error} ", lines=6)
    yield from findings_lines(check, [(finding, "") for finding in findings], page)
    fixes = sum(finding.fix is not None for finding in findings)
    yield from fix_lines(check, fixes, page) if findings else ()


def _frameworks(cluster: ClusterResult) -> Iterator[tuple[str, str]]:
    for framework in cluster.frameworks:
        summary = framework.summary
        score = "nothing evaluated" if summary.score is None else f"score {summary.score:.1f}"
        name = f"{framework.name} {framework.version}".strip()
        yield name, f"{score}, coverage {summary.coverage:.1f} %"


def _table(result: ScanResult, page: Page) -> Iterator[str]:
    """A line for each result, where there are several: the end of the output is what people see first."""
    if len(result.clusters) < 2:
        return
    names = _names(result)
    column = min(max(width_of(page.show(name)) for name in names), page.width // 3)
    for name, cluster in zip(names, result.clusters, strict=True):
        shown = page.elide(name, page.width - column)
        shown += " " * (column - width_of(shown))
        first, *rest = page.row(count_parts(cluster.summary), " " * (column + 4))
        yield f"  {shown}  {first.lstrip(' ')}"
        yield from rest
    yield ""


def _names(result: ScanResult) -> list[str]:
    """What to call each result: its cluster, with the beginning of its UID or its specification where needed."""
    one_spec = len({cluster.spec_name for cluster in result.clusters}) == 1
    names = called([(c.id, c.name) for c in result.clusters])
    return [
        name if one_spec else f"{name}: {c.spec_name}" for name, c in zip(names, result.clusters, strict=True)
    ]


def _verdict(summary: Summary, page: Page) -> tuple[str, str, tuple[str, ...]]:
    """Symbol, words and colours."""
    symbols = page.symbols
    if summary.failed:
        unclear = ", NOT FULLY EVALUATED" if summary.errors else ""
        return symbols.fail, f"NOT COMPLIANT{unclear}", ("red", "bold")
    if summary.errors:
        return symbols.error, "NOT FULLY EVALUATED", ("red", "bold")
    if summary.known:
        return symbols.passed, "NOTHING NEW", ("green", "bold")
    if summary.passed:
        return symbols.passed, "COMPLIANT", ("green", "bold")
    return symbols.error, "NOTHING EVALUATED", ("yellow", "bold")


def _overall(result: ScanResult, page: Page) -> Iterator[str]:
    summary = result.summary
    symbol, said, styles = _verdict(summary, page)
    verdict = f"{symbol} {said}"
    if said == "COMPLIANT" and (blank := words.not_looked_at(result)):
        verdict += f", {blank} OF {len(result.clusters)} NOT EVALUATED"
    requirements = words.requirements(result)
    clusters = plural(len(words.by_cluster(result)), "cluster")
    yield from page.row([(verdict, styles), (clusters, ()), (requirements, ())], "")
    yield from page.row(count_parts(summary), "  ")
