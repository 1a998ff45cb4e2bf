"""What a scrape of an operator costs: 1,000 clusters with 5 specifications each, beside prometheus_client.

    python -m benchmarks.metrics

Each in a process of its own. The goal is one scrape in under 1 s and 20 MB.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
import zlib
from typing import Any

from pytest_kspec.operator.metrics import Metrics, State
from pytest_kspec.operator.scans import Scanned
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.results.verdict import Severity, Verdict

CLUSTERS = 1000
SPECS = ("baseline", "restricted", "pci-dss", "soc2", "network")
_MB = 1e6


def ours() -> dict[str, float]:
    """Fill an operator's metrics as scans do, and expose them."""
    checks = tuple(
        CheckResult(f"a.c{n}", f"n{n}", "", severity, Verdict.FAIL if n % 3 else Verdict.PASS)
        for n, severity in enumerate(list(Severity) * 10)
    )
    made = Metrics(State(lambda: True, lambda: 0, lambda: 0.0, lambda: 1))
    before = _peak()
    for cluster in range(CLUSTERS):
        uid = f"00000000-0000-0000-0000-{cluster:012}"
        for name in SPECS:
            result = ClusterResult(
                f"cluster-{cluster:04}", "live", "v1.37.2", uid, name, "", f"cr:{name}", checks
            )
            made.scanned(name, Scanned(ScanResult("1", "", "", (result,)), (), 7.0))
            made.drifted(result.name, name, {})
            made.reconciled("clusterspec", name, 7.5)
    state = _peak() - before
    started, wall = time.process_time(), time.perf_counter()
    page = made.page()
    cpu, seconds = time.process_time() - started, time.perf_counter() - wall
    started = time.process_time()
    small = zlib.compress(page.body, 1)
    return {
        "samples": page.body.count(b"\n"),
        "mb": len(page.body) / _MB,
        "compressed_mb": len(small) / _MB,
        "cpu_s": cpu,
        "wall_s": seconds,
        "compress_s": time.process_time() - started,
        "state_mb": state / _MB,
    }


def library() -> dict[str, float]:
    """As many samples by prometheus_client."""
    import prometheus_client as client
    from prometheus_client.exposition import generate_latest

    client.disable_created_metrics()  # type: ignore[no-untyped-call]
    registry = client.CollectorRegistry()
    labels = ("cluster_name", "cluster_uid", "cluster_spec")
    gauges = [client.Gauge(f"kspec_g{n}", "x", labels, registry=registry) for n in range(24)]
    histogram = client.Histogram("kspec_h", "x", labels[::2], buckets=tuple(range(1, 11)), registry=registry)
    before = _peak()
    for cluster in range(CLUSTERS):
        for spec in SPECS:
            key = (f"cluster-{cluster:04}", f"00000000-0000-0000-0000-{cluster:012}", spec)
            for gauge in gauges:
                gauge.labels(*key).set(3)
            histogram.labels(*key[::2]).observe(7)
    state = _peak() - before
    started, wall = time.process_time(), time.perf_counter()
    text = generate_latest(registry)
    return {
        "samples": text.count(b"\n"),
        "mb": len(text) / _MB,
        "cpu_s": time.process_time() - started,
        "wall_s": time.perf_counter() - wall,
        "state_mb": state / _MB,
    }


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _run(name: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.metrics", name],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    return dict(json.loads(done.stdout))


def main() -> None:
    """Print the table."""
    if len(sys.argv) > 1:
        print(json.dumps({"ours": ours, "library": library}[sys.argv[1]]()))
        return
    print(f"{CLUSTERS} clusters x {len(SPECS)} specifications, one scrape\n")
    print(f"{'':20}{'samples':>10}{'text':>10}{'CPU':>10}{'wall':>10}{'values':>10}")
    for name in ("ours", "library"):
        found = _run(name)
        print(
            f"{name:20}{found['samples']:>10,}{found['mb']:>7.1f} MB{found['cpu_s']:>8.2f} s"
            f"{found['wall_s']:>8.2f} s{found['state_mb']:>7.0f} MB"
        )
        if "compressed_mb" in found:
            print(f"  compressed {found['compressed_mb']:.1f} MB, in {found['compress_s']:.2f} s of CPU")


if __name__ == "__main__":
    main()
