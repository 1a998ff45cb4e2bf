"""What looks like a credential is found in time, whatever an object holds. A hanging test is the failure."""

from __future__ import annotations

import pytest

from pytest_kspec.cluster.redact import REMOVED, for_snapshot


def recorded(value: str) -> str:
    pod = {
        "kind": "Pod",
        "spec": {"containers": [{"name": "c", "env": [{"name": "SETTING", "value": value}]}]},
    }
    for_snapshot(pod)
    kept: str = pod["spec"]["containers"][0]["env"][0]["value"]  # type: ignore[index]
    return kept


@pytest.mark.parametrize("value", ["-eyJ" * 200_000, "://a:" * 200_000, "eyJ" + "a" * 600_000])
def test_a_value_of_many_beginnings_does_not_hang(value: str) -> None:
    assert recorded(value) == value


def test_a_token_is_removed() -> None:
    assert recorded("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln") == REMOVED
