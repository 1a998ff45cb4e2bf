"""Peak memory of runs over more and more clusters: that of the biggest one, and the results.

python -m benchmarks.memory     1, 8 and 64 clusters of 4,000 pods, and three specifications on 8 of them
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import yaml

from benchmarks.cost import Cost, measure
from benchmarks.pods import write_pods

PODS = 4_000
CLUSTERS = (1, 8, 64)
GOAL_MB = 2.5
"""What a further cluster may add: its results, some 1,000 findings of 2 KB."""
SPEC = Path(__file__).with_name("strict.yaml")


def scan(folder: Path, clusters: int, specs: list[Path]) -> Cost:
    """One run over so many clusters, in one process."""
    command = [sys.executable, "-c", "from pytest_kspec.cli.main import main; main()", "scan", "-q"]
    command += [str(spec) for spec in specs]
    command += [f"--cluster={folder / f'cluster-{number:02}.json'}" for number in range(clusters)]
    return measure(command, folder)


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        first = folder / "cluster-00.json"
        write_pods(first, PODS)
        for number in range(1, max(CLUSTERS)):
            os.link(first, folder / f"cluster-{number:02}.json")
        specs = [folder / f"strict-{number}.yaml" for number in range(3)]
        for number, path in enumerate(specs):
            document = yaml.safe_load(SPEC.read_text(encoding="utf-8"))
            document["metadata"]["name"] = f"strict-{number}"
            path.write_text(yaml.safe_dump(document), encoding="utf-8")
        print(f"{f'clusters of {PODS:,} pods':28}{'CPU':>9}{'memory':>10}{'a further':>12}   goal")
        alone = scan(folder, 1, specs[:1])
        _print("1", alone)
        for count in CLUSTERS[1:]:
            cost = scan(folder, count, specs[:1])
            _print(f"{count}", cost, (cost.memory_mb - alone.memory_mb) / (count - 1))
        cost = scan(folder, 8, specs)
        _print("8, three specifications", cost, (cost.memory_mb - alone.memory_mb) / (3 * 8 - 1))


def _print(name: str, cost: Cost, further: float | None = None) -> None:
    more = f"{further:9.2f} MB   {GOAL_MB} MB" if further is not None else ""
    print(f"{name:28}{cost.cpu_s:7.2f} s{cost.memory_mb:7.0f} MB{more}", flush=True)


if __name__ == "__main__":
    main()
