"""The terminal summary: a cluster at a time, errors first, then failures by severity, each with its fix.

Plain text in a given width; `style` adds colour. Words and symbols carry the meaning, colour only repeats it.
Everything is capped here, since the reports carry all. rich is not used: its console costs 54 ms to import.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from pytest_kspec.reports.shared import words
from pytest_kspec.reports.shared.text import baseline_notes, elide, fold, plural, printable, value, width_of
from pytest_kspec.reports.shared.words import until
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.identity import cluster_id, labels
from pytest_kspec.results.order import canonical, worst_first
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult, Summary
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.shown import inert

MIN_WIDTH = 40
FIXED_SHOWN = 5
_WORST = 16
"""Cells from which on the worst finding of a cluster is worth its place."""
_LABEL = len(" ! ERROR critical  ")
ALIKE = 3
"""From how many on errors with one reason are listed below each other, and the reason once."""
_COLOURS = {"critical": ("red", "bold"), "high": ("red",), "medium": ("yellow",), "low": ("cyan",)}


class Style(Protocol):
    """Adds colour: style("FAIL", "red", "bold"). Names are those of pytest's TerminalWriter.markup."""

    def __call__(self, text: str, *names: str) -> str: ...


def plain(text: str, *names: str) -> str:
    """No colour."""
    return text


class Symbols(NamedTuple):
    """Characters that a terminal's encoding may lack."""

    error: str = "!"
    fail: str = "✗"
    passed: str = "✓"
    arrow: str = "→"
    times: str = "×"
    more: str = "…"
    rule: str = "─"
    dot: str = "·"


UNICODE = Symbols()
ASCII = Symbols("!", "x", "+", "->", "x", "..", "-", "-")


class _Page(NamedTuple):
    width: int
    style: Style
    symbols: Symbols
    findings: int
    details: Iterator[int]
    encoding: str

    def show(self, text: str) -> str:
        """The text with nothing that the terminal would obey or cannot show."""
        text = inert(printable(text))  # as it will be written, so that it is as wide
        if self.symbols is UNICODE or text.isascii():
            return text
        return text.encode(self.encoding, "backslashreplace").decode(self.encoding)

    def elide(self, text: str, indent: int) -> str:
        """The text on one line that starts after `indent` cells."""
        return elide(self.show(text), self.width - indent, self.symbols.more)

    def fold(self, text: str, indent: int, lines: int) -> list[str]:
        """The text on at most `lines` lines that start after `indent` cells."""
        parts = fold(self.show(text), self.width - indent, lines, self.symbols.more)
        return [part if inert(part) == part else self.elide(part, indent) for part in parts]

    def block(
        self, text: str, indent: str, *, first: str = "", lines: int = 4, styles: tuple[str, ...] = ()
    ) -> Iterator[str]:
        """A paragraph; `first` stands before its first line."""
        hang = " " * len(first)
        for part in self.fold(" ".join(text.split()), len(indent) + len(first), lines):
            yield f"{indent}{self.style(first + part, *styles)}"
            first = hang

    def row(self, parts: Iterable[tuple[str, tuple[str, ...]]], indent: str) -> Iterator[str]:
        """Parts with dots between them, on as many lines as they need."""
        dot = f" {self.symbols.dot} "
        line, used = indent, len(indent)
        for text, styles in parts:
            if used > len(indent) and used + len(dot) + width_of(text) > self.width:
                yield line
                line, used = indent, len(indent)
            between = dot if used > len(indent) else ""
            line += between + self.style(text, *styles)
            used += len(between) + width_of(text)
        yield line


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
    symbols, encoding = _symbols(encoding)
    page = _Page(max(width, MIN_WIDTH), style, symbols, findings, iter(range(details)), encoding)
    lines: list[str] = []
    result = canonical(result)
    for cluster in result.clusters:
        lines += _cluster(cluster, page)
        lines.append("")
    lines += _table(result, page)
    lines += _overall(result, page)
    return "\n".join(lines) + "\n"


def brief(result: ScanResult, width: int = 80, style: Style = plain, *, encoding: str = "utf-8") -> str:
    """The same, a line for each cluster: verdict, score, counts, and the worst of what is not as asked for."""
    symbols, encoding = _symbols(encoding)
    page = _Page(max(width, MIN_WIDTH), style, symbols, 0, iter(()), encoding)
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


def _symbols(encoding: str) -> tuple[Symbols, str]:
    """What this encoding can show, and the encoding; ASCII for one that Python does not know."""
    try:
        "".join(UNICODE).encode(encoding)
    except UnicodeEncodeError:
        return ASCII, encoding
    except LookupError:
        return ASCII, "ascii"
    return UNICODE, encoding


