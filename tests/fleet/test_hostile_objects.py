"""A bucket in which others write: what is no run is an error that names it, and never a result or a gap."""

from __future__ import annotations

import gzip
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from pytest_kspec.errors import StoreError
from pytest_kspec.reports import json as report
from pytest_kspec.storage import fleet as stored
from pytest_kspec.storage import objects, replica, schema
from pytest_kspec.storage.opening import open_any
from tests.fleet.conftest import Fleet, MakeFleet
from tests.fleet.test_over_objects import BEGIN, _files, _store
from tests.fleet.test_over_objects import bucket as bucket
from tests.fleet.test_over_objects import object_store as object_store
from tests.storage.servers import ObjectStore

Change = Callable[[Path], object]
OUTCOME = "runs/one/outcomes/0"
HOLDER = "runs/one/clusters/" + "0" * 32 + "/000000"
AT = "2026-11-30T00:00:00Z"


def _read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


def _put(name: str, content: Any) -> Change:
    def change(team: Path) -> None:
        path = team / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())

    return change


def _edit(name: str, **fields: Any) -> Change:
    return lambda team: _put(name, _read(team / name) | fields)(team)


def _head(**fields: Any) -> Change:
    return lambda team: _edit("runs/one/run", head=_read(team / "runs/one/run")["head"] | fields)(team)


def _target(**fields: Any) -> Change:
    def change(team: Path) -> None:
        first, *others = _read(team / "runs/one/run")["targets"]
        _edit("runs/one/run", targets=[first | fields, *others])(team)

    return change


def _report(content: bytes | None) -> Change:
    """Another full report of the first cluster; None: it is lost."""

    def change(team: Path) -> None:
        path = team.parent / _read(team / OUTCOME)["report"].removeprefix(f"s3://{team.parent.name}/")
        path.unlink() if content is None else path.write_bytes(content)

    return change


def _other_report(team: Path) -> None:
    other = _read(team / "runs/one/outcomes/1")
    _edit(OUTCOME, report=other["report"], sha256=other["sha256"])(team)


def _other_database(team: Path) -> None:
    path = team.parent / "other.db"
    with closing(sqlite3.connect(path)) as made:
        made.execute("CREATE TABLE x (y)")
        made.commit()
    _put("rows/000000000001", gzip.compress(path.read_bytes()))(team)
    path.unlink()


BOMB = gzip.compress(b"\0" * (64 << 20))

DAMAGED: dict[str, tuple[Change, str]] = {
    "no JSON": (_put(OUTCOME, b"\xff\x00"), "outcomes/0: the object is damaged: it is not JSON"),
    "a list": (_put(OUTCOME, []), "it is not a JSON object"),
    "nested": (_put(OUTCOME, b"[" * 100_000), "it is not JSON"),
    "empty": (_put(OUTCOME, {}), "missing required field"),
    "an outcome of no kind": (_edit(OUTCOME, outcome="gone"), "Invalid enum value"),
    "a number": (_edit(OUTCOME, outcome=5), "Expected `str`"),
    "no Unicode": (_edit(OUTCOME, reason="\ud800"), "it is not Unicode"),
    "scanned without a report": (_edit(OUTCOME, report="", sha256=""), "has no report"),
    "no report": (_edit(OUTCOME, report=None), "Expected `str`"),
    "no time": (_edit(OUTCOME, at="\x1b[31m"), "matching regex"),
    "no duration": (_edit(OUTCOME, seconds="x"), "Expected `float`"),
    "NaN": (_edit(OUTCOME, seconds=float("nan")), "damaged"),
    "infinite": (_edit(OUTCOME, seconds=float("inf")), "damaged"),
    "no specification": (_edit(OUTCOME, specs=[]), "not of the specifications of its run"),
    "another specification": (_edit(OUTCOME, specs=[["<script>", "x"]]), "not of the specifications"),
    "a file of this machine": (_edit(OUTCOME, report="/etc/x/passwd"), "not one of this cluster"),
    "a path": (_edit(OUTCOME, report="../../x"), "not one of this cluster"),
    "a word": (_edit(OUTCOME, report="x"), "not one of this cluster"),
    "another bucket": (_edit(OUTCOME, report="s3://other/x/y/z"), "not one of this cluster"),
    "a report of another cluster": (_other_report, "not one of this cluster"),
    "a bomb": (_report(BOMB), "larger than 16 MiB"),
    "a report that is not packed": (_report(b"nope"), "damaged"),
    "a report that ends early": (_report(gzip.compress(b"x" * 999)[:-9]), "ends too early"),
    "a report and more": (_report(gzip.compress(b"x") + b"more"), "data follows its end"),
    "a damaged report": (_report(gzip.compress(b"x" * 99)[:10] + b"\xff" * 30), "damaged"),
    "another report": (_report(gzip.compress(b"[]")), "SHA-256 differs"),
    "a lost report": (_report(None), "the report is gone"),
}

