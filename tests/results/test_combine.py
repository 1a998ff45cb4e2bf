from __future__ import annotations

import pytest
from msgspec.structs import replace

from pytest_kspec.errors import UsageError
from pytest_kspec.results.combine import combine
from tests.reports import results


def test_one_is_itself() -> None:
    assert combine([("a", results.one())]) == results.one()


def test_a_fleet_of_several() -> None:
    eu = replace(results.one(), run_by="job 1")
    us = replace(
        results.scan(results.cluster("prod-us")),
        started_at="2026-11-24T05:59:00Z",
        finished_at="2026-11-24T06:00:01Z",
        run_by="job 2",
    )
    both = combine([("eu.json", eu), ("us.json", us)])
    assert both.clusters == (*eu.clusters, *us.clusters)
    assert (both.started_at, both.finished_at) == ("2026-11-24T05:59:00Z", "2026-11-24T06:00:07Z")
    assert both.run_by == "job 1, job 2"


def test_the_same_twice_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        combine([("a.json", results.one()), ("b.json", results.one())])
    assert str(caught.value) == (
        "b.json: contains cluster prod-eu by specs/strict.yaml, as a.json does. "
        "Use one result for each cluster and specification."
    )


def test_versions_must_be_equal() -> None:
    other = replace(results.scan(results.cluster("prod-us")), tool_version="0.2.0")
    with pytest.raises(UsageError, match=r"was made by pytest-kspec 0\.2\.0, a\.json by 0\.1\.0"):
        combine([("a.json", results.one()), ("b.json", other)])
