"""Drift over time: a difference is one row from when it came until a look did not find it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from pytest_kspec.errors import StoreError
from pytest_kspec.storage import drift, lasting, schema
from pytest_kspec.storage.drift import Difference
from pytest_kspec.storage.engine import open_store
from pytest_kspec.storage.prune import prune
from pytest_kspec.storage.read import Query


def difference(name: str, type: str = "policy") -> Difference:
    return Difference(f"{type}\0modified\0Kind\0{name}", type, "medium", {"message": f"\ud800{name}\0"})


def at(hour: int) -> str:
    return f"2026-01-01T{hour:02}:00:00Z"


def test_a_difference_is_one_row_until_it_is_gone(url: str) -> None:
    store = open_store(url, create=True)

    def look(
        hour: int, *names: str, compared: tuple[str, ...] = ("policy",), still: tuple[str, ...] = ()
    ) -> int:
        found = [difference(name) for name in names]
        return drift.record(store, "uid-1", "prod", "strict", at(hour), found, compared, still)

    assert [look(1, "a", "b"), look(2, "a"), look(3, "a", "b")] == [2, 0, 1]
    assert look(4, compared=()) == 0, "what was not compared is not gone"
    assert look(5, still=(difference("a").key,)) == 0
    rows = sorted((one.first_seen, one.last_seen, one.cleared_at) for one in drift.history(store))
    assert rows == [(at(1), at(1), at(2)), (at(1), at(3), ""), (at(3), at(3), at(5))]
    assert drift.record(store, "uid-2", "prod", "strict", at(6), [difference("a")], ("policy",)) == 1
    assert len(drift.history(store, Query(cluster="prod"))) == 4
    assert len(drift.history(store, Query(cluster="uid-2", spec="strict"))) == 1
    assert sorted(one.cleared_at for one in drift.history(store, Query(since=at(4)))) == ["", "", at(5)]
    assert drift.record(store, "uid-2", "prod", "strict", at(5), [difference("a")], ("policy",)) == 0
    assert drift.history(store, Query(cluster="uid-2"))[0].last_seen == at(6), "an older look changes nothing"

    for hour in (1, 2, 2):
        drift.note_correction(store, "uid-1", "strict", "Kind a", at(hour))
    assert drift.corrections(store, "uid-1", "strict", at(2)) == {"Kind a": 2}
    assert drift.corrections(store, "uid-1", "other", at(1)) == {}
    prune(store, since=at(4))
    assert sorted(one.cleared_at for one in drift.history(store)) == ["", "", at(5)]
    assert drift.corrections(store, "uid-1", "strict", at(1)) == {}
    store.close()


def test_five_thousand_differences_come_and_go(url: str) -> None:
    store = open_store(url, create=True)
    many = [difference(str(number)) for number in range(5000)]
    assert drift.record(store, "uid", "prod", "strict", at(1), many, ("policy",)) == 5000
    assert drift.record(store, "uid", "prod", "strict", at(2), many[:1], ("policy",)) == 0
    assert sum(not one.cleared_at for one in drift.history(store)) == 1
    store.close()


def test_no_run_is_not_an_empty_run(url: str) -> None:
    store = open_store(url, create=True)
    assert drift.last_run(store, "uid", "strict") is None
    store.close()


@pytest.mark.parametrize("key", ["a", "\ud800", "x" * 9999])
def test_a_key_has_one_length(key: str) -> None:
    assert len(Difference(key, "policy", "low", {}).digest) == 32


@pytest.mark.parametrize("text", ["{", "[]", "5", "[" * 100_000])
def test_a_difference_that_cannot_be_read_is_an_error(url: str, text: str) -> None:
    store = open_store(url, create=True)
    drift.record(store, "uid-1", "prod", "strict", at(1), [difference("a")], ("policy",))
    store.write(lambda connection: connection.execute(update(schema.drift).values(event=text)))
    reads: tuple[Any, ...] = (drift.history, lasting.drift)
    for read in reads:
        with pytest.raises(StoreError, match="a difference in it cannot be read"):
            read(store)
    store.close()