REFUSED: dict[str, tuple[Change, str]] = {
    "a holder of no kind": (_put(HOLDER, {}), "missing required field"),
    "a holder that is not there": (
        _put(HOLDER, {"position": 77, "cluster": "x"}),
        "does not exist in the run",
    ),
    "a run of no kind": (_put("runs/one/run", {}), "missing required field"),
    "a run without clusters": (_edit("runs/one/run", targets=[]), "length >= 1"),
    "a run of another id": (_head(id="other"), "of another run"),
    "a run of no time": (_head(started_at="<script>"), "matching regex"),
    "clusters out of order": (_target(position=1), "not in order"),
    "a shard that is not there": (_target(shard=7), "not in order"),
    "a name of no kind": (_target(name=5), "Expected `str`"),
    "a run without an order": (_edit("runs/one/run", document={}), "missing required field"),
    "a lost run": (lambda team: (team / "runs/one/run").unlink(), "the object 'run' is gone"),
    "a second run of no kind": (_put("runs/two/run", b"nope"), "runs/two/run: the object is damaged"),
    "rows that are not packed": (_put("rows/000000000001", b"nope"), "damaged"),
    "empty rows": (_put("rows/000000000001", b""), "ends too early"),
    "rows that are no database": (_put("rows/000000000001", gzip.compress(b"x" * 5000)), "not a database"),
    "rows of nothing": (_put("rows/000000000001", gzip.compress(b"")), "the file is empty"),
    "rows of another program": (_other_database, "of another program"),
    "rows that are a bomb": (_put("rows/000000000001", BOMB), "larger than 16 MiB"),
}

PASSED_OVER: dict[str, Change] = {
    "a position that is not there": _put("runs/one/outcomes/99", {}),
    "a position in another writing": _put("runs/one/outcomes/00", {}),
    "a word": _put("runs/one/outcomes/\x1b[31m<script>", {}),
    "no attempt": _put("runs/one/attempts/x/y", {}),
    "half an attempt": _put("runs/one/attempts/5", {}),
    "no move": _put("runs/one/moved/0/000000-x", {}),
    "a move to a shard that is not there": _put("runs/one/moved/0/000000-99", {}),
    "no cluster": _put("runs/one/clusters/abc/000000", {}),
    "no id": _put("runs/x-zz/run", {}),
    "an id in another writing": _put("runs/x-6f6e65/run", {}),
    "no run": _put("runs/stray", b""),
    "no version": _put("rows/zzz", b""),
    "more fields of an outcome": _edit(OUTCOME, cluster={"a": 1}, of2=5),
    "more fields of a run": _head(ended_at="x", zzz=[]),
}


