"""Several writers at once, killed at random moments: what was acknowledged is there, and no run is there in part."""

from __future__ import annotations

import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

from sqlalchemy import func, select

from pytest_kspec.storage import schema
from pytest_kspec.storage.address import parse_address
from pytest_kspec.storage.engine import open_store
from pytest_kspec.storage.read import findings, trend
from tests.reports.results import fleet, one

from .conftest import keep
from .writer import CHECKS, CLUSTERS, FINDINGS

ROOT = Path(__file__).parents[2]
WRITERS, ROUNDS, LONGEST_S = 3, 3, 1.5


def test_nothing_acknowledged_is_lost_by_a_kill(url: str) -> None:
    seed = random.randrange(1_000_000)
    sys.stdout.write(f"seed {seed}\n")  # shown where the test fails
    chance = random.Random(seed)
    acknowledged: list[str] = []
    for round_number in range(ROUNDS):
        writers = [start(url, f"{round_number}.{number}") for number in range(WRITERS)]
        wait_for_first_line(writers)
        for writer in chance.sample(writers, WRITERS):
            time.sleep(chance.uniform(0, LONGEST_S / WRITERS))
            writer.send_signal(signal.SIGKILL)
        for writer in writers:
            assert writer.stdout is not None
            # A line that was cut is one that nobody was told of.
            acknowledged += [
                line.strip()
                for line in FIRST.pop(writer.pid) + writer.stdout.readlines()
                if line.endswith("\n")
            ]
            assert writer.wait(30) == -signal.SIGKILL
            writer.stdout.close()
    assert len(acknowledged) >= WRITERS * ROUNDS
    assert len(set(acknowledged)) == len(acknowledged)

    store = open_store(url)
    with store.read() as connection:
        there = set(connection.execute(select(schema.runs.c.id)).scalars())
        assert set(acknowledged) <= there
        # At most what was committed and not yet said when its writer was killed.
        assert len(there) <= len(acknowledged) + WRITERS * ROUNDS
        clusters = connection.execute(
            select(schema.results.c.run_id, func.count()).group_by(schema.results.c.run_id)
        ).all()
        assert {count for _, count in clusters} == {CLUSTERS}
        assert len(clusters) == len(there)
        checks = select(schema.checks.c.result_id, func.count()).group_by(schema.checks.c.result_id)
        counts = [count for _, count in connection.execute(checks)]
        assert counts == [CHECKS] * CLUSTERS * len(there)
    expected = sum(
        len(c.findings) for cluster in fleet(CLUSTERS, CHECKS, FINDINGS).clusters for c in cluster.checks
    )
    assert len(findings(store)) == expected > 0
    keep(store, one())  # no lock is left behind
    assert len(trend(store)) == CLUSTERS * len(there) + 1
    store.close()
    if path := parse_address(url).path:
        plain = sqlite3.connect(path)
        assert plain.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert plain.execute("PRAGMA foreign_key_check").fetchall() == []
        plain.close()


FIRST: dict[int, list[str]] = {}


def start(url: str, name: str) -> subprocess.Popen[str]:
    writer = subprocess.Popen(
        [sys.executable, "-m", "tests.storage.writer", name],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    assert writer.stdin is not None
    writer.stdin.write(url + "\n")
    writer.stdin.close()
    return writer


def wait_for_first_line(writers: list[subprocess.Popen[str]]) -> None:
    """All of them are at work, against each other."""
    for writer in writers:
        assert writer.stdout is not None
        FIRST[writer.pid] = [writer.stdout.readline()]
        assert FIRST[writer.pid] != [""], "a writer ended"
