"""Which requirement a result is of: itself, or that of which it is a set of parameters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.alerts.ledger import Ledger
from pytest_kspec.alerts.observe import observe
from pytest_kspec.results.diff import compare
from pytest_kspec.results.result import is_of_any
from tests.calls import calls_of
from tests.effort import with_fixtures
from tests.reports.results import check, cluster, finding, ref, scan

NAMES = st.text(alphabet="ab[]", max_size=6)


@with_fixtures(500)
@given(NAMES, st.frozensets(NAMES, max_size=5))
def test_it_is_what_comparing_with_each_of_them_finds(check_id: str, names: frozenset[str]) -> None:
    each = any(check_id == name or check_id.startswith(f"{name}[") for name in names)
    assert is_of_any(check_id, names) == each


def results(count: int) -> tuple[Any, Any]:
    """A whole run in which everything fails, and one that selected the half."""
    found = [
        check(f"acme.c{n}", f"C{n}", "high", "fail", findings=(finding(ref("Pod", "web"), "no", "no", "a"),))
        for n in range(count)
    ]
    half = tuple(f"acme.c{n}" for n in range(count) if n % 2)
    some = cluster("prod", checks=tuple(found[::2]), frameworks=(), not_selected=half)
    return scan(cluster("prod", checks=tuple(found), frameworks=())), scan(some)


def alerts(before: Any, after: Any) -> object:
    book = Ledger()
    book.take(observe(before.clusters[0], "2026-01-01T00:00:00Z"))
    book.take(observe(after.clusters[0], "2026-01-02T00:00:00Z"))
    assert not any(fact.resolved_at for fact in book.facts.values())
    return book


@pytest.mark.parametrize("made", [alerts, compare])
def test_twice_as_many_that_were_not_selected_are_twice_the_work(made: Callable[[Any, Any], object]) -> None:
    """Of thousands of requirements, none is compared with all others."""

    def work(count: int) -> int:
        runs = results(count)
        return calls_of(lambda: made(*runs))[0]

    work(10)  # what is imported and made once
    assert work(400) <= 2.2 * work(200)
