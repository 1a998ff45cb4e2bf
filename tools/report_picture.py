"""The picture of the HTML report in docs/reports.md, from the demo (`make picture`).

python -m tools.report_picture build/demo/report.html docs/images/report-html.png
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tools.chromium import FLAGS, chromium

WIDTH, HEIGHT = 960, 680


def main(report: str, picture: str) -> None:
    """Writes a picture of one framework, in light."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(color_scheme="light", viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(Path(report).resolve().as_uri())
        # One that checks answer from its first control on; in others, what a person must look at comes first.
        framework = page.locator("details.framework:has(tbody tr:first-child .badge:not(.manual))").first
        framework.locator("> summary").click()
        framework.evaluate("element => scrollTo(0, element.offsetTop - 20)")
        page.mouse.move(0, 0)
        page.wait_for_timeout(300)
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
