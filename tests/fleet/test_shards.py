"""Shards are balanced by how long clusters took, and the same input gives the same shards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.fleet.shards import balance

SECONDS = st.lists(st.one_of(st.none(), st.floats(0, 900)), min_size=1, max_size=40)


@pytest.mark.parametrize(
    ("seconds", "shards", "expected"),
    [
        ([None, None, None, None], 2, [0, 1, 0, 1]),
        ([100.0, 10.0, 10.0, 10.0], 2, [0, 1, 1, 1]),
        ([10.0, 10.0, 10.0, 100.0], 2, [1, 1, 1, 0]),
        ([8.0, 7.0, 6.0, 5.0, 4.0], 2, [0, 1, 1, 0, 0]),
        ([1.0], 5, [0]),
        ([1.0, None], 0, [0, 0]),
        ([], 3, []),
        ([0.0, 0.0, 0.0], 3, [0, 1, 2]),
    ],
)
def test_the_longest_goes_to_whoever_has_least_to_do(
    seconds: list[float | None], shards: int, expected: list[int]
) -> None:
    assert balance(seconds, shards) == expected


@given(SECONDS, st.integers(1, 12))
def test_every_shard_is_used_and_no_worker_has_more_than_a_cluster_too_much(
    seconds: list[float | None], shards: int
) -> None:
    found = balance(seconds, shards)
    assert found == balance(seconds, shards)
    assert set(found) == set(range(min(shards, len(seconds))))
    known = [second for second in seconds if second is not None]
    if len(known) == len(seconds):
        loads = [sum(s for s, at in zip(known, found, strict=True) if at == shard) for shard in set(found)]
        assert max(loads) - min(loads) <= max(known) + 1e-6
