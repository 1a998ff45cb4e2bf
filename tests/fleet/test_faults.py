"""What happens to a run meanwhile: a store that is away, checks that end their process, clusters that come and go."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import time
import uuid
from functools import partial
from typing import Any

import pytest
import yaml

from tests.fleet.conftest import Fleet, MakeFleet
from tests.fleet.gate import Gate
from tests.fleet.world import name_of
from tests.storage.servers import PASSWORD, Postgres

CHECKS = '''\
import os, signal, time
from pytest_kspec import check

@check(id="acme.odd", title="Odd", severity="high", remediation="None.")
def test_odd(pods, cluster):
    """Ends its process on some clusters."""
    name = cluster.name
    if name == "c-001":
        os._exit(0)
    if name == "c-002":
        os.kill(os.getpid(), signal.SIGSEGV)
    if name == "c-003":
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(600)
    if name == "c-004":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(5)
    if name == "c-005":  # as the kernel does where there is no memory left
        os.kill(os.getpid(), signal.SIGKILL)
'''


def test_what_a_check_does_to_its_process_it_does_to_one_cluster(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(7)
    (fleet.folder / "checks").mkdir()
    (fleet.folder / "checks" / "test_odd.py").write_text(CHECKS)
    words = (
        "scan",
        "spec.yaml",
        "--all-contexts",
        "--checks",
        "checks",
        "--cluster-timeout=8",
        "--workers=1",
    )
    said = fleet.run(*words, "-o", "json")
    assert said.code == 2, said.err
    found = {row["name"]: (row["outcome"], row["reason"]) for row in said.json["clusters"]}
    # What c-004 does to the worker may come between its two tries.
    assert found.pop("c-005") in {
        ("failed", "the process of its scan was killed by SIGKILL before it was done."),
        ("failed", "the worker ended unexpectedly 2 times while it scanned this cluster."),
    }
    assert found == {
        "c-000": ("scanned", ""),
        "c-001": ("failed", "the process of its scan exited with code 0 before it was done."),
        "c-002": ("failed", "the process of its scan was killed by SIGSEGV before it was done."),
        "c-003": ("failed", "it did not finish within 8 s."),
        "c-004": ("failed", "the worker ended unexpectedly 2 times while it scanned this cluster."),
        "c-006": ("scanned", ""),
    }
    # Each of them has an error for every requirement, and not fewer requirements than the others.
    counts = {row["pass"] + row["fail"] + row["error"] + row["skip"] for row in said.json["clusters"]}
    assert len(counts) == 1


def test_a_store_that_is_away(make_fleet: MakeFleet, postgres: Postgres) -> None:
    with Gate(postgres.port) as gate:
        url = postgres.database(f"f{uuid.uuid4().hex[:12]}").replace(f":{postgres.port}", f":{gate.port}")
        fleet = make_fleet(3, {name_of(number): {"latency": 0.2} for number in range(3)}, store=url)
        run = fleet.run("scan", "spec.yaml", "--all-contexts", "--no-wait", "--shards=1").out.strip()
        work = ("work", f"--run={run}", "--index=0")
        # At the start: waited for, then to be tried again.
        gate.shut()
        said = fleet.run(*work, "--store-timeout=2")
        assert said.code == 3
        assert PASSWORD not in said.err
        # In the middle, for a moment: nobody notices. For longer: to be tried again, and nothing is lost.
        gate.open()
        working = fleet.start(*work, "--store-timeout=3")
        _wait(lambda: "scanned" in fleet.outcomes().values())
        gate.shut()
        _, err = working.communicate(timeout=120)
        assert working.returncode == 3, err
        assert PASSWORD not in err
        gate.open()
        assert fleet.run(*work).code == 0
        assert set(fleet.outcomes().values()) == {"scanned"}


def test_clusters_that_come_and_go_during_a_run(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(4)
    context = fleet.world.kubeconfig.read_text()
    fewer = yaml.safe_load(context)
    fewer["contexts"] = [one for one in fewer["contexts"] if one["name"] != "c-003"]
    fleet.world.kubeconfig.write_text(yaml.safe_dump(fewer))
    run = fleet.run("scan", "spec.yaml", "--all-contexts", "--no-wait", "--shards=1").out.strip()
    changed = yaml.safe_load(context)
    changed["contexts"] = [one for one in changed["contexts"] if one["name"] != "c-001"]
    fleet.world.kubeconfig.write_text(yaml.safe_dump(changed))
    assert fleet.run("work", f"--run={run}", "--index=0").code == 0
    report = fleet.run("report", "-o", "json").json
    found = {row["name"]: (row["outcome"], row["reason"]) for row in report["clusters"]}
    assert {name: outcome for name, (outcome, _) in found.items()} == {
        "c-000": "scanned",
        "c-001": "failed",
        "c-002": "scanned",
    }
    assert "'context:c-001' is not the name of a cluster." in found["c-001"][1]


def test_a_cluster_that_is_built_anew_under_its_name_is_another_one(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(1)
    assert fleet.run("scan", "spec.yaml", "--all-contexts").code == 1
    fleet.world.behave({"c-000": {"uid": "11111111-0000-4000-8000-000000000000"}})
    said = fleet.run("scan", "spec.yaml", "--all-contexts", "-o", "json")
    (row,) = said.json["clusters"]
    assert (row["outcome"], row["clusterId"]) == ("scanned", "11111111-0000-4000-8000-000000000000")
    assert row["scoreBefore"] is None
    with sqlite3.connect(fleet.store) as connection:
        names = connection.execute("SELECT id, name FROM kspec_clusters ORDER BY id").fetchall()
    assert names == [
        ("00000000-0000-4000-8000-000000000000", "c-000"),
        ("11111111-0000-4000-8000-000000000000", "c-000"),
    ]


def test_a_cluster_that_is_built_anew_while_it_is_scanned(make_fleet: MakeFleet) -> None:
    """Whenever it was: what both answered is the state of neither."""
    fleet = make_fleet(5, {name_of(number): {"rebuilt": 1 + 4 * number} for number in range(1, 5)})
    said = fleet.run("scan", "spec.yaml", "--all-contexts", "-o", "json")
    assert said.code == 2, said.err
    first, *others = said.json["clusters"]
    assert (first["outcome"], first["error"]) == ("scanned", 0)
    why = "its UID changed during the scan: another cluster answers now."
    assert [(row["outcome"], row["reason"], row["score"], row["error"]) for row in others] == [
        ("failed", why, None, 4)
    ] * 4


def test_a_cluster_that_hangs_while_it_is_scanned_delays_no_other(make_fleet: MakeFleet) -> None:
    """One worker, one cluster at once; the first one answers no more after the beginning of its scan."""
    hangs, refused = name_of(0), name_of(1)
    fleet = make_fleet(4, {hangs: {"fault": "hang", "after": 8}, refused: {"fault": "refused"}})
    running = fleet.start("scan", "spec.yaml", "--all-contexts", "--workers=1", "--cluster-timeout=600")
    try:
        _wait(lambda: _count(fleet) == 3 or running.poll() is not None, 180)
        outcomes = fleet.outcomes()
        assert outcomes == {hangs: "waiting", refused: "unreachable", "c-002": "scanned", "c-003": "scanned"}
    finally:
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()


@pytest.mark.long
def test_a_hundred_clusters_with_faults_end_with_a_hundred_outcomes(make_fleet: MakeFleet) -> None:
    """Killed at 30 and at 90 of 100."""
    faults = ("refused", "blackhole", "hang", "reset", "expired", "busy", "errors")
    behaviour: dict[str, Any] = {name_of(number): {"latency": 0.05} for number in range(100)}
    for number, fault in enumerate(faults):
        behaviour[name_of(7 + 13 * number)] = {"fault": fault}
    fleet = make_fleet(100, behaviour)
    words = ("scan", "spec.yaml", "--all-contexts", "--run=nightly")
    for stop in (30, 90):
        running = fleet.start(*words)
        _wait(partial(_reached, fleet, running, stop), 400)
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    said = fleet.run("scan", "--run=nightly", "-o", "json", timeout=600)
    assert said.code == 2, said.err
    outcomes = fleet.outcomes("nightly")
    assert len(outcomes) == 100
    expected = dict.fromkeys(("refused", "blackhole", "hang", "reset"), "unreachable") | {
        "expired": "refused"
    }
    for number, fault in enumerate(faults):
        assert outcomes.pop(name_of(7 + 13 * number)) == expected.get(fault, "scanned"), fault
    assert set(outcomes.values()) == {"scanned"}
    with sqlite3.connect(fleet.store) as connection:
        twice = (
            "SELECT count(*) FROM (SELECT position FROM kspec_outcomes GROUP BY position HAVING count(*) > 1)"
        )
        assert connection.execute(twice).fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM kspec_results").fetchone() == (100,)


def _reached(fleet: Fleet, running: subprocess.Popen[str], count: int) -> bool:
    return _count(fleet) >= count or running.poll() is not None


def _count(fleet: Fleet) -> int:
    try:
        with sqlite3.connect(fleet.store) as connection:
            (count,) = connection.execute("SELECT count(*) FROM kspec_outcomes").fetchone()
            return int(count)
    except sqlite3.OperationalError:
        return 0


def _wait(done: object, seconds: float = 120.0) -> None:
    assert callable(done)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if done():
            return
        time.sleep(0.1)
    raise AssertionError("it did not come to this")
