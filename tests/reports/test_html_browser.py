"""The HTML report in a real browser: looks are judged by people, the rest is here."""

from __future__ import annotations

import io
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pypdf
import pytest
from msgspec.structs import replace
from playwright.sync_api import Browser, Page, sync_playwright

from pytest_kspec.reports import writer
from tests.reports import results
from tools.chromium import FLAGS, chromium

# What has the focus, and how that is shown.
STOP = """() => {
  const e = document.activeElement, shown = e.matches(".pill input") ? e.nextElementSibling : e;
  const name = e.type === "checkbox" ? e.value : e.id || e.className || e.tagName;
  return [name, getComputedStyle(shown).outlineStyle];
}"""
RESULTS = {
    "one": replace(results.one(), trend=results.trend("prod-eu")),
    "framed": replace(results.framed(), trend=results.trend("cluster-0", "cluster-1")),
    "huge": results.huge(),
    "fleet": results.fleet(8, 20, 3),
    "good": results.compliant(),
    "empty": results.scan(),
    "twelve": replace(results.fleet(12, 39, 6), run_by="ci"),
    "big": results.fleet(50, 60, 30),
}
# What is opened may hold more to open.
OPEN_ALL = """() => { for (const e of document.querySelectorAll("details:not(.cluster, .group, .check)")) e.open = true;
  return new Promise((done) => setTimeout(done, 50)); }"""
Open = Callable[..., Page]

CONTRAST = (Path(__file__).parent / "contrast.js").read_text("utf-8")

UNNAMED = (Path(__file__).parent / "unnamed.js").read_text("utf-8")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        path = chromium()
    except FileNotFoundError as error:
        pytest.fail(str(error), pytrace=False)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("html")
    for name, result in RESULTS.items():
        writer.write(result, writer.ReportFile("html", str(folder / f"{name}.html")))
    return folder


@pytest.fixture
def open_page(browser: Browser, folder: Path) -> Iterator[Open]:
    """open_page(name, fragment, **context): a page. At the end nothing was requested, logged or raised."""
    noise: list[str] = []
    contexts = []

    def open_one(name: str, fragment: str = "", **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        page = context.new_page()
        address = (folder / f"{name}.html").as_uri()
        page.on(
            "request",
            lambda request: (
                noise.append(request.url) if not request.url.startswith((address, "data:")) else None
            ),
        )
        page.on("console", lambda message: noise.append(message.text))
        page.on("pageerror", lambda error: noise.append(str(error)))
        page.goto(address + fragment)
        return page

    yield open_one
    for context in contexts:
        context.close()
    assert [line for line in noise if not line.startswith(("data:", folder.as_uri()))] == []


def visible(page: Page) -> list[str]:
    ids = page.eval_on_selector_all(
        "details.check", "all => all.filter((e) => e.checkVisibility()).map((e) => e.id)"
    )
    return [str(text) for text in ids]


def shown(page: Page, text: str) -> None:
    page.wait_for_function("text => document.getElementById('shown').textContent === text", arg=text)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", ["one", "framed", "fleet", "good", "empty"])
def test_text_can_be_read(open_page: Open, name: str, scheme: str) -> None:
    page = open_page(name, color_scheme=scheme)
    page.evaluate(OPEN_ALL)
    page.evaluate(OPEN_ALL)
    if name != "empty":
        page.click("#expand")
        page.check("input[value=fail]", force=True)
    answer = page.evaluate(CONTRAST)
    assert answer["seen"] > 40
    assert answer["faint"] == []
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 384) == (scheme == "dark")


@pytest.mark.parametrize("name", ["one", "framed", "fleet", "good", "empty", "huge"])
def test_nothing_is_unnamed(open_page: Open, name: str) -> None:
    assert open_page(name).evaluate(UNNAMED) == []


@pytest.mark.parametrize("width", [320, 390, 820, 1280, 2200])
@pytest.mark.parametrize("name", ["one", "framed", "fleet"])
def test_no_sideways_scrolling(open_page: Open, name: str, width: int) -> None:
    page = open_page(name, viewport={"width": width, "height": 900})
    page.evaluate(OPEN_ALL)
    page.evaluate(OPEN_ALL)
    page.click("#expand")
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_hostile_markup_does_not_run(open_page: Open) -> None:
    page = open_page("one")
    page.click("#expand")
    assert page.locator("img").count() == 0
    assert page.locator("script").count() == 2, "data and script"


def test_filters(open_page: Open) -> None:
    page = open_page("one")
    shown(page, "13 requirements")
    page.fill("#q", "debug-7X2kq  ops")
    shown(page, "1 of 13 shown, 1 finding found")
    assert visible(page) == ["strict.prod-eu/podSecurity.standard[privileged]"]
    page.fill("#q", "")
    shown(page, "13 requirements")
    page.get_by_label("Error", exact=True).check(force=True)
    shown(page, "2 of 13 shown")
    page.get_by_label("Skipped", exact=True).check(force=True)
    shown(page, "4 of 13 shown")
    page.get_by_label("high", exact=True).check(force=True)
    shown(page, "1 of 13 shown")
    assert visible(page) == ["strict.prod-eu/rbac.forbiddenRules[core/secrets]"]
    page.click("#reset")
    shown(page, "13 requirements")
    page.get_by_label("Exempted", exact=True).check(force=True)
    shown(page, "2 of 13 shown")
    assert len(visible(page)) == 2, "groups that were closed open for what was asked"
    page.fill("#q", "no such thing")
    shown(page, "0 of 13 shown")
    assert page.locator("#empty").is_visible()


