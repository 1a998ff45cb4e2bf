"""A leader that was stopped in the middle of a write does not go on with it when another one leads."""

from __future__ import annotations

import pytest

from pytest_kspec.errors import StoreError
from pytest_kspec.storage import drift
from pytest_kspec.storage.drift import Difference
from pytest_kspec.storage.engine import Store, open_store
from pytest_kspec.storage.leaders import FencingToken, fence

SEEN = Difference("policy\0shop", "policy", "high", {"type": "policy"})
EARLY, LATE = "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"


def look(store: Store, at: str, *found: Difference) -> int:
    return drift.record(store, "uid:1", "prod", "strict", at, found, ["policy"])


def leading(url: str, number: int, lease: str = "lease-1") -> Store:
    store = open_store(url)
    fence(store, FencingToken(lease, number))
    return store


def test_a_leader_of_before_writes_nothing(store: Store, url: str) -> None:
    old, new = leading(url, 7), leading(url, 8)
    assert look(old, EARLY, SEEN) == 1
    assert look(new, LATE) == 0
    with pytest.raises(StoreError, match="another replica has become the leader"):
        look(old, LATE, SEEN)
    (kept,) = drift.history(store)
    assert (kept.last_seen, kept.cleared_at) == (EARLY, LATE)
    assert look(new, "2026-01-01T00:02:00Z", SEEN) == 1  # who leads goes on
    for one in (old, new):
        one.close()


def test_leases_of_others_and_who_has_none_are_no_matter(store: Store, url: str) -> None:
    new, other = leading(url, 8), leading(url, 1, "lease-2")
    look(new, EARLY, SEEN)
    look(other, LATE, SEEN)
    look(store, LATE, SEEN)
    for one in (new, other):
        one.close()


def test_a_look_that_is_stored_late_clears_nothing_that_a_later_one_saw(store: Store) -> None:
    look(store, EARLY, SEEN)
    look(store, LATE, SEEN)
    look(store, "2026-01-01T00:00:30Z")
    (kept,) = drift.history(store)
    assert (kept.last_seen, kept.cleared_at) == (LATE, "")
