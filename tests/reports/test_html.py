from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from pytest_kspec.reports import writer
from pytest_kspec.results.result import ScanResult
from tests.reports import results

RESULTS = [results.one(), results.compliant(), results.fleet(12, 20, 3), results.scan()]
VOID = {"meta", "link", "br", "wbr", "input", "use", "path", "circle", "rect", "img"}


def page(result: ScanResult) -> str:
    return writer.render(result, "html").decode()


class Tags(HTMLParser):
    """Every tag with its attributes; fails where tags do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.mark.parametrize("result", RESULTS)
def test_well_formed_and_loads_nothing(result: ScanResult) -> None:
    tags = Tags(page(result)).tags
    assert {tag for tag, _ in tags} & {"img", "iframe", "object", "embed", "base", "video", "audio"} == set()
    for tag, attributes in tags:
        for name, text in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("src", "srcset", "style", "action"), (tag, name)
            if name == "href":
                assert text is not None
                assert text.startswith("#") or text == "data:,", text
    style = re.search(r"(?s)<style>(.*?)</style>", page(result))
    assert style is not None
    assert not re.search(r"url\(|@import", style[1])


@pytest.mark.parametrize("result", RESULTS)
def test_ids_are_unique(result: ScanResult) -> None:
    ids = [attributes["id"] for _, attributes in Tags(page(result)).tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert [text for text in ids if text is None or re.search(r"\s", text)] == []


def test_links_have_targets() -> None:
    text = page(results.fleet(12, 20, 3))
    ids = {attributes.get("id") for _, attributes in Tags(text).tags}
    links = {a["href"] for tag, a in Tags(text).tags if tag in ("a", "use")}
    assert {link[1:] for link in links if link} - ids == set()


def test_hostile_names_stay_text() -> None:
    tags = Tags(page(results.one()))
    assert [tag for tag, _ in tags.tags].count("script") == 2, "data and script"
    assert results.EVIL in "".join(tags.text)
    assert "\x1b" not in page(results.one())
    assert "\u202e" not in page(results.one())
    named = page(results.scan(results.cluster("x\x1b[31m\u202ey")))
    assert not {"\x1b", "\u202e"} & set(named)
    ids = [attributes["id"] or "" for _, attributes in Tags(named).tags if "id" in attributes]
    assert len(ids) == len(set(ids))


def test_content_security_policy_names_exactly_our_style_and_script() -> None:
    text = page(results.one())
    for tag in ("style", "script"):
        found = re.search(rf"(?s)<{tag}>(.*?)</{tag}>", text)
        assert found is not None
        digest = base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()
        assert f"{tag}-src &#39;sha256-{digest}&#39;" in text or f"{tag}-src 'sha256-{digest}'" in text
    assert "default-src 'none'" in text


@pytest.mark.parametrize(
    ("result", "headline"),
    [
        (results.one(), "prod-eu is not compliant, and could not be fully evaluated"),
        (results.compliant(), "staging has only known findings"),
        (results.scan(), "Nothing was evaluated"),
        (results.scan(results.cluster(checks=results.checks()[4:5])), "prod-eu could not be fully evaluated"),
        (results.scan(results.cluster(checks=results.checks()[-2:])), "Nothing was evaluated"),
        (
            results.scan(
                results.cluster("a", checks=results.checks()[:1]),
                results.cluster("b", checks=results.checks()[4:5]),
            ),
            "1 of 2 clusters is not compliant; 1 could not be fully evaluated",
        ),
        (
            results.scan(*(results.cluster(n, checks=results.checks()[7:9]) for n in "ab")),
            "All 2 clusters are compliant",
        ),
    ],
)
def test_headline(result: ScanResult, headline: str) -> None:
    assert f"<title>{headline} · Compliance report</title>" in page(result)
    assert f"<span>{headline}</span></h1>" in page(result)


def test_everything_is_in_it() -> None:
    text = "".join(Tags(page(results.one())).text)
    for check in results.checks():
        assert check.title in text
        if check.open_findings:
            assert " ".join(check.remediation.split()) in " ".join(text.split())
        for finding in check.findings:
            assert finding.owner.name in text
            assert (finding.path if finding.path.isprintable() else "") in text
    for use in results.exemptions():
        assert use.reason in text
        assert use.location in text
    for key in results.not_evaluated():
        assert key.reason in text
    for words in (
        "Approved by j.doe@example.com",
        "until 31 March 2027, 00:00 UTC+02:00",
        "Expired",
        "Unused",
        "×50",
    ):
        assert words in text
