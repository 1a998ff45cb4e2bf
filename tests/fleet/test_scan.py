"""`kspec fleet scan` over servers with faults: every cluster has exactly one outcome, whatever it does."""

from __future__ import annotations

import sqlite3

from .conftest import MakeFleet

FAULTS = {
    "c-001": {"fault": "hang"},
    "c-002": {"fault": "refused"},
    "c-003": {"fault": "expired"},
    "c-004": {"uid": "00000000-0000-4000-8000-000000000000"},
    "c-005": {"fault": "forbidden"},
    "c-006": {"fault": "busy"},
    "c-007": {"fault": "errors"},
    "c-008": {"fault": "reset"},
}


def test_every_cluster_of_a_fleet_has_one_outcome(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(10, FAULTS)
    said = fleet.run("scan", "spec.yaml", "--all-contexts", "-o", "json")
    assert said.code == 2, said.err
    report = said.json
    found = {row["name"]: row for row in report["clusters"]}
    # Of two names of one cluster, the first in the alphabet has the result.
    other, same = "c-000", "c-004"
    assert {name: row["outcome"] for name, row in found.items()} == {
        other: "scanned",
        "c-001": "unreachable",
        "c-002": "unreachable",
        "c-003": "refused",
        same: "duplicate",
        "c-005": "scanned",
        "c-006": "scanned",
        "c-007": "scanned",
        "c-008": "unreachable",
        "c-009": "scanned",
    }
    # An error is an error for each requirement, and no score; it is not in the way of the others' scores.
    for name in ("c-001", "c-002", "c-003", "c-008"):
        assert (found[name]["score"], found[name]["pass"], found[name]["fail"]) == (None, 0, 0)
        assert found[name]["error"] == 4
        assert found[name]["since"] == found[name]["at"]
    assert found[same]["reason"] == f"the same cluster as {other}."
    assert found["c-003"]["reason"] == "the API server does not accept the credentials (HTTP 401)."
    assert (found["c-005"]["pass"], found["c-005"]["error"]) == (1, 3)
    assert found[other]["score"] == found["c-006"]["score"] == found["c-007"]["score"]
    assert report["summary"]["clusters"] == 9
    assert report["summary"]["scanned"] == 5
    assert {group["label"] for group in report["groups"]} == {
        "env=prod",
        "env=test",
        "region=eu",
        "region=us",
    }
    # The outcome of a cluster that does not answer is known within 30 s.
    assert all(row["seconds"] <= 30 for row in report["clusters"])


def test_a_dead_cluster_is_unreachable_since_a_time_and_never_its_last_score(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(2)
    first = fleet.run("scan", "spec.yaml", "--all-contexts", "-o", "json")
    assert first.code == 1, first.err
    assert fleet.outcomes() == {"c-000": "scanned", "c-001": "scanned"}
    fleet.world.behave({"c-001": {"fault": "reset"}})
    for _ in range(2):
        second = fleet.run("scan", "spec.yaml", "--all-contexts", "-o", "json")
    (row,) = (row for row in second.json["clusters"] if row["name"] == "c-001")
    assert (second.code, row["outcome"], row["score"]) == (2, "unreachable", None)
    runs = fleet.run("list", "-o", "json").json["runs"]
    assert [run["outcomes"] for run in runs] == [{"scanned": 1, "unreachable": 1}] * 2 + [{"scanned": 2}]
    assert runs[1]["createdAt"] <= row["since"] <= runs[1]["endedAt"]
    assert runs[2]["createdAt"] <= row["lastScanned"] <= runs[2]["endedAt"]
    text = fleet.run("report").out
    assert f"c-001: unreachable since {row['since'][:10]} {row['since'][11:16]}, last scanned" in text
    history = fleet.run("status").out
    assert "score" not in next(line for line in history.splitlines() if line.startswith("c-001"))


def test_a_run_goes_on_where_it_was_killed(make_fleet: MakeFleet) -> None:
    import os
    import signal
    import time

    fleet = make_fleet(6, {f"c-00{number}": {"latency": 0.3} for number in range(6)})
    started = fleet.start("scan", "spec.yaml", "--all-contexts", "--run", "nightly", "--workers", "1")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and _stored(fleet.store) < 2:
        time.sleep(0.05)
    os.killpg(started.pid, signal.SIGKILL)
    started.communicate()
    before = fleet.outcomes("nightly")
    again = fleet.run("scan", "--run", "nightly", "-o", "json")
    assert again.code == 1, again.err
    assert set(fleet.outcomes("nightly").values()) == {"scanned"}
    assert 2 <= sum(outcome == "scanned" for outcome in before.values()) < 6
    with sqlite3.connect(fleet.store) as connection:
        (results,) = connection.execute("SELECT count(*) FROM kspec_results").fetchone()
    assert results == 6


def _stored(path: str) -> int:
    try:
        with sqlite3.connect(path) as connection:
            (count,) = connection.execute("SELECT count(*) FROM kspec_outcomes").fetchone()
            return int(count)
    except sqlite3.OperationalError:
        return 0
