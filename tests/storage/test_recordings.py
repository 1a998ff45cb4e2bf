"""Objects of the last good run in both databases."""

from __future__ import annotations

import pytest

from pytest_kspec.errors import StoreError
from pytest_kspec.storage.engine import open_store
from pytest_kspec.storage.prune import prune
from pytest_kspec.storage.recordings import LARGEST, Recording, find, keep


def day(number: int) -> str:
    return f"2026-01-{number:02}T00:00:00Z"


def test_the_newest_is_kept_while_it_is_used(url: str) -> None:
    store = open_store(url, create=True)
    first, second = (Recording("kinds", "1.0", day(number), b"\0\xff" * number) for number in (3, 5))
    assert find(store, "uid-1", "me", day(1)) is None
    keep(store, "uid-1", "me", first)
    keep(store, "uid-1", "other", second)
    keep(store, "uid-2", "me", second)
    assert find(store, "uid-1", "me", day(3)) == first
    keep(store, "uid-1", "me", second)
    keep(store, "uid-1", "me", first)
    assert find(store, "uid-1", "me", day(5)) == second, "a leader that was replaced takes nothing back"

    with pytest.raises(StoreError, match="Name fewer kinds"):
        keep(store, "uid-1", "me", Recording("kinds", "1.0", day(6), b"x" * (LARGEST + 1)))
    assert find(store, "uid-1", "me", day(9)) == second

    prune(store, since=day(9), dry_run=True)
    assert find(store, "uid-1", "other", day(5)) == second
    prune(store, since=day(9))
    assert find(store, "uid-1", "other", day(10)) is None
    assert find(store, "uid-1", "me", day(10)) == second, "it was compared with on that day"
    store.close()
