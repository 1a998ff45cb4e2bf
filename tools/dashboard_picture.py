"""The pictures of the dashboard in docs/dashboards.md, of one that runs (`make picture` makes the store and starts it).

python -m tools.dashboard_picture STORE docs/images/dashboard
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from tools.chromium import FLAGS, chromium

WIDTH, HEIGHT = 1280, 760


def main(store: str, picture: str) -> None:
    """Writes PICTURE-fleet.png and PICTURE-cluster.png, the second one dark."""
    kspec = Path(sys.executable).with_name("kspec")
    words = ["dashboard", "--serve", "--no-auth", "--store", store, "--port", "0", "--rate", "0"]
    server = subprocess.Popen([kspec, *words], stderr=subprocess.PIPE, text=True)
    try:
        assert server.stderr is not None
        address = server.stderr.readline().split()[-1].rstrip("/")
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
            for name, scheme in (("fleet", "light"), ("cluster", "dark")):
                page = browser.new_page(
                    color_scheme=scheme,  # type: ignore[arg-type]
                    viewport={"width": WIDTH, "height": HEIGHT},
                )
                page.goto(f"{address}/")
                if name == "cluster":
                    page.locator("tbody th a").first.click()
                    page.wait_for_url("**/cluster?**")
                page.screenshot(path=f"{picture}-{name}.png")
            browser.close()
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main(*sys.argv[1:])
