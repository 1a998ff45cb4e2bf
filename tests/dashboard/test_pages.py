"""Pages show what the store has, and nothing in them runs or loads anything else."""

from __future__ import annotations

import re

import pytest

from pytest_kspec.dashboard.pages import PAGES
from pytest_kspec.dashboard.web import POLICY

from .serving import Client


def linked(client: Client) -> dict[str, str]:
    """One address of each page, found by following links from the fleet page on."""
    found = {"/": "/"}
    waiting = ["/"]
    while waiting:
        text = client.page(waiting.pop(0))
        for target in re.findall(r'href="([^"#]*)"', text):
            target = target.replace("&amp;", "&")
            path = target.partition("?")[0]
            if path in PAGES and path not in found:
                found[path] = target
                waiting.append(target)
    return found


def test_every_page_is_reached_by_links_and_is_there(open_dashboard: Client) -> None:
    assert set(linked(open_dashboard)) == set(PAGES)


def test_no_page_has_inline_script_style_or_handlers(open_dashboard: Client) -> None:
    for address in linked(open_dashboard).values():
        answer = open_dashboard.get(address)
        text = answer.data.decode()
        assert "<script" not in text
        assert "<style" not in text
        assert not re.search(r"<[^>]*\s(style|on\w+)=", text), address
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert "unsafe" not in POLICY
        assert answer.headers["Cache-Control"] == "private, no-cache"


def test_a_page_that_has_not_changed_is_not_sent_again(open_dashboard: Client) -> None:
    first = open_dashboard.get("/findings?state=open")
    again = open_dashboard.get("/findings?state=open", If_None_Match=first.headers["ETag"])
    assert (again.status, again.data) == (304, b"")
    other = open_dashboard.get("/findings", If_None_Match=first.headers["ETag"])
    assert other.status == 200


@pytest.mark.parametrize(
    "path", ["/cluster?cluster=none", "/requirement?check=none", "/finding?id=none", "/nothing"]
)
def test_what_is_not_there_is_404_and_not_kept(open_dashboard: Client, path: str) -> None:
    answer = open_dashboard.get(path)
    assert (answer.status, answer.headers["Cache-Control"]) == (404, "no-store")
