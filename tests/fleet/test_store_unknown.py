"""A store that this version cannot use: a worker says so at once, and nobody starts it again."""

from __future__ import annotations

import sqlite3
import time

from tests.fleet.conftest import MakeFleet
from tests.fleet.test_faults import _wait
from tests.fleet.world import name_of

NEWER = "UPDATE kspec_schema SET version_num = 'r9999'"


def test_of_a_newer_version_from_the_start(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(1)
    run = fleet.run("scan", "spec.yaml", "--all-contexts", "--no-wait").out.strip()
    with sqlite3.connect(fleet.store) as connection:
        connection.execute(NEWER)
    begun = time.monotonic()
    said = fleet.run("work", f"--run={run}", "--index=0", "--store-timeout=170")
    assert said.code == 4, said.err
    assert "the store has revision r9999, which this version does not know." in said.err
    assert time.monotonic() - begun < 120, "it was not waited for"


def test_of_a_newer_version_that_upgrades_it_meanwhile(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(2, {name_of(number): {"latency": 0.3} for number in range(2)})
    run = fleet.run("scan", "spec.yaml", "--all-contexts", "--no-wait", "--shards=1").out.strip()
    working = fleet.start("work", f"--run={run}", "--index=0", "--store-timeout=170")
    _wait(lambda: _begun(fleet.store))
    with sqlite3.connect(fleet.store) as connection:
        connection.execute(NEWER)
    _, err = working.communicate(timeout=120)
    assert working.returncode == 4, err
    assert "r9999" in err


def test_that_is_none(make_fleet: MakeFleet) -> None:
    fleet = make_fleet(1)
    said = fleet.run("work", "--run=one", "--index=0", "--store-timeout=170")
    assert said.code == 4, said.err
    assert "the store does not exist." in said.err


def _begun(store: str) -> bool:
    with sqlite3.connect(store) as connection:
        return bool(connection.execute("SELECT 1 FROM kspec_targets WHERE attempts > 0").fetchone())
