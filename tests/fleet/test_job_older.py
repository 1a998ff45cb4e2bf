"""The Job as servers take it that do not have all that is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.fleet.job import Settings, job_name, submit


@pytest.mark.parametrize("keeps", [True, False], ids=["of today", "of before 1.29"])
def test_a_server_that_drops_what_it_does_not_know_limits_the_whole_job(keeps: bool) -> None:
    """A trial says whether it would keep the limit of each shard."""
    created: list[tuple[bool, dict[str, Any]]] = []

    class Server:
        def find(self, *_: Any, **__: Any) -> None:
            return None

        def create(self, obj: dict[str, Any], *, dry_run: bool = False, **_: Any) -> dict[str, Any]:
            created.append((dry_run, obj))
            spec = {
                key: value for key, value in obj["spec"].items() if keeps or key != "backoffLimitPerIndex"
            }
            return {**obj, "spec": spec}

    class Hub:
        def do(self, work: Callable[[Server], str]) -> str:
            return work(Server())

    assert submit(cast(Access, Hub()), "r", 4, Settings("kspec:1", "store")) == job_name("r")
    assert [dry_run for dry_run, _ in created] == [True, False]
    spec = created[-1][1]["spec"]
    limits = (spec.get("backoffLimitPerIndex"), spec.get("backoffLimit"))
    assert limits == ((2, None) if keeps else (None, 8))
    actions = {rule["action"] for rule in spec["podFailurePolicy"]["rules"]}
    assert ("FailIndex" in actions) is keeps, "the server would refuse it"
