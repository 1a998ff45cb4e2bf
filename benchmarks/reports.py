"""Every report of 200 clusters × 60 checks × 50,000 findings, each in a process of its own: CPU, memory, size.

python -m benchmarks.reports            all formats
python -m benchmarks.reports pdf html   some

The HTML page is opened too, in headless Chromium: wall time to its load event, and of the first search in it.

What making the result costs (`baseline`) is in every row; goal: 10 s of CPU and 500 MB each, without it.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.cost import measure
from tools.chromium import FLAGS, chromium

GOAL_CPU_S, GOAL_MB = 10, 500
GOAL_OPEN_S = 2
_SCRIPT = """
import sys
from benchmarks.results import fleet
from pytest_kspec.reports import terminal, writer
result = fleet()
name, path = sys.argv[1:]
if name == "terminal":
    open(path, "w").write(terminal.render(result))
elif name != "baseline":
    writer.write(result, writer.Target(name, path))
"""

_SEARCH = """() => new Promise((done) => {
  const shown = document.getElementById("shown"), start = performance.now();
  new MutationObserver(() => setTimeout(() => done(performance.now() - start))).observe(shown, { childList: true });
  const query = document.getElementById("q");
  query.value = "service-017-003 control-07";
  query.dispatchEvent(new Event("input"));
})"""
OPENINGS = 5


def main(names: list[str]) -> None:
    """Print the table."""
    from pytest_kspec.reports.writer import FORMATS

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report"

        def cost(name: str) -> tuple[float, float, float]:
            path.unlink(missing_ok=True)
            spent = measure([sys.executable, "-c", _SCRIPT, name, os.fspath(path)])
            return spent.cpu_s, spent.memory_mb, path.stat().st_size / 1e6 if path.exists() else 0

        base_cpu, base_mb, _ = cost("baseline")
        print(f"{'report of 50,000 findings':28}{'size':>9}{'CPU':>9}{'memory':>10}{'× json':>9}   goal")
        print(f"{'the result itself':28}{'':9}{base_cpu:7.2f} s{base_mb:7.0f} MB")
        json_cpu = cost("json")[0] - base_cpu
        for name in names or [*sorted(FORMATS), "terminal"]:
            cpu, mb, size = cost(name)
            cpu -= base_cpu
            missed = "" if cpu < GOAL_CPU_S and mb < GOAL_MB else "   MISSED"
            print(
                f"{name:28}{size:6.1f} MB{cpu:7.2f} s{mb:7.0f} MB{cpu / json_cpu:9.2f}   "
                f"{GOAL_CPU_S} s, {GOAL_MB} MB{missed}"
            )
            if name == "html":
                _print_opening(path)


def _print_opening(path: Path) -> None:
    """Two rows: the page in a browser that is warm. Each run is a new page."""
    from playwright.sync_api import sync_playwright

    page_path = path.rename(path.with_suffix(".html"))
    loads, searches = [], []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for _ in range(OPENINGS):
            page = browser.new_page()
            page.goto(page_path.as_uri())
            loads.append(page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000)
            searches.append(page.evaluate(_SEARCH) / 1000)
            page.close()
        browser.close()
    for name, times in (("  opened: load event", loads), ("  opened: first search", searches)):
        took = statistics.median(times)
        missed = "" if took < GOAL_OPEN_S else "   MISSED"
        print(f"{name:28}{'':9}{took:7.2f} s{'':10}   {GOAL_OPEN_S} s, wall{missed}")


if __name__ == "__main__":
    main(sys.argv[1:])
