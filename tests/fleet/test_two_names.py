"""Two names of one cluster: it has one result, under whichever name it can be scanned."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

import pytest

from pytest_kspec.storage.fleetrun import preference
from tests.fleet.conftest import Fleet, MakeFleet
from tests.fleet.world import uid_of

CHECKS = '''\
import os, time
from pytest_kspec import check

@check(id="acme.odd", title="Odd", severity="high", remediation="None.")
def test_odd(pods, cluster, findings):
    """Ends its process under some names."""
    if cluster.name in {ends!r}:
        time.sleep({slow})
        os._exit(0)
    list(pods)
'''
WHY = "the process of its scan exited with code 0 before it was done."


def _scan(fleet: Fleet, ends: tuple[str, ...], slow: float, *words: str) -> dict[str, Any]:
    (fleet.folder / "checks").mkdir()
    (fleet.folder / "checks" / "test_odd.py").write_text(CHECKS.format(ends=ends, slow=slow))
    said = fleet.run("scan", "spec.yaml", "--all-contexts", "--checks=checks", "-o", "json", *words)
    assert said.code == (2 if len(ends) > 1 else 1), said.err
    with sqlite3.connect(fleet.store) as connection:
        names = connection.execute("SELECT name FROM kspec_results ORDER BY name").fetchall()
        known = connection.execute("SELECT id FROM kspec_clusters WHERE id LIKE 'live:%'").fetchall()
    found = {row["name"]: row for row in said.json["clusters"]}
    counted = sorted(name for name, row in found.items() if row["outcome"] != "duplicate")
    assert [name for (name,) in names] == counted, "a cluster has one result"
    assert len(known) == (len(ends) > 1), "nothing is left of a result that gave way"
    assert said.json["summary"]["clusters"] == len(counted)
    return found


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("slow", [0.0, 3.0])
def test_the_second_name_is_scanned_where_the_scan_under_the_first_fails(
    make_fleet: MakeFleet, shards: int, slow: float
) -> None:
    """Whether the second is come to before or after that, and whether one worker has both or two have one each."""
    bad, good = "c-001", "c-002"
    fleet = make_fleet(3, {bad: {"uid": uid_of(9)}, good: {"uid": uid_of(9), "latency": 0.4}})
    found = _scan(fleet, (bad,), slow, f"--workers={shards}")
    assert {name: row["outcome"] for name, row in found.items()} == {
        "c-000": "scanned",
        bad: "duplicate",
        good: "scanned",
    }
    assert found[bad]["reason"] == f"the same cluster as {good}. The scan under this name failed: {WHY}"
    assert (found[bad]["error"], found[good]["error"], found[good]["clusterId"]) == (0, 0, uid_of(9))


def test_a_cluster_that_can_be_scanned_under_none_of_its_names_is_one_error(make_fleet: MakeFleet) -> None:
    names = ("c-000", "c-001", "c-002")
    fleet = make_fleet(4, {name: {"uid": uid_of(9)} for name in names})
    found = _scan(fleet, names, 0.0, "--workers=2")
    outcomes = sorted(found[name]["outcome"] for name in names)
    assert outcomes == ["duplicate", "duplicate", "failed"]
    (error,) = (found[name] for name in names if found[name]["outcome"] == "failed")
    assert (error["reason"], error["clusterId"]) == (WHY, uid_of(9))
    assert found["c-003"]["outcome"] == "scanned"


@pytest.mark.parametrize("late", ["c-000", "c-002"])
@pytest.mark.parametrize("shards", [1, 3])
def test_the_first_of_its_names_has_the_result_whichever_answers_first(
    make_fleet: MakeFleet, late: str, shards: int
) -> None:
    """Groups of a report do not change with each run: they are by the labels of a name."""
    names = ("c-000", "c-001", "c-002")
    behaviour: dict[str, dict[str, Any]] = {name: {"uid": uid_of(9)} for name in names}
    behaviour[late]["latency"] = 0.4
    fleet = make_fleet(3, behaviour)
    words = (
        "scan",
        "spec.yaml",
        "--all-contexts",
        f"--workers={shards}",
        "-o",
        "json",
        "--report=json:all.json",
    )
    for _ in range(2):
        said = fleet.run(*words)
        assert said.code == 1, said.err
        assert {row["name"]: row["outcome"] for row in said.json["clusters"]} == dict.fromkeys(
            names[1:], "duplicate"
        ) | {"c-000": "scanned"}
        assert [group["label"] for group in said.json["groups"]] == ["env=prod", "region=eu"]
        whole = json.loads((fleet.folder / "all.json").read_bytes())
        assert [cluster["name"] for cluster in whole["clusters"]] == ["c-000"]
    with sqlite3.connect(fleet.store) as connection:
        assert connection.execute("SELECT name FROM kspec_clusters").fetchall() == [("c-000",)]
        assert connection.execute("SELECT DISTINCT name FROM kspec_results").fetchall() == [("c-000",)]
        held = "SELECT name, cluster_id FROM kspec_targets WHERE cluster_id IS NOT NULL"
        assert connection.execute(held).fetchall() == [("c-000", uid_of(9))] * 2


@pytest.mark.parametrize("words", [("--status",), ("--remove", "--yes")])
@pytest.mark.parametrize("late", ["c-001", "c-003"])
def test_policies_are_looked_after_under_the_first_of_its_names_whichever_answers_first(
    make_fleet: MakeFleet, late: str, words: tuple[str, ...]
) -> None:
    """A policy has the name of its cluster: it would change with each run. A name that does not answer gives way."""
    names = ("c-000", "c-001", "c-002", "c-003")
    behaviour: dict[str, dict[str, Any]] = {name: {"uid": uid_of(9)} for name in names}
    behaviour[late]["latency"] = 0.4
    behaviour["c-000"]["fault"] = "refused"
    fleet = make_fleet(5, behaviour)
    said = fleet.run("enforce", "spec.yaml", "--all-contexts", "-o", "json", *words)
    assert said.code == 2, said.err
    found = {row["name"]: (row["state"], row["sameAs"]) for row in said.json["clusters"]}
    assert found.pop("c-000") == ("away", "")
    assert (found.pop("c-001")[1], found.pop("c-004")[1]) == ("", "")
    assert found == dict.fromkeys(names[2:], ("duplicate", "c-001"))


def test_what_describes_a_cluster_comes_before_the_cluster_itself() -> None:
    refs = ["hub:a", "context:a", "context:b", "clusterprofile:x/a", "argocd:a", "target:kspec-system/z"]
    ranked = sorted(refs, key=lambda ref: preference(ref[-1], ref))
    assert ranked == [refs[5], refs[4], refs[3], refs[1], refs[2], refs[0]]
