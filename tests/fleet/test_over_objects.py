"""A run over a store in S3 alone: objects that are made once, in a real store of objects."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.conftest import Fleet, MakeFleet
from tests.fleet.gate import Gate
from tests.fleet.test_attempts import KILLED_AFTER_ITS_REPORT, KILLS_ITS_WORKER, checks
from tests.fleet.test_two_names import CHECKS, WHY
from tests.fleet.world import uid_of
from tests.storage.servers import ObjectStore
from tests.webhook.running import until

BEGIN = ("scan", "spec.yaml", "--all-contexts", "--no-wait", "--run=one")


@pytest.fixture(scope="module")
def object_store() -> Iterator[ObjectStore]:
    with ObjectStore() as server:
        yield server


@pytest.fixture
def bucket(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new one, as the folder that it is."""
    name = f"b{uuid.uuid4().hex[:12]}"
    for variable, value in object_store.bucket(name).items():
        monkeypatch.setenv(variable, value)
    return object_store.buckets / name


def _store(bucket: Path) -> str:
    return f"s3://{bucket.name}/team"


def _files(bucket: Path, below: str) -> list[str]:
    folder = bucket / "team" / below
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def _told(report: dict[str, Any]) -> dict[str, Any]:
    """A report without what differs from run to run."""
    rows = [
        {name: row[name] for name in row if name not in ("at", "seconds", "since", "lastScanned")}
        for row in report["clusters"]
    ]
    return {name: report[name] for name in ("summary", "requirements", "groups")} | {"clusters": rows}


def test_from_the_first_to_the_last(make_fleet: MakeFleet, bucket: Path) -> None:
    """What it says is what a file says."""
    fleet = make_fleet(5, {"c-003": {"fault": "refused"}}, store=_store(bucket))
    begun = fleet.run(*BEGIN, "--shards=2")
    assert (begun.code, begun.out) == (0, "one\n"), begun.err
    assert "5 waiting" in fleet.run("list").out
    assert fleet.run("report").code == 2, "nothing is known yet"
    assert [fleet.run("work", "--run=one", f"--index={shard}").code for shard in (0, 1)] == [0, 0]
    report = fleet.run("report", "-o", "json", "--report=json:all.json")
    assert report.code == 2, report.err
    assert len(json.loads((fleet.folder / "all.json").read_bytes())["clusters"]) == 5
    assert "one" in fleet.run("list").out
    file = fleet._replace(store=str(fleet.folder / "fleet.db"))
    other = file.run("scan", "spec.yaml", "--all-contexts", "-o", "json")
    assert _told(report.json) == _told(other.json)
    assert fleet.run("work", "--run=one", "--index=7").code == 4
    again = fleet.run("scan", "spec.yaml", "--all-contexts", "--run=one", "-o", "json")
    assert (again.code, again.json["clusters"]) == (2, report.json["clusters"])
    assert fleet.run("scan", "spec.yaml", "--context=c-000", "--run=one", "--check-timeout=9").code == 4


def test_the_run_before_and_runs_that_are_pruned(make_fleet: MakeFleet, bucket: Path) -> None:
    fleet = make_fleet(2, store=_store(bucket))
    for run in ("one", "two/ü .."):
        assert fleet.run("scan", "spec.yaml", "--all-contexts", f"--run={run}").code == 1
    before = fleet.run("status", "--run=two", "-o", "json").json["clusters"]
    assert "would delete 1 run," in _prune(fleet, "--keep-runs=1", "--dry-run")
    assert len(_files(bucket, "rows")) == 2, "no other version of the database"
    assert "deleted 1 run," in _prune(fleet, "--keep-runs=1")
    assert [line.split("  ")[0] for line in fleet.run("list").out.splitlines()] == ["two/ü .."]
    assert fleet.run("status", "--run=two", "-o", "json").json["clusters"] == before
    assert len(_files(bucket, "reports")) == 2, "the reports of the other run are gone"
    assert not _files(bucket, "runs/one")
    late = fleet.run("work", "--run=one", "--index=0")
    assert (late.code, "no run over a fleet has this id" in late.err) == (4, True)
    assert "was pruned" in fleet.run("scan", "spec.yaml", "--all-contexts", "--run=one").err


