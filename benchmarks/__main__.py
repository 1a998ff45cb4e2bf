"""Whole scans as processes: start-up, CPU a pod, peak memory, and what each further pod costs.

python -m benchmarks            10, 10,000, 50,000 and 100,000 pods; medians of some rounds

Machines differ, and so does one of them from minute to minute: what is promised are multiples of something else that
was measured in the same round, `pytest --version` and the untyped decoding of the same file.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.cost import Cost, measure
from benchmarks.pods import write_bare_pods, write_pods

STARTS, RUNS = 11, 5
FEW, SIZES, MANY = 10, (10_000, 50_000), 100_000
SPEC = Path(__file__).with_name("strict.yaml")
BASELINE = Path(__file__).with_name("baseline.yaml")
"""For pods that all differ: each finding takes memory of its own, whatever is kept of its pod."""
_DECODE = """
import gc, os, sys
import msgspec
gc.disable()
if sys.argv[1:]:
    msgspec.json.decode(open(sys.argv[1], "rb").read())
os._exit(0)
"""
"""Decoding and nothing else: the collector off, and nothing taken down."""


def in_turn(commands: Sequence[list[str]], folder: Path, rounds: int) -> list[list[Cost]]:
    """Of each command the cost in each round. All of a round are run one after the other: whatever disturbs the
    machine for longer disturbs both sides of a ratio. From an empty folder: no conftest.py.
    """
    for command in commands:
        measure(command, folder)  # warm-up
    costs = [[measure(command, folder) for command in commands] for _ in range(rounds)]
    return [list(column) for column in zip(*costs, strict=True)]


def typical(costs: Sequence[Cost]) -> Cost:
    """The median of the time, the most memory."""
    return Cost(median(cost.cpu_s for cost in costs), max(cost.memory_mb for cost in costs))


def scan(pods: Path, folder: Path, spec: Path = SPEC) -> list[str]:
    """A whole run in pytest: start-up, parse, checks, JSON report."""
    return [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "pytest_kspec.plugin",
        "-c", os.devnull, f"--rootdir={folder}",
        f"--kspec-spec={spec}", f"--kspec-cluster={pods}", f"--kspec-report=json:{folder / 'result.json'}",
    ]  # fmt: skip


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name, "empty")
        folder.mkdir()
        paths = {count: Path(name, f"pods-{count}.json") for count in (FEW, *SIZES, MANY)}
        sizes = {count: write_pods(path, count) for count, path in paths.items()}
        print(f"{'':28}{'JSON':>9}{'CPU':>9}{'a pod':>9}{'memory':>9}{'ratio':>9}   goal")
        kspec = [sys.executable, "-c", "from pytest_kspec.cli.main import main; main()", "scan", str(SPEC)]
        start, few, shell = in_turn(
            [
                [sys.executable, "-m", "pytest", "--version"],
                [*kspec, "--cluster", str(paths[FEW])],
                scan(paths[FEW], folder),
            ],
            folder,
            STARTS,
        )
        _print("pytest --version", typical(start))
        for name, costs in ((f"kspec scan, {FEW} pods", few), (f"pytest, {FEW} pods", shell)):
            ratio = median(one.cpu_s / other.cpu_s for one, other in zip(costs, start, strict=True))
            _print(name, typical(costs), ratio=ratio, goal="2.5 × pytest --version")
        commands = [[sys.executable, "-c", _DECODE]]
        for count in SIZES:
            commands += [[sys.executable, "-c", _DECODE, str(paths[count])], scan(paths[count], folder)]
        nothing, *found = in_turn(commands, folder, RUNS)
        for count, goal, decoded, scanned in zip(
            SIZES, ("2.2 × decoding, 300 MB", ""), found[::2], found[1::2], strict=True
        ):
            ratio = median(
                one.cpu_s / (other.cpu_s - none.cpu_s)
                for one, other, none in zip(scanned, decoded, nothing, strict=True)
            )
            _print(f"decoding {count:,} pods", typical(decoded), sizes[count], count)
            _print(f"{count:,} pods, strict", typical(scanned), sizes[count], count, ratio=ratio, goal=goal)
        more = SIZES[1] - SIZES[0]
        further = [
            (large.cpu_s - small.cpu_s, large_decoded.cpu_s - small_decoded.cpu_s)
            for small_decoded, small, large_decoded, large in zip(*found, strict=True)
        ]
        each = median(scanned for scanned, _ in further) / more * 1e6
        ratio = median(scanned / decoded for scanned, decoded in further)
        print(f"{'each further pod':28}{'':9}{'':9}{each:6.0f} µs{'':9}{ratio:9.2f}   0.8 × decoding")
        (many,) = in_turn([scan(paths[MANY], folder)], folder, 1)
        _print(f"{MANY:,} pods, strict", typical(many), sizes[MANY], MANY, goal="20 s, 500 MB")
        paths[MANY].unlink()
        size = write_bare_pods(paths[MANY], MANY)
        (bare,) = in_turn([scan(paths[MANY], folder, BASELINE)], folder, 1)
        _print(f"{MANY:,} pods that all differ", typical(bare), size, MANY, goal="20 s, 500 MB")


def _print(name: str, cost: Cost, size: int = 0, count: int = 0, *, ratio: float = 0, goal: str = "") -> None:
    print(
        f"{name:28}{f'{size / 1e6:.0f} MB' if size else '':>9}{cost.cpu_s:7.2f} s"
        f"{f'{cost.cpu_s / count * 1e6:.0f} µs' if count else '':>9}{cost.memory_mb:6.0f} MB"
        f"{f'{ratio:.2f}' if ratio else '':>9}   {goal}",
        flush=True,
    )


if __name__ == "__main__":
    main()
