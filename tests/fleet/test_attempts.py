"""Workers that were killed: by a cluster, or from outside with the whole run. Each cluster gets its own outcome."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from functools import partial

import pytest

from tests.fleet.conftest import Fleet, MakeFleet
from tests.webhook.running import until

HEAD = '''\
import os, signal, time
from pytest_kspec import check

@check(id="acme.odd", title="Odd", severity="high", remediation="None.")
def test_odd(pods, cluster):
    """Ends other processes on some clusters."""
    parent = os.getppid()
'''
KILLS_ITS_WORKER = """
    if cluster.name == "c-001":
        time.sleep(1)
        os.kill(parent, signal.SIGKILL)
    time.sleep(2)
"""
KILLS_THE_RUN = """
    if cluster.name == "c-001":
        above = int(open(f"/proc/{parent}/stat").read().rpartition(")")[2].split()[1])
        os.kill(above, signal.SIGKILL)
        time.sleep(5)
"""
CHECKED = ("scan", "spec.yaml", "--all-contexts", "--checks=checks", "--workers=1", "--run=one")


def checks(fleet: Fleet, body: str) -> None:
    folder = fleet.folder / "checks"
    folder.mkdir()
    (folder / "test_odd.py").write_text(HEAD + body)


def test_a_run_that_is_killed_while_it_scans_the_same_cluster_is_gone_on_with(make_fleet: MakeFleet) -> None:
    """Twice: nobody who lived on saw this cluster end a worker."""
    fleet = make_fleet(2, {"c-000": {"latency": 3.0}})
    for times in (1, 2):
        running = fleet.start("scan", "spec.yaml", "--all-contexts", "--run=one")
        until(partial(_begun, fleet, times))
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    fleet.world.behave({})
    assert fleet.run("scan", "--run=one").code == 1
    assert fleet.outcomes("one") == {"c-000": "scanned", "c-001": "scanned"}
    assert attempts(fleet, "c-000") == 3, "each has a name of its own for its report"


def test_a_cluster_that_ends_its_worker_takes_none_with_it_that_was_scanned_beside_it(
    make_fleet: MakeFleet,
) -> None:
    fleet = make_fleet(5)
    checks(fleet, KILLS_ITS_WORKER)
    said = fleet.run(*CHECKED, "--parallel=3", "-o", "json")
    assert said.code == 2, said.err
    found = {row["name"]: (row["outcome"], row["reason"]) for row in said.json["clusters"]}
    why = "the worker ended unexpectedly 2 times while it scanned this cluster."
    assert found.pop("c-001") == ("failed", why)
    assert set(found.values()) == {("scanned", "")}


def test_a_cluster_that_ends_the_whole_run_is_given_up_in_the_end(make_fleet: MakeFleet) -> None:
    """As where memory ends in one container that has them all: whoever starts it again does not do so for ever."""
    fleet = make_fleet(3)
    checks(fleet, KILLS_THE_RUN)
    assert fleet.run(*CHECKED).code == -signal.SIGKILL
    with sqlite3.connect(fleet.store) as connection:  # and four times more
        connection.execute("UPDATE kspec_targets SET attempts = attempts + 4 WHERE name = 'c-001'")
    assert fleet.run(*CHECKED).code == -signal.SIGKILL
    assert fleet.outcomes("one") == {"c-000": "scanned", "c-001": "waiting", "c-002": "scanned"}
    said = fleet.run(*CHECKED, "-o", "json")
    assert said.code == 2, said.err
    (row,) = [row for row in said.json["clusters"] if row["name"] == "c-001"]
    why = "the worker ended unexpectedly 6 times while it scanned this cluster."
    assert (row["outcome"], row["reason"]) == ("failed", why)


def _begun(fleet: Fleet, times: int) -> bool:
    return attempts(fleet, "c-000") == times


def attempts(fleet: Fleet, cluster: str) -> int:
    with contextlib.suppress(sqlite3.OperationalError), sqlite3.connect(fleet.store) as connection:
        found = connection.execute("SELECT attempts FROM kspec_targets WHERE name = ?", (cluster,)).fetchone()
        return int(found[0]) if found else 0
    return 0


KILLED_AFTER_ITS_REPORT = """
import os, signal, sys, time
from pytest_kspec.cli.main import main
from pytest_kspec.storage import objects
put = objects.put
def put_and_die(*words):
    put(*words)
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)
objects.put = put_and_die
sys.exit(main(sys.argv[1:]))
"""


def test_a_worker_that_is_killed_between_a_report_and_its_row(make_fleet: MakeFleet) -> None:
    """The next one scans the cluster again: one outcome, one result, and no report that nobody knows of."""
    fleet = make_fleet(1)
    words = ("--all-contexts", "--no-wait", "--run=one", "--store-reports=reports")
    assert fleet.run("scan", "spec.yaml", *words).code == 0
    work = ("fleet", "work", "--run=one", "--index=0")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AFTER_ITS_REPORT, *work], cwd=fleet.folder, env=fleet.environment()
    )
    assert killed.returncode == -signal.SIGKILL
    (left,) = (fleet.folder / "reports").rglob("*.json.gz")
    assert fleet.outcomes("one") == {"c-000": "waiting"}
    assert fleet.run("work", "--run=one", "--index=0").code == 0
    assert fleet.outcomes("one") == {"c-000": "scanned"}
    (kept,) = (fleet.folder / "reports").rglob("*.json.gz")
    assert kept.name != left.name
    with sqlite3.connect(fleet.store) as connection:
        assert connection.execute("SELECT count(*) FROM kspec_results").fetchone() == (1,)


@pytest.mark.parametrize("begun_again", [True, False])
def test_workers_that_were_started_by_hand_and_killed(make_fleet: MakeFleet, begun_again: bool) -> None:
    """Only who started them knows that it was not the cluster, and says so by going on with the run."""
    fleet = make_fleet(1, {"c-000": {"latency": 3.0}})
    assert fleet.run("scan", "spec.yaml", "--all-contexts", "--no-wait", "--run=one").code == 0
    for times in (1, 2):
        running = fleet.start("work", "--run=one", "--index=0")
        until(partial(_begun, fleet, times))
        os.killpg(running.pid, signal.SIGKILL)
        running.communicate()
    fleet.world.behave({})
    if begun_again:
        assert fleet.run("scan", "--run=one", "--no-wait").code == 0
    assert fleet.run("work", "--run=one", "--index=0").code == 0
    assert fleet.outcomes("one") == {"c-000": "scanned" if begun_again else "failed"}
