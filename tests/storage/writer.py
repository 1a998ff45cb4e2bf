"""Stores one run after the other and says each that is acknowledged; killed by the test at any moment.

python -m tests.storage.writer URL NAME, the URL on standard input (it may hold a password).
"""

from __future__ import annotations

import itertools
import sys

from msgspec.structs import replace

from pytest_kspec.storage.engine import open_store
from tests.reports.results import fleet

from .conftest import keep

CLUSTERS, CHECKS, FINDINGS = 4, 12, 6


def main() -> None:
    name, url = sys.argv[1], sys.stdin.readline().strip()
    result = fleet(CLUSTERS, CHECKS, FINDINGS)
    store = open_store(url, create=True)
    for number in itertools.count():
        day = number % 28 + 1
        moment = f"2026-{number // 28 % 12 + 1:02}-{day:02}T06:00:00Z"
        run_id = keep(store, replace(result, finished_at=moment, run_by=f"{name} {number}"))
        sys.stdout.write(run_id + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