def _prune(fleet: Fleet, *words: str) -> str:
    prune = (sys.executable, "-m", "pytest_kspec.cli.main", "history", "prune", "--store", fleet.store)
    done = subprocess.run(
        [*prune, *words], capture_output=True, text=True, env=fleet.environment(), cwd=fleet.folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_that_never_ends_is_pruned_after_a_day(make_fleet: MakeFleet, bucket: Path) -> None:
    fleet = make_fleet(2, store=_store(bucket))
    for run in ("one", "old"):
        assert fleet.run(*BEGIN[:-1], f"--run={run}", "--shards=2").code == 0
        assert fleet.run("work", f"--run={run}", "--index=0").code == 0
    path = bucket / "team" / "runs" / "old" / "run"
    run = json.loads(path.read_bytes())
    run["head"].update(started_at="2020-01-15T12:00:00Z", finished_at="2020-01-15T12:00:00Z")
    path.write_text(json.dumps(run))
    for name in _files(bucket, "runs/old/outcomes"):  # its report is named by the day
        (path.parent / "outcomes" / name).unlink()
    there = _files(bucket, "runs")
    said = _prune(fleet, "--keep=90d", "--dry-run")
    assert said.startswith("would delete 1 run,"), said
    assert (_files(bucket, "runs"), _files(bucket, "rows")) == (there, []), "nothing is changed"
    assert _prune(fleet, "--keep=90d").startswith("deleted 1 run,")
    assert (_files(bucket, "runs/old"), len(fleet.run("list").out.splitlines())) == ([], 1)
    assert "1 waiting" in fleet.run("list").out


def test_two_workers_for_one_shard(make_fleet: MakeFleet, bucket: Path) -> None:
    """As where a pod is replaced and lives on: each cluster has the outcome of one of them, and one report."""
    names = [f"c-00{number}" for number in range(4)]
    behaviour: dict[str, dict[str, Any]] = {name: {"latency": 0.05} for name in names}
    behaviour["c-003"] = {"fault": "expired"}
    fleet = make_fleet(4, behaviour, store=_store(bucket))
    assert fleet.run(*BEGIN, "--shards=1").code == 0
    both = [fleet.start("work", "--run=one", "--index=0") for _ in range(3)]
    ended = [(one.communicate(timeout=300)[1], one.returncode) for one in both]
    assert [code for _, code in ended] == [0, 0, 0], ended
    assert fleet.outcomes() == dict.fromkeys(names[:3], "scanned") | {"c-003": "refused"}
    assert _files(bucket, "runs/one/outcomes") == ["0", "1", "2", "3"]
    kept = {
        json.loads((bucket / "team/runs/one/outcomes" / str(at)).read_bytes())["report"] for at in range(4)
    }
    assert kept == {f"{_store(bucket)}/reports/{name}" for name in _files(bucket, "reports")}
    assert fleet.run("report", "--report=json:all.json").code == 2


def test_two_who_make_the_rows_at_once(make_fleet: MakeFleet, bucket: Path) -> None:
    fleet = make_fleet(3, store=_store(bucket))
    assert fleet.run(*BEGIN, "--shards=1").code == 0
    assert fleet.run("work", "--run=one", "--index=0").code == 0
    several = [fleet.start("report", "-o", "json") for _ in range(3)]
    said = [json.loads(one.communicate(timeout=300)[0])["clusters"] for one in several]
    assert said[0] == said[1] == said[2]
    assert _files(bucket, "rows") == ["000000000001"]


@pytest.mark.long
@pytest.mark.parametrize("done", [1, 5])
def test_a_run_that_is_killed_and_gone_on_with(make_fleet: MakeFleet, bucket: Path, done: int) -> None:
    names = [f"c-00{number}" for number in range(6)]
    fleet = make_fleet(6, {name: {"latency": 0.05} for name in names}, store=_store(bucket))
    running = fleet.start("scan", "spec.yaml", "--all-contexts", "--run=one", "--workers=2")
    until(lambda: len(_files(bucket, "runs/one/outcomes")) >= done)
    os.killpg(running.pid, signal.SIGKILL)
    running.communicate()
    said = fleet.run("scan", "--run=one", "-o", "json")
    assert said.code == 1, said.err
    assert fleet.outcomes() == dict.fromkeys(names, "scanned")
    assert len(_files(bucket, "runs/one/outcomes")) == 6


@pytest.mark.parametrize("rows", ["objects", "file"])
def test_a_worker_that_is_killed_between_a_report_and_its_outcome(
    make_fleet: MakeFleet, bucket: Path, rows: str
) -> None:
    """One outcome and one result, and no report that nobody knows of; `file`: only the reports are in S3."""
    fleet = make_fleet(1, store=_store(bucket) if rows == "objects" else "")
    assert fleet.run(*BEGIN, f"--store-reports={_store(bucket)}/reports").code == 0
    work = ("fleet", "work", "--run=one", "--index=0")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_AFTER_ITS_REPORT, *work], cwd=fleet.folder, env=fleet.environment()
    )
    assert killed.returncode == -signal.SIGKILL
    (left,) = _files(bucket, "reports")
    assert fleet.outcomes("one") == {"c-000": "waiting"}
    assert fleet.run("work", "--run=one", "--index=0").code == 0
    assert fleet.outcomes("one") == {"c-000": "scanned"}
    (kept,) = _files(bucket, "reports")
    assert kept != left
    assert fleet.run("report", "--report=json:all.json").code == 1