def test_filter_by_cluster(open_page: Open) -> None:
    page = open_page("fleet")
    assert visible(page) == []
    name = page.locator("#cluster option").nth(1).inner_text()
    page.select_option("#cluster", label=name)
    shown(page, "20 of 160 shown")
    assert {text.split("/")[0] for text in visible(page)} == {f"strict.{name}"}
    page.click("#reset")
    shown(page, "160 requirements")
    assert visible(page) == []


def test_sorting(open_page: Open) -> None:
    page = open_page("fleet")

    def column(index: int) -> list[str]:
        cells = page.eval_on_selector_all(
            ".sortable tbody tr", "(rows, i) => rows.map((r) => r.cells[i].dataset.n)", index
        )
        return [str(text) for text in cells]

    scores = [float(text) for text in column(1)]
    assert scores == sorted(scores)
    page.get_by_role("button", name="Cluster").click()
    assert column(0) == sorted(column(0))
    page.get_by_role("button", name="Passed").click()
    assert [int(text) for text in column(8)] == sorted(map(int, column(8)), reverse=True)
    assert page.locator("[aria-sort]").evaluate_all("all => all.map((e) => e.ariaSort)") == ["descending"]


def test_a_link_opens_what_it_names(open_page: Open) -> None:
    page = open_page("fleet")
    page.locator(".sortable a").first.click()
    page.wait_for_function("document.activeElement.closest('details.cluster[open]') !== null")
    target = "strict.prod-eu/podSecurity.standard[hostNamespaces]"
    page = open_page("one", f"#{target}")
    page.wait_for_function("id => document.getElementById(id).open", arg=target)
    assert target in visible(page), "inside a group that is closed at first"


def test_keyboard(open_page: Open) -> None:
    page = open_page("one")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the results"
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id === 'results'")  # a busy browser follows the link later
    stops = []
    for _ in range(26):
        page.keyboard.press("Tab")
        stops.append(page.evaluate(STOP))
    assert [stop for stop in stops if stop[1] == "none"] == []
    names = [name for name, _ in stops]
    assert " ".join(names[:18]) == (
        "SUMMARY scroll SUMMARY SUMMARY SUMMARY q error fail pass skip x critical high medium low expand collapse reset"
    )
    page.focus("input[value=error]")
    page.keyboard.press("Space")
    shown(page, "2 of 13 shown")
    page.focus("details.check:not([hidden]) > summary")
    page.keyboard.press("Enter")
    assert page.locator("details.check[open]").count() == 1


def test_without_javascript_everything_is_there(open_page: Open) -> None:
    page = open_page("one", java_script_enabled=False)
    assert not page.locator("#filters").is_visible()
    summary = page.locator("details.check", has_text="No container runs privileged").locator("> summary")
    summary.click()
    assert page.get_by_text("ops/debug-7x2kq").is_visible()


@pytest.mark.parametrize("script", [True, False])
def test_paper_shows_what_is_open(open_page: Open, script: bool) -> None:
    page = open_page("one", java_script_enabled=script)
    page.locator("details.check", has_text="No container runs privileged").locator("> summary").click()
    page.emulate_media(media="print")
    assert not page.locator("#filters").is_visible()
    assert page.get_by_text("ops/debug-7x2kq").is_visible()
    assert page.locator(".finding:visible").count() == 5
    assert page.get_by_text("Closed sections are not printed").is_visible()


def test_twelve_clusters_on_paper(open_page: Open) -> None:
    """A few pages, and no column is cut off at the margin."""
    page = open_page("twelve")
    content = page.pdf(prefer_css_page_size=True)
    pages = pypdf.PdfReader(io.BytesIO(content)).pages
    assert len(pages) <= 14
    done = subprocess.run(["pdftotext", "-bbox", "-", "-"], input=content, capture_output=True, check=True)
    rights = [float(right) for right in re.findall(rb'<word .*?xMax="([\d.]+)"', done.stdout)]
    assert len(rights) > 500
    assert max(rights) <= 595.3 - 14 / 25.4 * 72 + 1


def test_fifty_clusters_stay_quick(open_page: Open) -> None:
    page = open_page("big")
    took = page.evaluate(
        """() => new Promise((done) => { const start = performance.now();
        document.getElementById("q").value = "app-017 control-22";
        document.querySelector("input[value=fail]").click();
        requestAnimationFrame(() => setTimeout(() => done(performance.now() - start))); })"""
    )
    assert took < 3000
    assert "of 3,000 shown" in page.inner_text("#shown")


def markup(page: Page) -> list[str]:
    """The findings of each requirement as the page has them, without what only lays out."""
    return [
        re.sub(r">\s+|\s+<", lambda m: m[0].strip(), html).replace("\n", " ")
        for html in page.eval_on_selector_all(".findings", "all => all.map((e) => e.innerHTML)")
    ]


