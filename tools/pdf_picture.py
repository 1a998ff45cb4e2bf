"""The picture of the PDF report in docs/reports.md, from the demo's result (`make picture`; needs pdftoppm).

python -m tools.pdf_picture build/demo/report.pdf docs/images/report-pdf.png
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tools.chromium import FLAGS, chromium

PAGES, WIDTH, GAP = 3, 530, 10
_STYLE = f"body {{ margin: 0; display: flex; gap: {GAP}px; background: #777 }} img {{ width: {WIDTH}px }}"


def main(report: str, picture: str) -> None:
    """Writes a picture of the first pages, side by side. Raises: CalledProcessError, where pdftoppm cannot read it."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        size = ["-scale-to-x", str(WIDTH), "-scale-to-y", "-1"]
        command = ["pdftoppm", "-png", *size, "-l", str(PAGES), report, f"{folder}/page"]
        subprocess.run(command, check=True)
        images = "".join(f'<img src="{page.name}">' for page in sorted(Path(folder).glob("page*.png")))
        html = Path(folder, "pages.html")
        html.write_text(f"<!doctype html><style>{_STYLE}</style>{images}")
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        page = browser.new_page(viewport={"width": PAGES * WIDTH + (PAGES - 1) * GAP, "height": 10})
        page.goto(html.as_uri())
        page.screenshot(path=picture, full_page=True)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
