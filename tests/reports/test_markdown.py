from __future__ import annotations

import re
from html.parser import HTMLParser

import cmarkgfm
import pytest
from cmarkgfm.cmark import Options
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.reports import markdown, writer
from pytest_kspec.results.result import ScanResult
from tests.reports import results

HOSTILE = [
    "@octocat please run #12, GH-13 and org/repo#14",
    "https://evil.example.com www.evil.example.com ftp://x a@b.example.com",
    "**bold** _em_ ~~del~~ [link](https://x) ![img](https://x) `code` $x$ | pipe \\| \\",
    "<script>alert(1)</script> <img src=x> &amp; <!-- gone -->",
    "`` two `ticks` ``",
    "- item\n# head\n> quote",
    "line\r\nbreak",
]


class Page(HTMLParser):
    """What GitHub makes of it: tags, links and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text = ""
        self.plain = ""
        self._code = 0
        self.feed(cmarkgfm.github_flavored_markdown_to_html(text, Options.CMARK_OPT_UNSAFE))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self._code += tag == "code"

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag == "code"

    def handle_data(self, data: str) -> None:
        self.text += data
        if not self._code:
            self.plain += data


def text_of(result: ScanResult) -> str:
    return writer.render(result, "markdown").decode()


OURS = {
    *("details", "summary", "code", "table", "thead", "tbody", "tr", "th", "td"),
    *("h2", "h3", "p", "ul", "li", "strong", "sub"),
}


def hostile(text: str) -> ScanResult:
    found = (
        results.finding(results.ref(text, text, text), text, text, text, text, container=text),
        results.finding(results.ref("Pod", "p"), "", None, "", text),
    )
    check = results.check(
        f"a.b[{text}]", text, "low", "fail", controls={text: [text]}, remediation=text, findings=found
    )
    error = results.check("c.d", text, "low", "error", reason=text)
    return results.scan(
        results.cluster(text, checks=(check, error), spec_name=text, spec_version=text, version=text)
    )


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_cluster_holds_is_text(text: str) -> None:
    page = Page(text_of(hostile(text)))
    assert page.tags <= OURS, page.tags - OURS
    # Mentions and references outside of code are what GitHub acts on; ours hold a character of no width.
    assert re.findall(r"[@#]\w", page.plain) == []
    assert re.findall(r"\bGH-\d", page.plain) == []
    for word in re.findall(r"[a-z]{3,}", text):
        assert word in page.text, word


@given(st.text(max_size=30))
def test_no_text_is_markup(text: str) -> None:
    escaped = Page(f"x {markdown.escape(text)} y | z")
    assert escaped.tags <= {"p"}, text
    assert "".join(escaped.text.split()).startswith("x")
    spans = Page(f"| a | b |\n| --- | --- |\n| {markdown.code(text, cell=True)} | z |\n")
    assert spans.tags <= {"table", "thead", "tbody", "tr", "th", "td", "code"}
    assert spans.plain.split() == ["a", "b", "z"]


def test_verdict_first_and_whole() -> None:
    text = text_of(results.one())
    lines = text.splitlines()
    assert lines[:2] == [
        "<!-- pytest-kspec -->",
        "## ❌ prod-eu is not compliant, and could not be fully evaluated",
    ]
    assert text.count("<details>") == text.count("</details>") == 9
    # Ten of 17 findings are shown: that is said at the end too.
    assert "of 29 open findings, 22." in text
    assert "- … and 7 more findings" in text
    assert text_of(results.compliant()).splitlines()[1] == "## ✅ staging has only known findings"


def test_cut_where_a_block_ends_with_exact_totals() -> None:
    result = results.fleet(200, 60, 20)
    content = writer.render(result, "markdown")
    assert 50_000 < len(content) <= markdown.LIMIT
    text = content.decode()
    assert text.count("<details>") == text.count("</details>") > 10
    bad = result.summary.failed + result.summary.errors
    found = sum(len(c.open_findings) for cluster in result.clusters for c in cluster.checks)
    match = re.search(
        r"\*\*Shortened\.\*\* Of ([\d,]+) requirements not met or not evaluated, ([\d,]+) are shown; "
        r"of ([\d,]+) open findings, ([\d,]+)\.",
        text,
    )
    assert match is not None
    numbers = [int(n.replace(",", "")) for n in match.groups()]
    assert (numbers[0], numbers[2]) == (bad, found)
    heads = re.findall(r"<details><summary>(?:❌|⚠️).*, (\d+) of \d+ clusters", text)
    assert sum(map(int, heads)) <= numbers[1] <= bad
    assert text.count("\n- **") <= numbers[3] <= found
    assert "and 100 more clusters, included in the last row" in text
    assert Page(text).tags <= OURS | {"blockquote"}


def test_run_by_and_version_are_at_the_end() -> None:
    last = text_of(results.one()).splitlines()[-1]
    assert last == "<sub>Scanned 24 November 2026, 06:00 UTC with pytest-kspec 0.1.0</sub>"
