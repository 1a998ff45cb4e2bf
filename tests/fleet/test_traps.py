"""What is done to a fleet behind its back: each cluster of the run has one outcome nevertheless."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml

from tests.fleet.conftest import MakeFleet
from tests.fleet.gate import Gate
from tests.fleet.test_faults import _wait
from tests.fleet.world import name_of
from tests.storage.servers import Postgres

ODD = "прод/ünï çødé:1 ✓"
LATER = """
import sys
from datetime import UTC, datetime, timedelta
from pytest_kspec import clock
from pytest_kspec.cli.main import main
clock.now = lambda: datetime.now(UTC) + timedelta(minutes=10)
sys.exit(main(sys.argv[1:]))
"""


def test_names_storms_and_one_cluster_twice(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(
        5, {"c-001": {"fault": "storm"}, "c-003": {"uid": "00000000-0000-4000-8000-000000000002"}}
    )
    config = yaml.safe_load(fleet.world.kubeconfig.read_text())
    config["contexts"][0]["name"] = ODD
    fleet.world.kubeconfig.write_text(yaml.safe_dump(config, allow_unicode=True))
    begun = time.monotonic()
    said = fleet.run("scan", "spec.yaml", "--all-contexts", "-o", "json")
    assert time.monotonic() - begun < 150, "an hour was not waited"
    assert said.code == 2, said.err
    outcomes = {row["name"]: row["outcome"] for row in said.json["clusters"]}
    assert sorted(outcomes) == sorted([ODD, "c-001", "c-002", "c-003", "c-004"])
    assert (outcomes[ODD], outcomes["c-001"], outcomes["c-004"]) == ("scanned", "unreachable", "scanned")
    assert sorted((outcomes["c-002"], outcomes["c-003"])) == ["duplicate", "scanned"]
    assert ODD in fleet.run("report").out


def test_a_list_of_shards_that_was_changed_by_hand(make_fleet: MakeFleet) -> None:
    """A cluster is moved to a shard that nobody was told of: it is an outcome in the end, and no other is twice."""
    fleet = make_fleet(3)
    run = fleet.run("scan", "spec.yaml", "--all-contexts", "--no-wait", "--shards=2").out.strip()
    with sqlite3.connect(fleet.store) as connection:
        connection.execute("UPDATE kspec_targets SET shard = 9 WHERE name = 'c-001'")
        connection.execute("UPDATE kspec_targets SET shard = 1 - shard WHERE name != 'c-001'")
    for index in (0, 1):
        assert fleet.run("work", f"--run={run}", f"--index={index}").code == 0
    assert fleet.run("work", f"--run={run}", "--index=7").code == 4
    assert "not ended" in fleet.run("list").out
    assert fleet.run("work", f"--run={run}", "--index=9").code == 0
    assert "not ended" not in fleet.run("list").out, "the last worker ends it"
    said = fleet.run("scan", f"--run={run}", "-o", "json")
    assert said.code == 1, said.err
    assert fleet.outcomes(run) == dict.fromkeys(("c-000", "c-001", "c-002"), "scanned")


@pytest.mark.long
def test_workers_whose_clocks_differ(make_fleet: MakeFleet) -> None:
    """One is ten minutes ahead: it takes nothing from another one, and its results are those of its run."""
    fleet = make_fleet(4)
    run = fleet.run("scan", "spec.yaml", "--all-contexts", "--no-wait", "--shards=2").out.strip()
    words = [sys.executable, "-c", LATER, "fleet", "work", f"--run={run}", "--index=0"]
    ahead = subprocess.Popen(
        words, cwd=fleet.folder, env=fleet.environment(), stderr=subprocess.PIPE, text=True
    )
    assert fleet.run("work", f"--run={run}", "--index=1").code == 0
    _, err = ahead.communicate(timeout=120)
    assert ahead.returncode == 0, err
    assert set(fleet.outcomes(run).values()) == {"scanned"}
    report = fleet.run("report", f"--run={run}", "-o", "json").json
    assert all(row["scoreBefore"] is None for row in report["clusters"]), "nothing was before this run"


@pytest.mark.long
def test_a_database_that_is_away_for_a_while_in_the_middle(make_fleet: MakeFleet, postgres: Postgres) -> None:
    with Gate(postgres.port) as gate:
        url = postgres.database(f"f{uuid.uuid4().hex[:12]}").replace(f":{postgres.port}", f":{gate.port}")
        fleet = make_fleet(3, {name_of(number): {"latency": 0.1} for number in range(3)}, store=url)
        run = fleet.run("scan", "spec.yaml", "--all-contexts", "--no-wait", "--shards=1").out.strip()
        working = fleet.start("work", f"--run={run}", "--index=0")
        _wait(lambda: "scanned" in fleet.outcomes().values())
        gate.shut()
        time.sleep(5)
        gate.open()
        _, err = working.communicate(timeout=120)
        assert working.returncode == 0, err
        assert list(fleet.outcomes().values()) == ["scanned"] * 3


class _Busy(BaseHTTPRequestHandler):
    """An object store that is overloaded."""

    def _refuse(self) -> None:
        self.send_response(503)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _refuse

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_an_object_store_that_is_overloaded(make_fleet: MakeFleet) -> None:
    """No row without its report: the worker says that it is to be started again, in a time that is bounded."""
    fleet = make_fleet(2)
    server = HTTPServer(("127.0.0.1", 0), _Busy)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        place = ("--store-reports=s3://bucket/reports",)
        run = fleet.run("scan", "spec.yaml", "--all-contexts", "--no-wait", "--shards=1", *place).out.strip()
        keys = {
            "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b",
            "AWS_REGION": "x",
            "AWS_ALLOW_HTTP": "true",
        }
        keys |= {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}"}
        done = subprocess.run(
            fleet.words("work", f"--run={run}", "--index=0", "--store-timeout=2"),
            capture_output=True,
            text=True,
            timeout=150,
            cwd=fleet.folder,
            env=fleet.environment() | keys,
        )
        assert done.returncode == 3, done.stderr
        assert set(fleet.outcomes(run).values()) == {"waiting"}
    finally:
        server.shutdown()
        server.server_close()