@pytest.fixture
def ended(make_fleet: MakeFleet, bucket: Path, tmp_path: Path) -> tuple[Fleet, Callable[[], Path]]:
    """A run that ended, and what makes the bucket as it was then: no row was made."""
    fleet = make_fleet(2, store=_store(bucket))
    assert fleet.run(*BEGIN, "--shards=1").code == 0
    assert fleet.run("work", "--run=one", "--index=0").code == 0
    shutil.copytree(bucket / "team", tmp_path / "before")

    def restored() -> Path:
        shutil.rmtree(bucket / "team")
        shutil.copytree(tmp_path / "before", bucket / "team")
        return bucket / "team"

    return fleet, restored


def _outcomes(fleet: Fleet) -> list[dict[str, int]]:
    with closing(open_any(fleet.store, report.parse)) as store:
        return [dict(run.outcomes) for run in stored.runs(store)]


def test_a_cluster_whose_objects_are_damaged_has_failed(
    ended: tuple[Fleet, Callable[[], Path]], bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is kept: they may be restored."""
    fleet, restored = ended
    monkeypatch.setattr(objects, "LARGEST", 16 << 20)
    for what, (change, why) in DAMAGED.items():
        change(restored())
        with closing(open_any(fleet.store, report.parse)) as store:
            found = stored.find_run(store, "one")
            with store.read() as connection:
                reasons = connection.execute(select(schema.outcomes.c.reason)).scalars().all()
        assert (found.outcomes, bool(found.ended_at)) == ({"failed": 1, "scanned": 1}, True), what
        (reason,) = filter(None, reasons)
        assert f"{fleet.store}/" in reason, what
        assert why in reason, what
        assert "\x1b" not in reason, what
        assert not _files(bucket, "rows"), what


def test_a_damaged_run_stops_no_other_one(ended: tuple[Fleet, Callable[[], Path]], bucket: Path) -> None:
    fleet, restored = ended
    team = restored()
    name = _read(team / OUTCOME)["report"].removeprefix(f"s3://{bucket.name}/")
    (bucket / name).rename(bucket / "kept")
    later = fleet.run("scan", "spec.yaml", "--all-contexts", "--run=two")
    assert later.code == 1, later.err
    assert len(_files(bucket, "rows")) == 1, "the rows of the later run are kept"
    damaged = fleet.run("report", "--run=one")
    assert damaged.code == 2, damaged.err
    assert "the report is gone." in damaged.out
    (bucket / "kept").rename(bucket / name)
    assert fleet.run("report", "--run=one").code == 1
    assert len(_files(bucket, "rows")) == 2


def test_what_is_no_run_is_an_error_that_names_it(
    ended: tuple[Fleet, Callable[[], Path]], bucket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet, restored = ended
    monkeypatch.setattr(objects, "LARGEST", 16 << 20)
    monkeypatch.setattr(replica, "_LARGEST", 16 << 20)
    for what, (change, why) in REFUSED.items():
        change(restored())
        with pytest.raises(StoreError) as error:
            _outcomes(fleet)
        assert why in str(error.value), what
        assert "\x1b" not in str(error.value), what
        assert len(_files(bucket, "rows")) == ("rows" in what), what


def test_names_that_are_not_of_a_run_say_nothing(
    ended: tuple[Fleet, Callable[[], Path]], bucket: Path, object_store: ObjectStore
) -> None:
    fleet, restored = ended
    for what, change in PASSED_OVER.items():
        change(restored())
        shutil.rmtree(object_store.folder / "attributes" / bucket.name, ignore_errors=True)
        assert _outcomes(fleet) == [{"scanned": 2}], what


def test_an_outcome_that_is_lost_is_none(ended: tuple[Fleet, Callable[[], Path]]) -> None:
    """Whatever stands in its place."""
    fleet, restored = ended
    team = restored()
    (team / OUTCOME).rename(team / "runs/one/outcomes/00")
    _put("runs/one/outcomes/99", _read(team / "runs/one/outcomes/1"))(team)
    assert _outcomes(fleet) == [{"": 1, "scanned": 1}]
