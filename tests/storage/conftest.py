"""Stores of both kinds, each test with its own; what is said of one holds for the other."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_kspec.reports import json
from pytest_kspec.results.order import canonical
from pytest_kspec.results.result import ScanResult
from pytest_kspec.storage.engine import Store, open_store
from pytest_kspec.storage.write import store_result

from .servers import ObjectStore, Postgres

BOTH = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def object_store() -> Iterator[ObjectStore]:
    with ObjectStore() as server:
        yield server


@pytest.fixture(params=BOTH)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a store that is not there yet."""
    if request.param == "sqlite":
        return str(tmp_path / "deep" / "results.db")
    server: Postgres = request.getfixturevalue("postgres")
    return server.database(f"t{uuid.uuid4().hex[:12]}")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    opened = open_store(url, create=True)
    yield opened
    opened.close()


Keep = Callable[..., str]


def keep(store: Store, result: ScanResult, place: str = "") -> str:
    """Store a result as the session does."""
    ordered = canonical(result)
    return store_result(store, ordered, json.render(ordered), place).run
