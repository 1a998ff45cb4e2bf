"""Parts of the terminal summary, for one cluster and for many: a page of some width, and what stands on its lines.

Words and symbols carry the meaning, colour only repeats it. rich is not used: its console costs 54 ms to import.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

from pytest_kspec.reports.shared.text import baseline_notes, elide, fold, plural, printable, value, width_of
from pytest_kspec.reports.shared.words import until
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.result import CheckResult, ClusterResult, Summary
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.shown import inert

FIXED_SHOWN = 5
LABEL = len(" ! ERROR critical  ")
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


class Page(NamedTuple):
    """Where lines go. width: in cells; findings: shown of each requirement; details: yields while requirements are
    shown with findings.
    """

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


def symbols_of(encoding: str) -> tuple[Symbols, str]:
    """What this encoding can show, and the encoding; ASCII for one that Python does not know."""
    try:
        "".join(UNICODE).encode(encoding)
    except UnicodeEncodeError:
        return ASCII, encoding
    except LookupError:
        return ASCII, "ascii"
    return UNICODE, encoding


def count_parts(summary: Summary) -> list[tuple[str, tuple[str, ...]]]:
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


def id_lines(check: CheckResult, page: Page, verdict: Verdict | None = None) -> Iterator[str]:
    """The label and the id; verdict: another one than the check's, which is that of one cluster."""
    first = label(check, page, verdict)
    for line in page.fold(check.id, LABEL, 4):
        yield first + line
        first = " " * LABEL


def label(check: CheckResult, page: Page, verdict: Verdict | None = None) -> str:
    """` ! ERROR critical  `."""
    error, severity = (verdict or check.verdict) is Verdict.ERROR, check.severity.value
    symbol, word = (page.symbols.error, "ERROR") if error else (page.symbols.fail, "FAIL")
    styles = ("red", "bold") if error else _COLOURS[severity]
    return f" {page.style(f'{symbol} {word:<5}', *styles)} {page.style(f'{severity:<8}', *styles)}  "


def objects(finding: Finding, page: Page) -> Iterator[str]:
    """Owner, and the object where it is another one."""
    count = f" {page.symbols.times}{finding.count:,}" if finding.count > 1 else ""
    yield f"   {page.symbols.dot} {page.elide(str(finding.owner), 5 + width_of(count))}{count}"
    if finding.resource != finding.owner:
        yield "     " + page.elide(str(finding.resource), 5)


def finding_lines(finding: Finding, path: str, expected: str, page: Page) -> Iterator[str]:
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


def short_line(check: CheckResult, page: Page, findings: int, verdict: Verdict | None = None) -> str:
    """A requirement on a line, with how many findings it has."""
    count = f" {page.symbols.times}{findings:,}" if findings else ""
    return f"{label(check, page, verdict)}{page.elide(check.id, LABEL + len(count))}{count}"


def findings_lines(check: CheckResult, found: Sequence[tuple[Finding, str]], page: Page) -> Iterator[str]:
    """The first findings of a requirement; what is expected is said once: for all, or for each field.

    found: each with what else is to be said of it, "" for nothing
    """
    shown = found[: page.findings]
    expected = shown[0][0].expected if len(shown) > 1 and len({f.expected for f, _ in shown}) == 1 else ""
    if expected:
        yield from page.block(expected, "   ", first="expected: ")
    before, said = None, {("", ""), ("", expected)}
    for finding, more in shown:
        if before != (before := (finding.owner, finding.resource, finding.count)):
            yield from objects(finding, page)
        known = finding.expected == expected or (finding.path, finding.expected) in said
        said.add((finding.path, finding.expected))
        path = "" if finding.path == check.id else finding.path
        yield from finding_lines(finding, path, "" if known else finding.expected, page)
        if more:
            yield from page.block(more, "     ", lines=2)
    if len(found) > page.findings:
        rest = f"and {len(found) - page.findings:,} more (see the JSON or HTML report)"
        yield from page.block(rest, "   ", first=f"{page.symbols.more} ")


def fix_lines(check: CheckResult, fixes: int, page: Page) -> Iterator[str]:
    """What to do; fixes: how many findings have a patch."""
    if check.remediation:
        yield from page.block(check.remediation, "   ", first="fix: ", styles=("green",))
    if fixes:
        yield from page.block(f"{plural(fixes, 'finding')} with a patch: see 'kspec fix'", "        ")


def notes(cluster: ClusterResult) -> list[tuple[str, tuple[str, ...]]]:
    """Exemptions that need care, and what the specification asks in vain; with styles."""
    care, quiet = ("yellow",), ()
    made: list[tuple[str, tuple[str, ...]]] = []
    for use in cluster.exemptions:
        if use.state == "expired":
            again = f": {plural(use.matched, 'finding')} not covered any more" if use.matched else ""
            made.append((f"expired exemption {use.name} (until {until(use.expires_at)}){again}", care))
    for use in cluster.exemptions:
        if use.state == "unused":
            where = f" ({use.location})" if use.location else ""
            made.append((f"unused exemption {use.name}{where}: it matches nothing", care))
    made += [(text, care) for text in baseline_notes(cluster, FIXED_SHOWN)]
    made += [(f"not evaluated: {key.key}: {key.reason}", quiet) for key in cluster.not_evaluated]
    return made


def note_lines(noted: Iterable[tuple[str, tuple[str, ...]]], page: Page) -> Iterator[str]:
    """The same as lines, with an empty one before them."""
    for number, (text, styles) in enumerate(noted):
        if not number:
            yield ""
        yield from page.block(text, "   ", first=f"{page.symbols.dot} ", lines=3, styles=styles)


def framework_lines(frameworks: Iterable[tuple[str, str]], page: Page) -> Iterator[str]:
    """One line a framework, by name: never a score without its coverage."""
    for number, (name, text) in enumerate(frameworks):
        if not number:
            yield ""
        if width_of(page.show(name)) + len(text) + 7 <= page.width:
            yield f"   {page.symbols.dot} {page.show(name)}: {text}"
        else:
            yield f"   {page.symbols.dot} {page.elide(name, 5)}"
            yield from page.block(text, "     ")
