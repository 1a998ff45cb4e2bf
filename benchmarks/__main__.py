"""Whole scans as processes: start-up, CPU a pod, peak memory, and what each further pod costs.

python -m benchmarks            10, 10,000, 50,000 and 100,000 pods, three runs each

Machines differ, and so does one of them from minute to minute: what is promised are multiples of something else that
was measured in the same run, `pytest --version` and the untyped decoding of the same file.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from benchmarks.cost import Cost, measure
from benchmarks.pods import write_pods

RUNS = 3
FEW, SIZES, MANY = 10, (10_000, 50_000), 100_000
SPEC = Path(__file__).with_name("strict.yaml")
_DECODE = """
import gc, os, sys
import msgspec
gc.disable()
if sys.argv[1:]:
    msgspec.json.decode(open(sys.argv[1], "rb").read())
os._exit(0)
"""
"""Decoding and nothing else: the collector off, and nothing taken down."""


def best(command: list[str], folder: Path) -> Cost:
    """The least of some runs, whose others were disturbed; the most memory. From an empty folder: no conftest.py."""
    measure(command, folder)  # warm-up
    costs = [measure(command, folder) for _ in range(RUNS)]
    return Cost(min(c.cpu_s for c in costs), max(c.memory_mb for c in costs))


def scan(pods: Path, folder: Path) -> list[str]:
    """A whole run in pytest: start-up, parse, checks, JSON report."""
    return [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_kspec.plugin",
        "-c", os.devnull, f"--rootdir={folder}",
        f"--kspec-spec={SPEC}", f"--kspec-cluster={pods}", f"--kspec-report=json:{folder / 'result.json'}",
    ]  # fmt: skip


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "empty")
        folder.mkdir()
        paths = {count: Path(name, f"pods-{count}.json") for count in (FEW, *SIZES, MANY)}
        sizes = {count: write_pods(path, count) for count, path in paths.items()}
        print(f"{'':28}{'JSON':>9}{'CPU':>9}{'a pod':>9}{'memory':>9}{'ratio':>9}   goal")
        start = best([sys.executable, "-m", "pytest", "--version"], folder)
        _print("pytest --version", start)
        kspec = ["-c", "from pytest_kspec.cli.main import main; main()"]
        few = best([sys.executable, *kspec, "scan", str(SPEC), "--cluster", str(paths[FEW])], folder)
        _print(f"kspec scan, {FEW} pods", few, ratio=few.cpu_s / start.cpu_s, goal="2.5 × pytest --version")
        few = best(scan(paths[FEW], folder), folder)
        _print(f"pytest, {FEW} pods", few, ratio=few.cpu_s / start.cpu_s, goal="2.5 × pytest --version")
        nothing = best([sys.executable, "-c", _DECODE], folder)
        decoding, costs = [], []
        for count, goal in zip(SIZES, ("2.2 × decoding, 300 MB", ""), strict=True):
            decoded = best([sys.executable, "-c", _DECODE, str(paths[count])], folder)
            decoding.append(decoded.cpu_s - nothing.cpu_s)
            _print(f"decoding {count:,} pods", decoded, sizes[count], count)
            costs.append(best(scan(paths[count], folder), folder))
            ratio = costs[-1].cpu_s / decoding[-1]
            _print(f"{count:,} pods, strict", costs[-1], sizes[count], count, ratio=ratio, goal=goal)
        more = SIZES[1] - SIZES[0]
        further = costs[1].cpu_s - costs[0].cpu_s
        ratio = further / (decoding[1] - decoding[0])
        print(
            f"{'each further pod':28}{'':9}{'':9}{further / more * 1e6:6.0f} µs{'':9}{ratio:9.2f}   0.8 × decoding"
        )
        many = best(scan(paths[MANY], folder), folder)
        _print(f"{MANY:,} pods, strict", many, sizes[MANY], MANY, goal="20 s, 500 MB")


def _print(name: str, cost: Cost, size: int = 0, count: int = 0, *, ratio: float = 0, goal: str = "") -> None:
    print(
        f"{name:28}{f'{size / 1e6:.0f} MB' if size else '':>9}{cost.cpu_s:7.2f} s"
        f"{f'{cost.cpu_s / count * 1e6:.0f} µs' if count else '':>9}{cost.memory_mb:6.0f} MB"
        f"{f'{ratio:.2f}' if ratio else '':>9}   {goal}",
        flush=True,
    )


if __name__ == "__main__":
    main()