def _cluster(cluster: ClusterResult, page: _Page) -> Iterator[str]:
    about = f"{cluster.spec_name} {cluster.spec_version}".strip()
    head = f"{page.symbols.rule * 2} {page.elide(cluster.name, 6)} "
    yield page.style(head + page.symbols.rule * (page.width - width_of(head)), "bold")
    yield from page.row(
        [(page.elide(p, 3), ()) for p in (about, cluster.version, cluster.source) if p], "   "
    )
    yield from page.row(_counts(cluster.summary), "   ")
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
    yield from _notes(cluster, page)
    yield from _frameworks(cluster, page)


def _counts(summary: Summary) -> list[tuple[str, tuple[str, ...]]]:
    """`score 87.5`, `1 error`, `3 failed`, `40 passed`, `2 skipped`, `5 exempted`, zeros left out."""
    parts: list[tuple[str, tuple[str, ...]]] = [
        ("nothing to score" if summary.score is None else f"score {summary.score:.1f}", ())
    ]
    for count, word, styles in (
        (summary.errors, "error" if summary.errors == 1 else "errors", ("red", "bold")),
        (summary.failed, "failed", ("red",)),
        (summary.passed, "passed", ("green",)),
        (summary.skipped, "skipped", ()),
        (summary.exempt, "exempted", ("yellow",)),
        (summary.known, "known", ("yellow",)),
    ):
        if count:
            parts.append((f"{count:,} {word}", styles))
    return parts


def _has_only_a_reason(check: CheckResult) -> bool:
    """An error without findings; what was found before the error came is shown with its requirement."""
    return check.verdict is Verdict.ERROR and not check.open_findings


def _alike(checks: Sequence[CheckResult], page: _Page) -> Iterator[str]:
    """Errors of one cause, said once: a cluster that does not answer answers no check."""
    yield ""
    for check in checks:
        yield from _id(check, page)
    yield from page.block(checks[0].reason, "   ", first=f"{page.symbols.error} ", lines=6)


def _id(check: CheckResult, page: _Page) -> Iterator[str]:
    label = _label(check, page)
    for line in page.fold(check.id, _LABEL, 4):
        yield label + line
        label = " " * _LABEL


def _label(check: CheckResult, page: _Page) -> str:
    error, severity = check.verdict is Verdict.ERROR, check.severity.value
    symbol, word = (page.symbols.error, "ERROR") if error else (page.symbols.fail, "FAIL")
    styles = ("red", "bold") if error else _COLOURS[severity]
    return f" {page.style(f'{symbol} {word:<5}', *styles)} {page.style(f'{severity:<8}', *styles)}  "


def _check(check: CheckResult, page: _Page) -> Iterator[str]:
    error = check.verdict is Verdict.ERROR
    findings = check.open_findings
    if next(page.details, None) is None:
        count = f" {page.symbols.times}{len(findings):,}" if findings else ""
        yield f"{_label(check, page)}{page.elide(check.id, _LABEL + len(count))}{count}"
        return
    yield ""
    yield from _id(check, page)
    yield from page.block(check.title, "   ", styles=("bold",))
    if error:
        yield from page.block(check.reason, "   ", first=f"{page.symbols.error} ", lines=6)
    shown = findings[: page.findings]
    expected = shown[0].expected if len(shown) > 1 and len({f.expected for f in shown}) == 1 else ""
    if expected:
        yield from page.block(expected, "   ", first="expected: ")
    before, said = None, {("", ""), ("", expected)}
    for finding in shown:
        if before != (before := (finding.owner, finding.resource, finding.count)):
            yield from _objects(finding, page)
        # What is expected is said once: for all, or for each field.
        wanted = (
            ""
            if finding.expected == expected or (finding.path, finding.expected) in said
            else finding.expected
        )
        said.add((finding.path, finding.expected))
        yield from _finding(finding, "" if finding.path == check.id else finding.path, wanted, page)
    if len(findings) > page.findings:
        rest = f"and {len(findings) - page.findings:,} more (see the JSON or HTML report)"
        yield from page.block(rest, "   ", first=f"{page.symbols.more} ")
    if check.remediation and findings:
        yield from page.block(check.remediation, "   ", first="fix: ", styles=("green",))
    if fixes := sum(finding.fix is not None for finding in findings):
        yield from page.block(f"{plural(fixes, 'finding')} with a patch: see 'kspec fix'", "        ")


