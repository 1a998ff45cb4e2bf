"""The picture of the HTML report in docs/reports.md, from the demo (`make picture`).

python -m tools.report_picture build/demo/report.html docs/images/report-html.png
"""

from __future__ import annotations

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tools.chromium import FLAGS, chromium

WIDTH, HEIGHT = 1000, 760


def main(report: str, picture: str) -> None:
    """Writes the top of the page, as it is in light."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(color_scheme="light", viewport={"width": WIDTH, "height": HEIGHT})
        page.goto(Path(report).resolve().as_uri())
        frameworks = page.locator("details.framework > summary")
        if frameworks.count():
            frameworks.first.click()
            frameworks.first.evaluate("element => element.scrollIntoView()")
        page.wait_for_timeout(300)
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
