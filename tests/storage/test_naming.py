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
        (
            [
                *((h, "hub") for h in range(24)),
                (23.5, "prod"),
                (24, "hub"),
                (25, "hub"),
                (47.5, "prod"),
                (48, "hub"),
            ],
            ["hub"] * 24 + ["prod"] + ["hub"] * 4,
        ),
        # Two that take turns, rarely.
        ([(168 * week, ("hub", "prod")[week % 2]) for week in range(6)], ["hub", "prod"] + ["hub"] * 4),
        # Renamed, also where both names were used before.
        ([(0, "old"), (30, "new"), (60, "new")], ["old", "new", "new"]),
        (
            [(0, "old"), (30, "new"), (60, "old"), (90, "new"), (120, "new"), (150, "new")],
            ["old", "new", "old", "old", "new", "new"],
        ),
    ],
    ids=["often and rarely", "in turn", "renamed", "renamed later"],
)
def test_scans_one_after_the_other(store: Store, scans: list[tuple[float, str]], names: list[str]) -> None:
    seen = []
    for hours, name in scans:
        keep(store, result(hours, name))
        seen.append(called(store))
    assert seen == names


@pytest.mark.parametrize(("length", "name"), [(2, "b"), (3, "a"), (4, "a")])
def test_any_order_gives_the_same_name(store: Store, length: int, name: str) -> None:
    scans = [(0, "a"), (40, "b"), (41, "a"), (80, "b")][:length]
    for one, order in enumerate(itertools.permutations(scans)):
        uid = str(uuid.uuid5(uuid.UUID(UID), str(one)))
        for hours, used in order:
            made = result(hours, used)
            keep(store, replace(made, clusters=(replace(made.clusters[0], uid=uid),)))
    with store.read() as connection:
        assert set(connection.execute(select(schema.clusters.c.name)).scalars()) == {name}


def test_a_name_by_which_another_specification_is_known_counts(store: Store) -> None:
    seen = []
    for hours in range(0, 90, 30):
        keep(store, result(hours, "hub", "one"))
        keep(store, result(hours + 1, "prod", "two"))
        seen.append(called(store))
    assert seen == ["prod", "hub", "hub"], "the second one could have been a new name at first"