SETTLES = """
import os, sys
from pytest_kspec.cli.main import main
from pytest_kspec.fleet import child
work = child.work
def ends(task, *words):
    if task.gone is not None:
        os._exit(1)
    work(task, *words)
child.work = ends
sys.exit(main(sys.argv[1:]))
"""
ENDS = """
    if cluster.name == "c-000":
        os._exit(1)
    time.sleep(0.1)
"""


@pytest.mark.long
@pytest.mark.parametrize("rows", ["objects", "file"])
def test_a_worker_that_uses_objects_itself_goes_on(make_fleet: MakeFleet, bucket: Path, rows: str) -> None:
    """It cannot have an error written by another process, and removes what may be left; then it forks again."""
    fleet = make_fleet(24, store=_store(bucket) if rows == "objects" else "")
    checks(fleet, ENDS)
    assert (
        fleet.run(*BEGIN, "--shards=1", "--checks=checks", f"--store-reports={_store(bucket)}/reports").code
        == 0
    )
    work = ("fleet", "work", "--run=one", "--index=0")
    done = subprocess.run(
        [sys.executable, "-c", SETTLES, *work],
        cwd=fleet.folder,
        env=fleet.environment(),
        timeout=300,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    found = fleet.outcomes("one")
    assert found.pop("c-000") == "failed"
    assert set(found.values()) == {"scanned"}


@pytest.mark.long
def test_a_cluster_that_ends_its_worker(make_fleet: MakeFleet, bucket: Path) -> None:
    fleet = make_fleet(3, store=_store(bucket))
    checks(fleet, KILLS_ITS_WORKER)
    said = fleet.run("scan", "spec.yaml", "--all-contexts", "--checks=checks", "--workers=1", "-o", "json")
    assert said.code == 2, said.err
    found = {row["name"]: row["outcome"] for row in said.json["clusters"]}
    assert found == {"c-000": "scanned", "c-001": "failed", "c-002": "scanned"}


@pytest.mark.parametrize("ends", [(), ("c-001",), ("c-001", "c-002")])
def test_two_names_of_one_cluster(make_fleet: MakeFleet, bucket: Path, ends: tuple[str, ...]) -> None:
    uid = {"uid": uid_of(9)}
    fleet = make_fleet(3, {"c-001": uid, "c-002": uid | {"latency": 0.3}}, store=_store(bucket))
    (fleet.folder / "checks").mkdir()
    (fleet.folder / "checks" / "test_odd.py").write_text(CHECKS.format(ends=ends, slow=0.0))
    words = ("scan", "spec.yaml", "--all-contexts", "--checks=checks", "--workers=2", "-o", "json")
    said = fleet.run(*words)
    assert said.code == (2 if len(ends) > 1 else 1), said.err
    found = {row["name"]: row for row in said.json["clusters"]}
    both = sorted(found[name]["outcome"] for name in ("c-001", "c-002"))
    assert both == ["duplicate", "failed" if len(ends) > 1 else "scanned"]
    assert said.json["summary"]["clusters"] == 2
    if ends == ("c-001",):
        assert (
            found["c-001"]["reason"] == f"the same cluster as c-002. The scan under this name failed: {WHY}"
        )
        assert found["c-002"]["clusterId"] == uid_of(9)
    assert len(json.loads(fleet.run("report", "-o", "json").out)["clusters"]) == 3


@pytest.mark.parametrize("late", ["c-001", "c-002"])
def test_the_first_of_two_names_has_the_result(make_fleet: MakeFleet, bucket: Path, late: str) -> None:
    behaviour: dict[str, dict[str, Any]] = {name: {"uid": uid_of(9)} for name in ("c-001", "c-002")}
    behaviour[late]["latency"] = 0.4
    fleet = make_fleet(3, behaviour, store=_store(bucket))
    said = fleet.run("scan", "spec.yaml", "--all-contexts", "--workers=3", "-o", "json")
    assert said.code == 1, said.err
    found = {row["name"]: (row["outcome"], row["clusterId"], row["reason"]) for row in said.json["clusters"]}
    assert found["c-001"] == ("scanned", uid_of(9), "")
    assert found["c-002"] == ("duplicate", "", "the same cluster as c-001.")


def test_a_store_that_is_away(
    make_fleet: MakeFleet, bucket: Path, object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the start, and for a while in the middle."""
    with Gate(object_store.port) as gate:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{gate.port}")
        names = [f"c-00{number}" for number in range(3)]
        fleet = make_fleet(3, {name: {"latency": 0.1} for name in names}, store=_store(bucket))
        assert fleet.run(*BEGIN, "--shards=1").code == 0
        gate.shut()
        away = fleet.run("work", "--run=one", "--index=0", "--store-timeout=1")
        assert away.code == 3, away.err
        assert not _files(bucket, "runs/one/outcomes")
        gate.open()
        working = fleet.start("work", "--run=one", "--index=0")
        until(lambda: bool(_files(bucket, "runs/one/outcomes")))
        gate.shut()
        time.sleep(3)
        gate.open()
        _, err = working.communicate(timeout=300)
        assert working.returncode == 0, err
        assert fleet.outcomes() == dict.fromkeys(names, "scanned")


class _Lax(BaseHTTPRequestHandler):
    """A store of objects that takes each one, whatever the request asks for."""

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(200, b"")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(200, b'<?xml version="1.0"?><DeleteResult></DeleteResult>')

    def do_GET(self) -> None:
        listing = (
            b'<?xml version="1.0"?><ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>'
        )
        self._answer(200 if "list-type" in self.path else 404, listing)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("ETag", '"1"')
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


def test_a_store_that_replaces_objects_in_spite_of_the_condition(
    make_fleet: MakeFleet, bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two workers could write two outcomes: no run is begun there."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Lax)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        said = make_fleet(1, store=_store(bucket)).run(*BEGIN)
        assert said.code == 2
        assert "replaces an object although the request says 'If-None-Match: *'" in said.err
    finally:
        server.shutdown()
        server.server_close()


def test_the_rows_are_encrypted_as_the_reports_are(
    make_fleet: MakeFleet, bucket: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = tmp_path / "store.key"
    key.write_bytes(os.urandom(32))
    key.chmod(0o600)
    monkeypatch.setenv("KSPEC_STORE_KEY", f"file:{key}")
    fleet = make_fleet(1, store=_store(bucket))
    assert fleet.run("scan", "spec.yaml", "--all-contexts").code == 1
    sealed = [path for path in (bucket / "team").rglob("*") if path.is_file() and "/runs/" not in str(path)]
    assert len(sealed) == 2
    assert all(path.read_bytes().startswith(b"KSPEC-ENCRYPTED") for path in sealed)
    assert fleet.run("report").code == 1
    monkeypatch.delenv("KSPEC_STORE_KEY")
    locked = fleet.run("report")
    assert (locked.code, "not available" in locked.err) == (2, True), locked.err


def test_a_place_without_a_store(make_fleet: MakeFleet, bucket: Path) -> None:
    fleet = make_fleet(1, store=_store(bucket))
    for action in ("list", "report", "status"):
        said = fleet.run(action)
        assert (said.code, "no store of kspec at this place" in said.err) == (2, True), said.err
    assert fleet.run("work", "--run=one", "--index=0").code == 4
    assert not any(bucket.iterdir()), "what reads makes nothing"


@pytest.mark.parametrize(
    "words",
    [
        ("scan", "spec.yaml", "--cluster=c-000", "--store"),
        ("dashboard", "--store"),
        ("drift", "history", "--store"),
    ],
)
def test_other_commands_refuse_it(make_fleet: MakeFleet, bucket: Path, words: tuple[str, ...]) -> None:
    fleet: Fleet = make_fleet(1)
    done = subprocess.run(
        [sys.executable, "-m", "pytest_kspec.cli.main", *words, _store(bucket)],
        capture_output=True,
        text=True,
        env=fleet.environment(),
        cwd=fleet.folder,
    )
    assert (done.returncode, "only 'kspec fleet' and 'kspec history' (except 'add')" in done.stderr) == (
        4,
        True,
    ), done.stderr
