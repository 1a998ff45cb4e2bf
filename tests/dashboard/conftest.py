"""A store with two runs of a fleet, and a dashboard that serves it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from msgspec.structs import replace

from pytest_kspec.dashboard.source import StoreSource
from pytest_kspec.results.result import ScanResult
from pytest_kspec.storage.engine import open_store
from tests.reports.results import fleet, one
from tests.storage.conftest import keep

from .serving import Client, serving


def stored(path: Path, *results: ScanResult) -> str:
    """A store of these results."""
    store = open_store(str(path), create=True)
    for result in results:
        keep(store, result)
    store.close()
    return str(path)


@pytest.fixture(scope="session")
def fleet_store(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Fifty clusters, and one with everything that can happen."""
    now, second = fleet(), one()
    now = replace(now, started_at="2026-11-26T06:00:00Z", finished_at="2026-11-26T06:05:00Z")
    before = replace(now, clusters=now.clusters[:3], finished_at="2026-11-20T06:00:00Z")
    return stored(tmp_path_factory.mktemp("dashboard") / "results.db", before, now, second)


@pytest.fixture(scope="session")
def open_dashboard(fleet_store: str) -> Iterator[Client]:
    """Without authentication."""
    with serving(StoreSource(fleet_store)) as client:
        yield client
