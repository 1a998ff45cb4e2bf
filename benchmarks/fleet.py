"""What a fleet costs: scans of 10 and 100 clusters, dead ones among them; its page after 90 days; a run as a Job.

python -m benchmarks.fleet          all parts
python -m benchmarks.fleet scans    10, 100, and 100 clusters of which 5 are dead, 2,000 pods each, on this machine
python -m benchmarks.fleet page     1,000 clusters x 60 requirements x 90 days in PostgreSQL
python -m benchmarks.fleet jobs     1,000 clusters as a Job, simulated with the durations that `scans` measured

Servers are one process beside the scan; what it costs is not counted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from sqlalchemy import text

from pytest_kspec.fleet.job import CLUSTERS, MOST_AT_ONCE, shards_for
from pytest_kspec.fleet.report import make_report
from pytest_kspec.fleet.shards import balance
from pytest_kspec.storage import fleet as stored
from pytest_kspec.storage import fleetpages, pages, verdicts
from pytest_kspec.storage.engine import Store, open_store
from tests.fleet.world import World, name_of
from tests.storage.servers import Postgres

PODS = 2_000
SPEC = Path(__file__).with_name("strict.yaml")
DEAD = {
    name_of(number): {"fault": fault}
    for number, fault in enumerate(("blackhole", "hang", "refused", "reset", "expired"), 20)
}
ROUNDS = 3
_KSPEC = [sys.executable, "-m", "pytest_kspec.cli.main", "fleet"]


class Cost(NamedTuple):
    """CPU of all processes of a run, its wall time, the largest of them, and bytes of the store."""

    cpu_s: float
    wall_s: float
    memory_mb: float
    store_bytes: int
    seconds: list[float]


def scan(clusters: int, behaviour: dict[str, dict[str, str]]) -> Cost:
    """One run in a process of its own, whose children are counted with it."""
    with World(clusters, PODS, behaviour) as world, tempfile.TemporaryDirectory() as folder:
        store = Path(folder, "fleet.db")
        words = [
            "scan",
            str(SPEC),
            "--all-contexts",
            f"--kubeconfig={world.kubeconfig}",
            f"--store={store}",
            "-o",
            "json",
        ]
        env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        began = time.perf_counter()
        process = subprocess.Popen(
            [*_KSPEC, *words], env=env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        assert process.stdout is not None
        document = process.stdout.read()
        _, _, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        report = json.loads(document)
        found = {row["outcome"] for row in report["clusters"]}
        assert len(report["clusters"]) == clusters, found
        size = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        seconds = [row["seconds"] for row in report["clusters"] if row["outcome"] == "scanned"]
        return Cost(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss / 1024, size, seconds)


def scans() -> list[float]:
    """Print the table; how long each cluster of the fleet took."""
    print(f"{'':34}{'CPU':>9}{'a cluster':>11}{'wall':>9}{'largest':>9}{'store':>9}")
    seconds: list[float] = []
    few = 0.0
    for title, clusters, behaviour in (
        ("10 clusters", 10, {}),
        ("100 clusters", 100, {}),
        ("100 clusters, 5 of them dead", 100, DEAD),
    ):
        cost = scan(clusters, behaviour)
        each = cost.cpu_s / clusters
        few = few or each
        print(
            f"{title:34}{cost.cpu_s:7.1f} s{each:9.2f} s{cost.wall_s:7.1f} s{cost.memory_mb:6.0f} MB"
            f"{cost.store_bytes / 1e6:6.1f} MB   {each / few:.2f} of the cost of one of 10",
            flush=True,
        )
        seconds = seconds or cost.seconds if clusters < 100 else cost.seconds
    return seconds


_FILL = """
INSERT INTO kspec_runs (id, started_at, finished_at, tool_version, run_by)
  SELECT 'r' || d, to_char(timestamp '2026-09-01 06:00' + d * interval '1 day', :form),
         to_char(timestamp '2026-09-01 06:09' + d * interval '1 day', :form), '1', '' FROM generate_series(1, :days) d;
INSERT INTO kspec_fleet_runs (id, created_at, ended_at, engine, shards, document)
  SELECT id, started_at, finished_at, 'local', 100, '{"specs": [], "asked": []}' FROM kspec_runs;
INSERT INTO kspec_parts (run_id, id) SELECT id, 'p' FROM kspec_runs;
INSERT INTO kspec_clusters (id, name, source, version, first_seen, last_seen)
  SELECT 'u' || c, 'cluster-' || c, 'live', 'v1.34.1', '2026-09-02T06:09:00Z', '2026-11-30T06:09:00Z'
  FROM generate_series(1, :clusters) c;
INSERT INTO kspec_subjects (id, cluster_id, spec, newest_at)
  SELECT c, 'u' || c, 'strict', (SELECT max(finished_at) FROM kspec_runs) FROM generate_series(1, :clusters) c;
INSERT INTO kspec_results (id, run_id, part_id, subject_id, finished_at, name, source, version, score,
                           weight, weight_met, passed, failed, errors, skipped, findings, shape, verdicts, tally)
  SELECT (d - 1) * :clusters + c, 'r' || d, 'p', c, r.finished_at, 'cluster-' || c, 'live', 'v1.34.1',
         90 + (c + d) % 10, 200, 180, 54, 6, 0, 0, 20, md5('one'),
         (SELECT string_agg(CASE WHEN (c + d + k) % 10 = 0 THEN 'f' ELSE 'p' END, '' ORDER BY k)
          FROM generate_series(1, :checks) k),
         (SELECT '[' || string_agg(((c + k) % 4)::text, ',' ORDER BY k) || ']' FROM generate_series(1, :checks) k)
  FROM generate_series(1, :days) d JOIN kspec_runs r ON r.id = 'r' || d, generate_series(1, :clusters) c ORDER BY 1;