def test_the_script_draws_findings_as_the_page_has_them(open_page: Open) -> None:
    page = open_page("one")
    theirs = markup(page)
    assert len(theirs) == 7
    page.evaluate(
        """() => { const data = JSON.parse(document.getElementById("data").textContent), f = Findings(data);
        for (const cluster of data.clusters) for (const [id, , , , flat] of cluster.checks) {
          const box = document.getElementById(`${cluster.id}/${id}`).querySelector(".findings");
          if (box) box.replaceChildren(...f.draw(flat, Array.from({ length: flat.length / 10 }, (_, n) => n * 10)));
        } }"""
    )
    assert markup(page) == theirs


def test_control_to_check_to_finding_to_exemption(open_page: Open) -> None:
    page = open_page("one")
    page.locator(".framework > summary").first.click()
    page.get_by_role("link", name="No container runs privileged").click()
    check = page.locator("[id='strict.prod-eu/podSecurity.standard[privileged]']")
    page.wait_for_function("() => document.activeElement.closest('details.check[open]') !== null")
    assert check.locator(".finding").count() == 5
    assert check.locator(".finding").first.is_visible()
    check.get_by_role("link", name="node-agent").click()
    row = page.locator("[id='strict.prod-eu//node-agent']")
    page.wait_for_function("() => document.activeElement.id === 'strict.prod-eu//node-agent'")
    assert row.is_visible()


def test_links_work_without_javascript(open_page: Open) -> None:
    page = open_page("one", java_script_enabled=False)
    page.locator(".framework > summary").first.click()
    page.get_by_role("link", name="Pods share no namespace with their node").click()
    check = page.locator("[id='strict.prod-eu/podSecurity.standard[hostNamespaces]'] > summary")
    check.click()
    assert page.get_by_role("link", name="cni").last.is_visible()


def test_the_matrix_of_several_clusters(open_page: Open) -> None:
    page = open_page("framed")
    page.locator(".framework > summary").first.click()
    page.locator(".matrix > summary").first.click()
    cells = page.locator("table.cells").first.locator("tbody td")
    cells.first.wait_for()
    assert cells.count() == 30
    words = cells.locator("[role=img]").evaluate_all("all => all.map((e) => e.getAttribute('aria-label'))")
    assert {words.count(word) for word in set(words)} == {6}
    assert set(words) == {"met", "partially met", "not met", "not evaluated", "manual review"}
    for cell in cells.filter(has_text="○").all():
        assert cell.locator("a").count() == 0, "what a person must look at leads to no requirement"
    cells.filter(has_text="✕").locator("a").first.click()
    page.wait_for_function("() => document.activeElement.closest('details.check[open]') !== null")
    assert page.evaluate(UNNAMED) == []


def test_what_is_too_long_is_drawn_in_pages(open_page: Open) -> None:
    page = open_page("huge")
    assert page.locator("details.check").count() == 0, "nothing of a cluster is there before it is opened"
    page.fill("#q", "images.digest")
    shown(page, "1 of 801 shown")
    check = page.locator("details.check:not([hidden])")
    check.locator("> summary").click()
    left = check.locator(".left")
    left.wait_for()
    assert left.inner_text().startswith("100 of 2,500 findings are shown.")
    assert check.locator(".finding").count() == 100
    check.get_by_role("button", name="Show 100 more").click()
    assert check.locator(".finding").count() == 200
    assert page.evaluate("document.activeElement.querySelector('.message').textContent").startswith("spec.")
    page.fill("#q", "service-2499")
    shown(page, "1 of 801 shown, 1 finding found")
    assert check.locator(".finding").count() == 1
    assert "1 of 2,500 findings match the search." in left.inner_text()
    check.get_by_role("button", name="Show all of this requirement").click()
    assert check.locator(".finding").count() == 100


def test_too_long_and_no_javascript(open_page: Open) -> None:
    page = open_page("huge", java_script_enabled=False)
    assert page.locator("details.check").count() == 801
    assert page.locator(".finding").count() == 2_000
    assert page.locator(".only-static").is_visible()
    page.emulate_media(media="print")
    assert page.locator(".only-static").is_visible()


def test_a_patch_can_be_copied(open_page: Open) -> None:
    page = open_page("one", permissions=["clipboard-read", "clipboard-write"])
    page.click("#expand")
    patch = page.locator(".patch").first
    patch.locator("summary").click()
    patch.get_by_role("button", name="Copy").click()
    patch.get_by_text("Copied").wait_for()
    assert page.evaluate("navigator.clipboard.readText()") == patch.locator("code").inner_text()
    assert patch.locator(".said").get_attribute("role") == "status"


def test_landmarks(open_page: Open) -> None:
    page = open_page("one")
    for selector in ("header", "main", "footer", "nav[aria-label]", "main > section[aria-labelledby] > h2"):
        assert page.locator(selector).count() >= 1, selector
    assert page.locator("table:not(:has(> caption))").count() == 0
    assert page.locator("#shown").get_attribute("role") == "status"
