"""Whole scans as processes: CPU a pod, peak memory, and what each further pod costs.

python -m benchmarks            10,000 and 50,000 pods, three runs each
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.cost import Cost, measure
from benchmarks.pods import write_pods

RUNS = 3
SIZES = (10_000, 50_000)
SPEC = Path(__file__).with_name("strict.yaml")


def scan(pods: Path, folder: Path) -> Cost:
    """The median of some whole runs: start-up, parse, checks, JSON report."""
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_kspec.plugin",
        "-c", os.devnull, f"--rootdir={folder}",
        f"--kspec-spec={SPEC}", f"--kspec-cluster={pods}", f"--kspec-report=json:{folder / 'result.json'}",
    ]  # fmt: skip
    measure(command)  # warm-up
    costs = [measure(command) for _ in range(RUNS)]
    return Cost(statistics.median(c.cpu_s for c in costs), max(c.memory_mb for c in costs))


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        start = measure([sys.executable, "-m", "pytest", "--version"])
        print(f"{'':28}{'JSON':>9}{'CPU':>9}{'a pod':>9}{'memory':>9}   goal")
        print(f"{'pytest --version':28}{'':9}{start.cpu_s:7.2f} s{'':9}{start.memory_mb:6.0f} MB")
        costs = []
        for count in SIZES:
            path = folder / f"pods-{count}.json"
            size = write_pods(path, count)
            cost = scan(path, folder)
            costs.append(cost)
            goal = "100 µs a pod, 300 MB" if count == SIZES[0] else ""
            print(
                f"{f'{count:,} pods, strict':28}{size / 1e6:6.0f} MB{cost.cpu_s:7.2f} s"
                f"{cost.cpu_s / count * 1e6:6.0f} µs{cost.memory_mb:6.0f} MB   {goal}"
            )
        further = (costs[1].cpu_s - costs[0].cpu_s) / (SIZES[1] - SIZES[0]) * 1e6
        print(f"{'each further pod':28}{'':9}{'':9}{further:6.0f} µs{'':9}   40 µs")


if __name__ == "__main__":
    main()