INSERT INTO kspec_checks (result_id, position, check_id, severity, verdict, evaluated, findings)
  SELECT r.id, k, 'area.check' || k, 'high', CASE substr(r.verdicts, k, 1) WHEN 'f' THEN 'fail' ELSE 'pass' END, true,
         (r.subject_id + k) % 4
  FROM kspec_results r, generate_series(1, :checks) k ORDER BY 1, 2;
INSERT INTO kspec_frameworks (result_id, framework, name, version, score, coverage, met, not_met)
  SELECT r.id, 'f' || f, 'Framework', '1', 90, 10, 9, 1 FROM kspec_results r, generate_series(1, 6) f;
INSERT INTO kspec_findings (subject_id, fingerprint, check_id, severity, state, first_seen, last_seen)
  SELECT s.id, md5(s.id || '-' || f), 'area.check' || f, 'high', 'open', '2026-11-01T06:09:00Z', s.newest_at
  FROM kspec_subjects s, generate_series(1, 20) f;
INSERT INTO kspec_targets (run_id, position, shard, name, ref, labels, expected_s, attempts, cluster_id)
  SELECT r.run_id, r.subject_id, r.subject_id % 100, r.name, 'context:' || r.name,
         '{"env": "' || (CASE WHEN r.subject_id % 3 = 0 THEN 'test' ELSE 'prod' END) || '"}', 1, 1, 'u' || r.subject_id
  FROM kspec_results r ORDER BY r.id;
INSERT INTO kspec_outcomes (run_id, position, spec, spec_sha256, outcome, at, seconds, result_id)
  SELECT r.run_id, r.subject_id, 'strict', 'x', 'scanned', r.finished_at, 1, r.id FROM kspec_results r ORDER BY r.id;
"""


def fill(store: Store, clusters: int, checks: int, days: int) -> None:
    """A run a day, made by the database itself: what is measured is reading."""
    form = 'YYYY-MM-DD"T"HH24:MI:SS"Z"'
    given = {"form": form, "clusters": clusters, "checks": checks, "days": days}
    with store.read() as connection:
        engine = connection.engine
    with engine.begin() as connection:
        for statement in _FILL.split(";\n"):
            if statement.strip():
                names = {name: value for name, value in given.items() if f":{name}" in statement}
                connection.execute(text(statement), names)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("VACUUM ANALYZE")


def page(clusters: int = 1_000, checks: int = 60, days: int = 90) -> None:
    """Print how long each query of a fleet's page takes."""
    with Postgres() as server:
        store = open_store(server.database("fleet"), create=True)
        began = time.perf_counter()
        fill(store, clusters, checks, days)
        print(
            f"{clusters:,} clusters x {checks} requirements x {days} days, PostgreSQL: "
            f"filled in {time.perf_counter() - began:.0f} s"
        )
        run = stored.find_run(store)
        since, latest = "2026-11-29T06:00:00Z", "2026-11-29T18:00:00Z"
        rows = fleetpages.rows(store, run.id, since, latest)
        assert len(rows) == clusters
        for title, ask in (
            ("newest result of every cluster", lambda: pages.newest(store)),
            ("clusters of a run, with the day before", lambda: fleetpages.rows(store, run.id, since, latest)),
            ("requirements of a run", lambda: verdicts.requirements(store, run.id)),
            ("frameworks of a run", lambda: fleetpages.frameworks(store, run.id)),
            ("verdicts that changed", lambda: fleetpages.changed(store, rows)),
            ("findings that came and went", lambda: fleetpages.moved(store, rows)),
            ("the whole report", lambda: make_report(store, run)),
        ):
            times = []
            cpu = []
            for _ in range(ROUNDS):
                began, spent = time.perf_counter(), time.process_time()
                ask()
                times.append(time.perf_counter() - began)
                cpu.append(time.process_time() - spent)
            print(
                f"  {title:40}{min(times) * 1000:8.0f} ms, {min(cpu) * 1000:.0f} ms of it in Python",
                flush=True,
            )
        store.close()


def jobs(seconds: list[float], clusters: int = 1_000) -> None:
    """Print what a Job would take: shards are given out as Kubernetes does, the next to whoever is free."""
    known = [seconds[number % len(seconds)] for number in range(clusters)]
    shards = shards_for(clusters)
    of = balance(list(known), shards)
    lengths = [
        _START_S + sum(s for s, at in zip(known, of, strict=True) if at == shard) for shard in range(shards)
    ]
    free = [0.0] * MOST_AT_ONCE
    for length in lengths:
        free.sort()
        free[0] += length
    print(
        f"{clusters:,} clusters as a Job: {shards} shards of {CLUSTERS}, {MOST_AT_ONCE} at once: "
        f"{max(free):.0f} s of wall, "
        f"shortest and longest shard {min(lengths):.0f} s and {max(lengths):.0f} s"
    )


_START_S = 3.0
"""Of a pod: scheduling, container, imports."""


def main() -> None:
    """Print what is asked for."""
    asked = sys.argv[1:] or ["scans", "page", "jobs"]
    seconds = scans() if {"scans", "jobs"} & set(asked) else []
    if "jobs" in asked:
        jobs(seconds)
    if "page" in asked:
        page()


if __name__ == "__main__":
    main()
