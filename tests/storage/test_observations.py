"""Findings over time: what was fixed, what nobody knows, and which cluster it is about, in any order of uploads."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from sqlalchemy import select

from pytest_kspec.errors import StoreError, UsageError
from pytest_kspec.reports import json
from pytest_kspec.results.finding import FindingStatus
from pytest_kspec.results.observation import NOT_ASKED, State
from pytest_kspec.results.result import CheckResult, ScanResult
from pytest_kspec.storage import schema
from pytest_kspec.storage.engine import Store, open_store
from pytest_kspec.storage.pages import newest, observations, requirement
from pytest_kspec.storage.prune import prune
from pytest_kspec.storage.read import Query, StoredFinding, findings, reports, trend
from pytest_kspec.storage.write import store_result
from tests.effort import examples
from tests.reports.results import OPEN_ENDED, check, cluster, finding, ref, scan

from .conftest import keep

APP = finding(ref("Deployment", "web"), "spec.template.spec.containers[app].image", "nginx:1", "a digest")
FORBIDDEN = "may not list pods: 403 Forbidden"


def at(day: int, *checks: CheckResult, name: str = "a", **more: object) -> ScanResult:
    moment = f"2026-11-{day:02}T06:00:00Z"
    result = scan(cluster(name, checks=checks, frameworks=(), **more))
    return replace(result, started_at=moment, finished_at=moment)


def images(verdict: str, *found: object, reason: str = "") -> CheckResult:
    return check("images", "Images have digests", "high", verdict, findings=found, reason=reason)


FOUND = images("fail", APP)
GONE = images("pass")
ERROR = images("error", reason=FORBIDDEN)
NOTHING = images("skip", reason="nothing there to examine")
OTHER = check("other", "Another", "low", "pass")


def one(store: Store) -> StoredFinding:
    (found,) = findings(store)
    return found


@pytest.mark.parametrize(
    ("second", "state", "reason"),
    [
        (GONE, State.FIXED, ""),
        (NOTHING, State.UNKNOWN, NOTHING.reason),  # and so of the whole run
        (ERROR, State.UNKNOWN, FORBIDDEN),
        (images("skip", reason="out of scope"), State.UNKNOWN, "out of scope"),
        (OTHER, State.UNKNOWN, NOT_ASKED),
    ],
)
def test_could_not_look_is_never_fixed(store: Store, second: CheckResult, state: State, reason: str) -> None:
    keep(store, at(1, FOUND))
    keep(store, at(2, second))
    found = one(store)
    assert (found.state, found.reason, found.state.is_there) == (state, reason, {"fixed": False}.get(state))
    assert (found.first_seen, found.last_seen) == ("2026-11-01T06:00:00Z",) * 2
    assert found.resolved_at == ("2026-11-02T06:00:00Z" if state is State.FIXED else "")
    assert [(o.state, o.reason) for o in observations(store, found.id)] == [(State.OPEN, ""), (state, reason)]


@pytest.mark.parametrize("order", list(permutations(FindingStatus)), ids="-".join)
def test_pods_of_one_owner_that_differ_are_as_bad_as_the_worst(
    store: Store, order: tuple[FindingStatus, ...]
) -> None:
    """They are one finding over time; what one exemption covers does not hide another that is open."""
    pods = {
        FindingStatus.OPEN: replace(APP, resource=ref("Pod", "web-1")),
        FindingStatus.KNOWN: replace(APP, resource=ref("Pod", "web-2"), known=True),
        FindingStatus.EXEMPT: replace(APP, resource=ref("Pod", "web-3")).exempted_by(OPEN_ENDED),
    }
    keep(store, at(1, images("fail", *(pods[status] for status in order))))
    assert one(store).state is State.OPEN
    without = [pods[status] for status in order if status is not FindingStatus.OPEN]
    keep(store, at(2, images("pass", *without)))
    assert one(store).state is State.KNOWN


def test_what_comes_back_is_open_again(store: Store) -> None:
    for day, result in enumerate((FOUND, ERROR, GONE, ERROR, FOUND), 1):
        keep(store, at(day, result))
    found = one(store)
    assert (found.state, found.resolved_at, found.reason) == (State.OPEN, "", "")
    assert (found.first_seen[8:10], found.last_seen[8:10]) == ("01", "05")
    states = [o.state for o in observations(store, found.id)]
    assert states == [State.OPEN, State.UNKNOWN, State.FIXED, State.UNKNOWN, State.OPEN]


def test_another_cluster_says_nothing_about_this_one(store: Store) -> None:
    keep(store, at(1, FOUND))
    keep(store, at(2, GONE, name="b", uid="b"))
    keep(store, at(3, ERROR))
    assert (one(store).state, one(store).reason) == (State.UNKNOWN, FORBIDDEN)
    keep(store, at(5, GONE))
    assert (one(store).state, one(store).resolved_at[8:10]) == (State.FIXED, "05")
    keep(store, at(1, FOUND, name="c", uid="c"))
    first = {found.cluster: found.resolved_at[8:10] for found in findings(store)}
    assert first == {"a": "05", "c": ""}


def state_of(days: Sequence[tuple[int, CheckResult]]) -> list[StoredFinding]:
    with TemporaryDirectory() as folder:
        store = open_store(str(Path(folder) / "r.db"), create=True)
        for day, result in days:
            keep(store, at(day, result))
        found = list(findings(store))
        store.close()
    return found


RESULTS = st.lists(st.sampled_from([FOUND, GONE, ERROR, OTHER, NOTHING]), min_size=2, max_size=5)


@settings(max_examples=examples(15))
@given(RESULTS.map(lambda results: list(enumerate(results, 1))).flatmap(st.permutations))
def test_the_order_of_uploads_does_not_matter(days: list[tuple[int, CheckResult]]) -> None:
    assert state_of(days) == state_of(sorted(days, key=lambda day: day[0]))


def test_every_order_of_three() -> None:
    days = [(1, FOUND), (2, GONE), (3, ERROR)]
    expected = state_of(days)
    assert (expected[0].state, expected[0].resolved_at[8:10]) == (State.FIXED, "02")
    for order in permutations(days):
        assert state_of(order) == expected


def test_two_clusters_of_one_name_are_two(store: Store) -> None:
    keep(store, at(1, FOUND, name="admin@kubernetes", uid="uid-a"))
    keep(store, at(2, GONE, name="admin@kubernetes", uid="uid-b"))
    found = one(store)
    assert (found.state, found.cluster_id) == (State.OPEN, "uid-a")
    assert [(p.cluster, p.cluster_id) for p in trend(store, Query(cluster="admin@kubernetes"))] == [
        ("admin@kubernetes", "uid-a"),
        ("admin@kubernetes", "uid-b"),
    ]
    assert [p.cluster_id for p in trend(store, Query(cluster="uid-b"))] == ["uid-b"]


def test_a_cluster_keeps_its_history_under_a_new_name(store: Store) -> None:
    keep(store, at(1, FOUND, name="old", uid="uid-a"))
    keep(store, at(2, GONE, name="new", uid="uid-a"))
    found = one(store)
    assert (found.state, found.cluster) == (State.FIXED, "new")


def test_manifests_have_a_stated_identity(store: Store) -> None:
    keep(store, at(1, FOUND, name="deploy", uid="", source="manifests"))
    keep(store, at(2, GONE, name="deploy", uid="uid-a"))
    found = one(store)
    assert (found.state, found.cluster_id) == (State.OPEN, "manifests:deploy")


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_run_of_parts_lasts_from_its_first_start_to_its_last_end(
    store: Store, order: Sequence[int]
) -> None:
    spans = [("02", "04"), ("01", "03"), ("03", "05")]
    for number in order:
        start, end = (f"2026-11-01T{hour}:00:00Z" for hour in spans[number])
        part = replace(at(1, FOUND, name=f"c{number}"), started_at=start, finished_at=end)
        store_result(store, part, json.render(part), run="parts")
    with store.read() as connection:
        (row,) = connection.execute(select(schema.runs.c.started_at, schema.runs.c.finished_at)).all()
    assert tuple(row) == ("2026-11-01T01:00:00Z", "2026-11-01T05:00:00Z")


@pytest.mark.parametrize("order", list(permutations(range(1, 4))))
def test_a_cluster_was_seen_first_and_last_whatever_came_first(store: Store, order: Sequence[int]) -> None:
    for day in order:
        keep(store, at(day, FOUND, name=f"name-{day}", uid="u"))
    with store.read() as connection:
        table = schema.clusters.c
        (row,) = connection.execute(select(table.first_seen, table.last_seen, table.name)).all()
    assert tuple(row) == ("2026-11-01T06:00:00Z", "2026-11-03T06:00:00Z", "name-3")


def test_a_run_of_many_parts_and_idempotent_uploads(store: Store, tmp_path: Path) -> None:
    place = str(tmp_path / "reports")
    parts = [at(1, FOUND, name=name) for name in ("a", "b")] + [at(2, GONE, name="c")]
    for result in (*parts, *parts, replace(parts[0], run_by="another try")):
        done = store_result(store, result, json.render(result), place, "fleet-2026-11-01")
        assert done.run == "fleet-2026-11-01"
    assert done.results == 0
    assert [p.cluster for p in trend(store)] == ["a", "b", "c"]
    assert len(reports(store, "fleet-")) == 4
    prune(store, since="2026-11-03T00:00:00Z")
    assert (trend(store), findings(store), list((tmp_path / "reports").rglob("*.gz"))) == ((), (), [])
    with pytest.raises(StoreError, match="at most 64 characters"):
        store_result(store, parts[0], b"", run="x" * 65)


def test_two_specifications_on_one_cluster_in_one_run(store: Store) -> None:
    first, second = at(1, FOUND, name="a"), at(1, FOUND, name="a", spec_name="other")
    both = replace(first, clusters=first.clusters + second.clusters)
    done = store_result(store, both, json.render(both))
    assert (done.results, done.twice) == (2, ())
    assert sorted(point.spec for point in trend(store)) == ["other", "strict"]


def test_two_names_of_one_cluster_in_one_run(store: Store) -> None:
    first, second = at(1, FOUND, name="a", uid="u"), at(1, FOUND, name="b", uid="u")
    both = replace(first, clusters=first.clusters + second.clusters)
    done = store_result(store, both, json.render(both))
    assert (done.results, done.twice) == (1, ("b",))


def test_pages(store: Store) -> None:
    keep(store, at(1, FOUND, OTHER, name="a"))
    keep(store, at(2, ERROR, OTHER, name="a"))
    keep(store, at(1, GONE, name="b"))
    assert [(p.cluster, p.finished_at[8:10], p.errors) for p in newest(store)] == [
        ("a", "02", 1),
        ("b", "01", 0),
    ]
    assert [p.cluster for p in newest(store, Query(since="2026-11-02T00:00:00Z"))] == ["a"]
    assert [(c.cluster, c.verdict, c.reason) for c in requirement(store, "images")] == [
        ("b", "pass", ""),
        ("a", "error", FORBIDDEN),
    ]
    assert [(c.cluster, c.verdict, c.reason) for c in requirement(store, "other")] == [("a", "pass", "")]
    assert requirement(store, "none") == ()
    with pytest.raises(UsageError, match="no finding has this id"):
        observations(store, "x")


def test_a_cluster_that_does_not_answer_takes_the_place_of_what_it_was(store: Store) -> None:
    """It has no UID then, and is known by its name; when it answers again, it is itself again."""
    keep(store, at(1, GONE, name="a", uid="u-1"))
    keep(store, at(1, GONE, name="b", uid="u-2"))
    keep(store, at(2, ERROR, name="a", uid=""))
    assert [(p.cluster, p.cluster_id, p.score) for p in newest(store)] == [
        ("a", "live:a", None),
        ("b", "u-2", 100.0),
    ]
    keep(
        store, at(3, GONE, name="a", uid="u-9")
    )  # built anew: the old one has its history, and is the same name
    assert [(p.cluster, p.cluster_id) for p in newest(store)][-2:] == [("a", "u-9"), ("b", "u-2")]
    assert "live:a" not in [p.cluster_id for p in newest(store)]
