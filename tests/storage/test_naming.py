"""One cluster under several names: the store calls it by one of them, in whatever order its results are stored."""

from __future__ import annotations

import itertools
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace
from sqlalchemy import select

from pytest_kspec.results.result import ScanResult
from pytest_kspec.storage import schema
from pytest_kspec.storage.engine import Store
from tests.reports.results import UID, cluster, scan

from .conftest import keep

BEGIN = datetime(2026, 11, 1, 6, tzinfo=UTC)


def result(hours: float, name: str, spec: str = "strict") -> ScanResult:
    moment = f"{BEGIN + timedelta(hours=hours):%Y-%m-%dT%H:%M:%SZ}"
    one = scan(replace(cluster(name), uid=UID, spec_name=spec))
    return replace(one, started_at=moment, finished_at=moment)


def called(store: Store) -> str:
    with store.read() as connection:
        (name,) = connection.execute(select(schema.clusters.c.name)).scalars()
    return str(name)


@pytest.mark.parametrize(
    ("scans", "names"),
    [
        # A hub scans itself every hour, and once a day it is one of the fleet.
        ([*((h, "hub") for h in range(23)), (23.5, "prod"), (24, "hub"), (25, "hub")], {"hub"}),
        # Two that take turns, rarely.
        ([(168 * week, ("hub", "prod")[week % 2]) for week in range(6)], {"hub"}),
        # Renamed: known by its second scan under the new name if scans are rare, and after a day if they are not.
        ([(0, "old"), (30, "new"), (60, "new"), (90, "new")], ["old", "old", "new", "new"]),
        ([(h, "old" if h < 2 else "new") for h in range(28)], ["old"] * 26 + ["new"] * 2),
    ],
    ids=["often and rarely", "in turn", "renamed", "renamed between many scans"],
)
def test_scans_one_after_the_other(
    store: Store, scans: list[tuple[float, str]], names: set[str] | list[str]
) -> None:
    seen = []
    for hours, name in scans:
        keep(store, result(hours, name))
        seen.append(called(store))
    assert set(seen) == names if isinstance(names, set) else seen == names


def test_any_order_gives_the_same_name(store: Store) -> None:
    scans = [(0, "a"), (40, "b"), (41, "a"), (80, "b")]
    for one, order in enumerate(itertools.permutations(scans)):
        uid = str(uuid.uuid5(uuid.UUID(UID), str(one)))
        for hours, name in order:
            made = result(hours, name)
            keep(store, replace(made, clusters=(replace(made.clusters[0], uid=uid),)))
    with store.read() as connection:
        assert set(connection.execute(select(schema.clusters.c.name)).scalars()) == {"a"}


def test_a_name_by_which_another_specification_is_known_counts(store: Store) -> None:
    for hours in range(0, 90, 30):
        keep(store, result(hours, "hub", "one"))
        keep(store, result(hours + 1, "prod", "two"))
        assert called(store) == "hub"
