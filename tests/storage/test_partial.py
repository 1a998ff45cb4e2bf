"""Runs of some requirements: they are kept and marked, and never stand for what they did not select."""

from __future__ import annotations

from itertools import permutations

import pytest
from msgspec.structs import replace

from pytest_kspec.results.observation import NOT_SELECTED, State
from pytest_kspec.results.result import CheckResult, ScanResult
from pytest_kspec.storage import listing
from pytest_kspec.storage.drift import Wanted, last_run
from pytest_kspec.storage.engine import Store, open_store
from pytest_kspec.storage.pages import newest, observations
from pytest_kspec.storage.prune import prune
from pytest_kspec.storage.read import findings, trend

from .before import go_back
from .conftest import keep
from .test_observations import ERROR, FOUND, GONE, OTHER, at

GOOD = replace(OTHER, id="good")


def part(day: int, *checks: CheckResult, left_out: tuple[str, ...] = ("images",)) -> ScanResult:
    return at(day, *checks, not_selected=left_out)


def state(store: Store) -> tuple[str, int, int, str]:
    (row,) = listing.standings(store).rows
    return row.state, row.selected, row.left_out, row.finished_at[8:10]


ORDERS = list(permutations(range(3)))


@pytest.mark.parametrize("order", ORDERS, ids=lambda order: "".join(map(str, order)))
def test_a_whole_run_is_the_state_in_any_order(store: Store, order: tuple[int, ...]) -> None:
    runs = [part(1, OTHER), at(2, FOUND, OTHER), part(3, OTHER)]
    for number in order:
        keep(store, runs[number])
    assert state(store) == ("fail", 2, 0, "02")
    assert [(point.selected, point.left_out) for point in trend(store)] == [(1, 1), (2, 0), (1, 1)]
    assert [(point.finished_at[8:10], point.left_out) for point in newest(store)] == [("02", 0)]
    (found,) = findings(store)
    assert (found.state, found.reason) == (State.OPEN, "")
    # The day of the others is of no whole run.
    assert [day.day[8:] for day in listing.days(store, since="2026-01-01T00:00:00Z")] == ["02"]


@pytest.mark.parametrize("verdicts", [(OTHER,), (OTHER, GOOD)])
def test_partial_runs_alone_are_marked_and_never_compliant(
    store: Store, verdicts: tuple[CheckResult, ...]
) -> None:
    keep(store, part(1, *verdicts))
    assert state(store) == ("error", len(verdicts), 1, "01")
    assert listing.standings(store).counts == {"error": 1}
    keep(store, part(2, FOUND, left_out=("good", "other")))
    assert state(store) == ("fail", 1, 2, "02"), "the last of them"
    keep(store, part(3, OTHER))
    (found,) = findings(store)
    assert (found.state, found.reason) == (State.UNKNOWN, NOT_SELECTED)
    assert [(one.state, one.reason) for one in observations(store, found.id)] == [
        (State.OPEN, ""),
        (State.UNKNOWN, NOT_SELECTED),
    ]
    keep(store, at(1, OTHER))
    (found,) = findings(store)
    assert state(store) == ("pass", 1, 0, "01"), "a whole run, though it is older"
    assert (found.state, found.reason) == (State.OPEN, ""), "seen after it"


def test_a_finding_that_a_partial_run_does_not_find_is_fixed_by_the_next_whole_one(store: Store) -> None:
    keep(store, at(1, FOUND, OTHER))
    keep(store, part(2, GONE, left_out=("other",)))
    assert [found.state for found in findings(store)] == [State.OPEN]
    keep(store, at(3, ERROR, OTHER))
    assert [(found.state, found.resolved_at[8:10]) for found in findings(store)] == [(State.FIXED, "02")]


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_that_ended_in_one_second_the_whole_one_is_the_state(store: Store, turned: bool) -> None:
    """Also where the partial one has as many requirements, as parameter sets are left out; and for the reason."""
    keep(store, at(1, FOUND, OTHER))
    runs = [at(2, ERROR, OTHER), part(2, replace(ERROR, reason="another"), OTHER, left_out=("x[1]",))]
    for run in reversed(runs) if turned else runs:
        keep(store, run)
    assert state(store) == ("error", 2, 0, "02")
    assert [found.reason for found in findings(store)] == [ERROR.reason]
    days = {
        day.day[8:]: (day.results, day.errors) for day in listing.days(store, since="2026-01-01T00:00:00Z")
    }
    assert days["02"] == (1, 1)


def test_drift_compares_with_whole_runs_only(store: Store) -> None:
    keep(store, part(1, OTHER))
    identity, spec = "uid-a", at(1, OTHER).clusters[0].spec_name
    (cluster,) = at(1, OTHER).clusters
    identity = cluster.id
    assert last_run(store, identity, spec) is None
    keep(store, at(2, FOUND, OTHER))
    keep(store, part(3, OTHER))
    found = last_run(store, identity, spec)
    assert found is not None
    assert found.finished_at[8:10] == "02"
    result = at(2, OTHER)
    wanted = Wanted(
        "2026-11-09T00:00:00Z", "", "2026-11-09T00:00:00Z", result.tool_version, cluster.spec_version
    )
    found = last_run(store, identity, spec, wanted)
    assert found is not None
    assert found.finished_at[8:10] == "02"


def test_partial_runs_push_out_no_whole_ones(store: Store) -> None:
    for day in (1, 2):
        keep(store, at(day, FOUND, OTHER))
    for day in (3, 4, 5):
        keep(store, part(day, OTHER))
    assert len(prune(store, newest=2).runs) == 1
    assert [point.finished_at[8:10] for point in trend(store)] == ["01", "02", "04", "05"]
    assert state(store) == ("fail", 2, 0, "02")
    prune(store, since="2026-11-05T00:00:00Z")
    assert state(store) == ("error", 1, 1, "05"), "the only one that is left"


def test_results_of_before_count_as_whole_unless_only_a_partial_one_could_be_there(url: str) -> None:
    store = open_store(url, create=True)
    keep(store, at(1, FOUND, OTHER, GOOD))
    keep(store, part(2, OTHER))
    go_back(store, "r0010")
    store.close()
    store = open_store(url)
    assert [point.left_out for point in trend(store)] == [0, 2]
    keep(store, part(3, OTHER))
    assert state(store) == ("fail", 3, 0, "01")
    store.close()