def _objects(finding: Finding, page: _Page) -> Iterator[str]:
    count = f" {page.symbols.times}{finding.count:,}" if finding.count > 1 else ""
    yield f"   {page.symbols.dot} {page.elide(str(finding.owner), 5 + width_of(count))}{count}"
    if finding.resource != finding.owner:
        yield "     " + page.elide(str(finding.resource), 5)


def _finding(finding: Finding, path: str, expected: str, page: _Page) -> Iterator[str]:
    """path: "" where it says nothing new; expected: "" where it was said already."""
    if not finding.path:
        yield from page.block(finding.message, "     ", lines=2)
        if finding.actual is None:
            return
    change = " ".join(page.fold(value(finding.actual), 5, 2))
    if expected:
        change = f"{change} {page.symbols.arrow} {page.show(expected)}"
    path = page.show(path)
    if path and width_of(path) + width_of(change) + 7 <= page.width:
        yield f"     {path}: {change}"
        return
    if path:
        yield from (f"     {part}" for part in page.fold(path, 5, 2))
    yield from (f"     {part}" for part in page.fold(change, 5, 4))


def _notes(cluster: ClusterResult, page: _Page) -> Iterator[str]:
    """Exemptions that need care, and what the specification asks in vain."""
    care, quiet = ("yellow",), ()
    notes: list[tuple[str, tuple[str, ...]]] = []
    for use in cluster.exemptions:
        if use.state == "expired":
            again = f": {plural(use.matched, 'finding')} not covered any more" if use.matched else ""
            notes.append((f"expired exemption {use.name} (until {until(use.expires_at)}){again}", care))
    for use in cluster.exemptions:
        if use.state == "unused":
            where = f" ({use.location})" if use.location else ""
            notes.append((f"unused exemption {use.name}{where}: it matches nothing", care))
    notes += [(text, care) for text in baseline_notes(cluster, FIXED_SHOWN)]
    notes += [(f"not evaluated: {key.key}: {key.reason}", quiet) for key in cluster.not_evaluated]
    if notes:
        yield ""
    for text, styles in notes:
        yield from page.block(text, "   ", first=f"{page.symbols.dot} ", lines=3, styles=styles)


def _frameworks(cluster: ClusterResult, page: _Page) -> Iterator[str]:
    """One line a framework; never a score without its coverage."""
    if cluster.frameworks:
        yield ""
    for framework in cluster.frameworks:
        summary = framework.summary
        name = f"{framework.name} {framework.version}".strip()
        score = "nothing evaluated" if summary.score is None else f"score {summary.score:.1f}"
        text = f"{score}, coverage {summary.coverage:.1f} %"
        yield f"   {page.symbols.dot} {page.elide(name, len(text) + 7)}: {text}"


def _table(result: ScanResult, page: _Page) -> Iterator[str]:
    """A line for each result, where there are several: the end of the output is what people see first."""
    if len(result.clusters) < 2:
        return
    names = _names(result)
    column = min(max(width_of(page.show(name)) for name in names), page.width // 3)
    for name, cluster in zip(names, result.clusters, strict=True):
        shown = page.elide(name, page.width - column)
        shown += " " * (column - width_of(shown))
        first, *rest = page.row(_counts(cluster.summary), " " * (column + 4))
        yield f"  {shown}  {first.lstrip(' ')}"
        yield from rest
    yield ""


def _names(result: ScanResult) -> list[str]:
    """What to call each result: its cluster, with the beginning of its UID or its specification where needed."""
    known = labels((cluster_id(c.uid, c.source, c.name), c.name) for c in result.clusters)
    one_spec = len({cluster.spec_name for cluster in result.clusters}) == 1
    names = [known[cluster_id(c.uid, c.source, c.name)] for c in result.clusters]
    return [
        name if one_spec else f"{name}: {c.spec_name}" for name, c in zip(names, result.clusters, strict=True)
    ]


def _verdict(summary: Summary, page: _Page) -> tuple[str, str, tuple[str, ...]]:
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


def _overall(result: ScanResult, page: _Page) -> Iterator[str]:
    summary = result.summary
    symbol, said, styles = _verdict(summary, page)
    verdict = f"{symbol} {said}"
    if said == "COMPLIANT" and (blank := words.not_looked_at(result)):
        verdict += f", {blank} OF {len(result.clusters)} NOT EVALUATED"
    requirements = plural(sum(len(c.checks) for c in result.clusters), "requirement")
    clusters = plural(len(words.by_cluster(result)), "cluster")
    yield from page.row([(verdict, styles), (clusters, ()), (requirements, ())], "")
    yield from page.row(_counts(summary), "  ")
