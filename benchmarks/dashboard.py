"""Pages of the web dashboard at 1,000 clusters: store, template and HTTP together.

python -m benchmarks.dashboard      of the store of benchmarks.store: 40 requirements and 20 findings a cluster
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from urllib.parse import quote

from benchmarks.store import CLUSTERS, fill
from pytest_kspec.dashboard.source import StoreSource
from pytest_kspec.results.fingerprint import fingerprint
from pytest_kspec.storage.engine import open_store
from tests.dashboard.serving import serving

GOAL_S = 0.3
ROUNDS = 5


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "results.db"))
        store = open_store(path, create=True)
        newest = fill(store)
        store.close()
        cluster = newest.clusters[CLUSTERS // 2]
        check = next(check for check in cluster.checks if check.findings)
        one = fingerprint(cluster.id, check.id, check.findings[0])
        pages = {
            "fleet": "/",
            "fleet, 500 rows": "/?size=500",
            "fleet, page 10": "/?page=10",
            "cluster": f"/cluster?cluster={cluster.id}",
            "requirements": "/requirements",
            "requirement": f"/requirement?check={quote(check.id)}",
            "findings": "/findings",
            "search": "/findings?q=service-002",
            "finding": f"/finding?id={one}",
            "framework": "/framework?framework=cis-kubernetes-1.10",
            "frameworks": "/frameworks",
            "exemptions": "/exemptions",
            "drift": "/drift",
            "trend": "/trend",
            "/api/v1/results": "/api/v1/results?size=500",
            "/api/clusters": "/api/clusters",
        }
        with serving(StoreSource(path)) as client:
            for name, address in pages.items():
                client.get(address)
                took, used = [], []
                for _ in range(ROUNDS):
                    began, cpu = time.perf_counter(), time.process_time()
                    answer = client.get(address)
                    took.append(time.perf_counter() - began)
                    used.append(time.process_time() - cpu)
                    assert answer.status == 200, answer.data
                size = len(answer.data) / 1024
                print(
                    f"{name:20}{min(took):8.3f} s{min(used):8.3f} s CPU{size:8.0f} KB   goal: {GOAL_S} s",
                    flush=True,
                )


if __name__ == "__main__":
    main()
