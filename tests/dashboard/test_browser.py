"""Pages in a real browser: what axe finds, widths, keyboard, print."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, sync_playwright

from pytest_kspec.dashboard.source import StoreSource
from pytest_kspec.dashboard.viewers import Refused, Viewer
from tests.reports.results import check, cluster, finding, ref, scan
from tools.chromium import FLAGS, chromium

from .conftest import stored
from .serving import Client, serving
from .test_drift import drifted
from .test_pages import linked

__all__ = ["drifted"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    try:
        path = chromium()
    except FileNotFoundError as error:
        pytest.fail(str(error))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


def opened(browser: Browser, width: int, scheme: str) -> tuple[Page, list[str]]:
    """A page, and what its console says: what the policy refuses is said there."""
    page = browser.new_page(color_scheme=scheme, viewport={"width": width, "height": 900})  # type: ignore[arg-type]
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    return page, said


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_axe_finds_nothing_and_nothing_is_wider_than_the_screen(
    browser: Browser, open_dashboard: Client, width: int, scheme: str
) -> None:
    page, said = opened(browser, width, scheme)
    for address in linked(open_dashboard).values():
        page.goto(open_dashboard.address + address)
        found = Axe().run(page).response["violations"]
        assert [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in found] == [], address
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0, address
        assert said == [], address
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_axe_finds_nothing_on_drift_in_forms_and_in_messages(
    browser: Browser, drifted: str, width: int, scheme: str
) -> None:
    page, _ = opened(browser, width, scheme)
    with serving(StoreSource(drifted)) as client, serving(StoreSource(drifted), lambda _: Closed()) as closed:
        for address in (
            *(f"{client.address}{path}" for path in ("/drift", "/drift?state=cleared", "/drift?q=none")),
            *(f"{client.address}{path}" for path in ("/nowhere", "/?page=x", "/cluster?cluster=nobody")),
            *(f"{closed.address}{path}" for path in ("/login", "/", "/drift")),
        ):
            page.goto(address)
            found = Axe().run(page).response["violations"]
            assert [(one["id"], one["impact"], one["nodes"][0]["html"]) for one in found] == [], address
            wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert page.evaluate(wide) <= 0, address
    page.close()


class Closed:
    """Nobody is known."""

    def close(self) -> None: ...

    def proven(self, _peer: str, _headers: object) -> str:
        return ""

    def view(self, _peer: str, _headers: object) -> Viewer:
        raise Refused(401, "no credentials were sent.")


def test_everything_is_reached_with_the_keyboard(browser: Browser, open_dashboard: Client) -> None:
    page, _ = opened(browser, 1280, "light")
    page.goto(open_dashboard.address)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the content"
    page.keyboard.press("Enter")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.id") == "f-q":
            break
    page.keyboard.type("prod-eu-west-1-20")
    page.keyboard.press("Enter")
    page.wait_for_url("**q=prod-eu-west-1-20**")
    assert page.locator("tbody tr").count() == 1
    visited = page.evaluate(
        "[...document.querySelectorAll('a[href], button, input:not([type=hidden]), select')]"
        ".filter(e => e.tabIndex < 0 || e.closest('[inert]')).length"
    )
    assert visited == 0
    page.locator("tbody th a").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/cluster?**")
    assert page.locator("h1").inner_text() == "prod-eu-west-1-20"
    page.close()


def test_on_paper_there_are_no_controls(browser: Browser, open_dashboard: Client) -> None:
    page, _ = opened(browser, 794, "dark")
    page.goto(open_dashboard.address)
    page.emulate_media(media="print")
    assert not page.locator("form.filters").is_visible()
    assert not page.locator("header nav").is_visible()
    assert page.locator("tbody tr").first.is_visible()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    page.close()


@pytest.fixture(scope="module")
def long_names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """Names without a place to break."""
    name = "x" * 200
    odd = check(
        name, name, "high", "fail", findings=(finding(ref("Pod", name), name, name, name),), reason=name
    )
    made = cluster(name, spec_name=name, spec_version=name, checks=(odd,))
    with serving(StoreSource(stored(tmp_path_factory.mktemp("long") / "results.db", scan(made)))) as client:
        yield client


@pytest.mark.parametrize("width", [320, 390, 500, 1280])
def test_long_names_widen_no_page(browser: Browser, long_names: Client, width: int) -> None:
    page, _ = opened(browser, width, "light")
    wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    for address in linked(long_names).values():
        page.goto(long_names.address + address)
        assert page.evaluate(wide) <= 0, address
    page.close()


def test_on_paper_nothing_is_cut_off_or_broken_within_a_word(
    browser: Browser, open_dashboard: Client
) -> None:
    page, _ = opened(browser, 794, "light")
    for address in linked(open_dashboard).values():
        page.goto(open_dashboard.address + address)
        page.emulate_media(media="print")
        wide = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(wide) <= 0, address
        words = "[...document.querySelectorAll('.list .badge')].map(e => getComputedStyle(e).overflowWrap)"
        assert set(page.evaluate(words)) <= {"normal"}, address
    page.close()


@pytest.mark.parametrize("width", [390, 1280])
def test_boxes_touch_nothing(browser: Browser, open_dashboard: Client, width: int) -> None:
    """Between a box and what is above it in the page is room."""
    page, _ = opened(browser, width, "light")
    near = """
        [...document.querySelectorAll('main .panel, main .tiles, main .fix, main .filters')].filter(e => {
          const above = e.previousElementSibling;
          return above && e.getBoundingClientRect().top - above.getBoundingClientRect().bottom < 8;
        }).map(e => e.className)
    """
    for address in linked(open_dashboard).values():
        page.goto(open_dashboard.address + address)
        assert page.evaluate(near) == [], address
    page.close()
