"""What is told beside results of scans: how urgent it is, what is told again, and what ends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from pytest_kspec.alerts.alert import Level
from pytest_kspec.alerts.ledger import Ledger
from pytest_kspec.fleet.targets.credentials import Life
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.observed import expires_soon, no_target, of_corrections, of_target

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DAY = 86400.0


def life(left_days: float, whole_days: float | None) -> Life:
    end = NOW.timestamp() + left_days * DAY
    return Life(None if whole_days is None else end - whole_days * DAY, end)


@pytest.mark.parametrize(
    ("left", "whole", "level"),
    [
        (8, 365, None),
        (7, 365, Level.WARNING),
        (1.1, 365, Level.WARNING),
        (1, 365, Level.CRITICAL),
        (-1, 365, Level.CRITICAL),
        (7, None, Level.WARNING),
        (0.5, 1, None),  # a token of a day is renewed by then
        (0.09, 1, Level.CRITICAL),  # and was not
        (5, 30, None),
        (3, 30, Level.WARNING),
        (-1, 1, Level.CRITICAL),
    ],
)
def test_credentials_are_named_when_they_should_have_been_renewed(
    left: float, whole: float | None, level: Level | None
) -> None:
    assert expires_soon(life(left, whole), NOW) is level


def test_what_does_not_end_is_not_named() -> None:
    assert expires_soon(Life(), NOW) is None


def test_a_target_from_week_to_end() -> None:
    ledger = Ledger()
    tokens = []
    for left in (6, 5, 0.5, -0.1):
        ledger.take(of_target("ns", "edge", life(left, 365), NOW))
        (fact,) = ledger.facts.values()
        tokens.append(fact.revision)
    assert tokens == [0, 0, 1, 2], "told again within a day, and when they have ended"
    assert fact.alert.title == "The credentials for edge expired at 2026-11-29T09:36:00Z"
    ledger.take(of_target("ns", "other", life(300, 365), NOW))
    assert not fact.resolved_at, "of another ClusterTarget, also of the same cluster"
    ledger.take(no_target("ns", "edge", NOW))
    (fact,) = ledger.facts.values()
    assert fact.resolved_at


def test_a_correction_is_told_once_and_the_next_one_too() -> None:
    ledger = Ledger()
    revisions = []
    for recent in ({"a": 1}, {"a": 1}, {"a": 2}, {"a": 1}, {"a": 1, "b": 1}):
        ledger.take(of_corrections("prod", "u", "s", recent, NOW))
        (fact,) = ledger.facts.values()
        revisions.append(fact.revision)
    assert revisions == [0, 0, 1, 1, 2]
    assert fact.alert.description == "a was corrected once\nb was corrected once"
    ledger.take(of_corrections("prod", "u", "s", {}, NOW))
    (fact,) = ledger.facts.values()
    assert fact.resolved_at


def test_what_did_not_change_is_posted_once() -> None:
    board, seen = Board(), []
    board.watchers.append(lambda: seen.append(1))
    for minutes in range(3):
        board.post(of_target("ns", "edge", life(300, 365), NOW + timedelta(minutes=minutes)))
    assert len(seen) == 1
    board.post(of_target("ns", "edge", life(1, 365), NOW))
    assert len(seen) == 2
    assert [one.seen.cluster for one in board.since(1) if one.seen] == ["edge"]
