"""`kspec history`, `kspec scan --store`, and what `kspec report` makes of a history and of a baseline."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from pytest_kspec.cli.commands.history import moment
from pytest_kspec.errors import UsageError

from .conftest import POD, Kspec

WriteSpec = Callable[..., Path]
HOST = "workloads: {containers: {forbidden: [{key: hostNetwork, value: true}, {key: hostPID, value: true}]}}"


@pytest.fixture
def spec(write_spec: WriteSpec) -> Path:
    return write_spec(HOST)


@pytest.fixture
def scanned(run_kspec: Kspec, spec: Path, manifests: Path) -> Path:
    words = ["--cluster", manifests, "--store", "r.db", "--store-reports", "kept", "--report", "json:r.json"]
    said = run_kspec("scan", spec, *words)
    assert (said.code, said.err) == (1, "")
    assert said.out.splitlines()[-1].startswith("stored as run ")
    assert said.out.splitlines()[-1].endswith(" in r.db")
    return manifests


@pytest.mark.parametrize("words", [("history",), ("dashboard",)], ids=str)
def test_a_value_that_nobody_wrote_is_never_exit_code_1(
    run_kspec: Kspec, scanned: Path, tmp_path: Path, words: tuple[str, ...]
) -> None:
    """Python's own for an exception that nothing expects, and ours for findings."""
    with closing(sqlite3.connect(tmp_path / "r.db", isolation_level=None)) as store:
        store.execute("UPDATE kspec_results SET score = 'password=hunter2-hunter2'")
    said = run_kspec(*words, "--store", "r.db")
    assert said.code == 2
    (line,) = said.err.splitlines()
    assert line.startswith("error: r.db, table kspec_results: the column score of row 1 is not a number:")
    assert "hunter2" not in said.out + said.err


def test_a_scan_is_stored_and_shown(run_kspec: Kspec, scanned: Path, tmp_path: Path) -> None:
    said = run_kspec("history", "--store", "r.db")
    assert (said.code, said.err) == (0, "")
    head, row = said.out.splitlines()
    assert head == "── pod.yaml · shop"
    assert row.endswith("  1 failed · 1 finding")
    wire = json.loads(run_kspec("history", "--store", "r.db", "-o", "json").out)
    (point,) = wire["points"]
    assert (wire["kind"], point["cluster"], point["fail"], point["pass"]) == ("Trend", "pod.yaml", 1, 1)
    report = json.loads((tmp_path / "r.json").read_text())
    assert point["score"] == report["summary"]["score"]
    got = run_kspec("history", "get", point["run"][:10], "--store", "r.db")
    assert json.loads(got.out) == report
    assert run_kspec("history", "get", "--store", "r.db", point["run"]).out == got.out
    by_alias = run_kspec("history", "--store", "r.db", "--framework", "cis", "-o", "json")
    assert (
        by_alias.out
        == run_kspec("history", "--store", "r.db", "--framework", "cis-kubernetes-1.10", "-o", "json").out
    )
    assert json.loads(by_alias.out)["points"]
    assert (
        "The results have: cis-kubernetes-1.10, "
        in run_kspec("history", "--store", "r.db", "--framework", "x").err
    )


def test_results_of_a_cluster_stay_together_whatever_the_others_are_called(
    run_kspec: Kspec, scanned: Path, tmp_path: Path
) -> None:
    """Two clusters of one name whose UIDs begin alike, in turns."""
    result = json.loads((tmp_path / "r.json").read_text())
    for number, uid in enumerate(("00000000-a", "00000000-b", "00000000-a")):
        result["startedAt"] = result["finishedAt"] = f"2026-11-0{number + 1}T06:00:00Z"
        result["clusters"][0] |= {"name": "admin@kubernetes", "uid": uid, "source": "live"}
        (tmp_path / f"{number}.json").write_text(json.dumps(result))
    assert run_kspec("history", "add", "0.json", "1.json", "2.json", "--store", "two.db").code == 0
    lines = run_kspec("history", "--store", "two.db").out.splitlines()
    rows = [line.strip()[:10] for line in lines]
    assert [row for row in rows if row.startswith("2026")] == ["2026-11-01", "2026-11-03", "2026-11-02"]
    assert [line for line in lines if line.startswith("──")] == ["── admin@kubernetes (00000000) · shop"] * 2


def test_json_on_standard_output_stays_json(run_kspec: Kspec, spec: Path, manifests: Path) -> None:
    said = run_kspec("scan", spec, "--cluster", manifests, "--store", "r.db", "--json")
    assert json.loads(said.out)["kind"] == "ScanResult"
    assert said.err.startswith("stored as run ")


def test_what_is_asked_for(run_kspec: Kspec, scanned: Path) -> None:
    key = "workloads.containers.forbidden[hostNetwork]"
    said = run_kspec("history", "--store", "r.db", "--check", key)
    assert said.out.splitlines()[1].endswith("  fail   1 finding")
    said = run_kspec("history", "--store", "r.db", "--findings")
    assert "present: first seen and last seen, the oldest first" in said.out
    assert f"      {key}\n      Pod shop/web: spec.hostNetwork\n" in said.out
    for words in (
        ["--cluster", "other"],
        ["--check", "none"],
        ["--since", "2099-01-01"],
    ):
        said = run_kspec("history", "--store", "r.db", *words)
        assert said == (0, "", "The store has no matching results.\n"), words
    framework = json.loads(run_kspec("history", "--store", "r.db", "-o", "json").out)["points"][0][
        "frameworks"
    ][0]
    said = run_kspec("history", "--store", "r.db", "--framework", framework["id"])
    assert f"{framework['coverage']:.1f} % of the controls evaluated" in said.out


def test_add_and_prune(run_kspec: Kspec, spec: Path, scanned: Path, tmp_path: Path) -> None:
    first = json.loads((tmp_path / "r.json").read_text())
    for day in (1, 2):
        first["startedAt"] = first["finishedAt"] = f"2020-01-0{day}T00:00:00Z"
        (tmp_path / f"old{day}.json").write_text(json.dumps(first))
    said = run_kspec("history", "add", "old1.json", "old2.json", "--store", "r.db")
    assert (said.code, len(said.out.splitlines())) == (0, 2)
    assert len(run_kspec("history", "--store", "r.db").out.splitlines()) == 4
    would = run_kspec("history", "prune", "--store", "r.db", "--keep", "90d", "--dry-run")
    assert would.out == "would delete 2 runs, 0 findings that no other run has, 0 reports; 1 kept\n"
    done = run_kspec("history", "prune", "--store", "r.db", "--keep", "90d", "-o", "json")
    assert len(json.loads(done.out)["runs"]) == 2
    assert len(run_kspec("history", "--store", "r.db").out.splitlines()) == 2


@pytest.mark.parametrize(
    ("started", "finished", "why"),
    [
        ("2020-01-01T00:00:00Z", "2999-01-01T00:00:00Z", "the end of the scan is in the future"),
        ("2020-01-02T00:00:00Z", "2020-01-01T00:00:00Z", "ended (2020-01-01T00:00:00Z) before it started"),
        ("2020-01-01T00:00:00", "2020-01-01T00:00:00", "is not an RFC 3339 time with a time zone"),
        ("2020-01-01", "2020-01-01", "is not an RFC 3339 time with a time zone"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "is not an RFC 3339 time with a time zone"),
        ("9999-12-31T23:00:00-12:00",) * 2 + ("is not an RFC 3339 time with a time zone",),
    ],
)  # fmt: skip
def test_times_that_would_spoil_a_store_are_refused(
    run_kspec: Kspec, scanned: Path, tmp_path: Path, started: str, finished: str, why: str
) -> None:
    first = json.loads((tmp_path / "r.json").read_text())
    (tmp_path / "good.json").write_text(json.dumps(first | {"startedAt": "2020-01-01T00:00:00Z"}))
    (tmp_path / "odd.json").write_text(json.dumps(first | {"startedAt": started, "finishedAt": finished}))
    said = run_kspec("history", "add", "odd.json", "--store", "r.db")
    assert said.code == 4
    assert why in said.err
    assert len(run_kspec("history", "--store", "r.db").out.splitlines()) == 2
    assert run_kspec("history", "add", "good.json", "odd.json", "--store", "r.db").code == 4
    assert len(run_kspec("history", "--store", "r.db").out.splitlines()) == 2, "all or none"


def test_a_result_of_the_future_in_a_store_is_said(run_kspec: Kspec, scanned: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "r.db", isolation_level=None)) as store:
        store.execute("UPDATE kspec_results SET finished_at = '2999-01-01T00:00:00Z'")
    said = run_kspec("history", "--store", "r.db")
    assert (said.code, said.err) == (
        0,
        "The end of a stored scan is in the future (2999-01-01T00:00:00Z): "
        "until then, its result counts as the newest.\n",
    )


def test_a_store_that_cannot_be_written_loses_no_report(
    run_kspec: Kspec, spec: Path, manifests: Path, tmp_path: Path
) -> None:
    url = "postgresql://u:hunter2@127.0.0.1:1/d"
    said = run_kspec("scan", spec, "--cluster", manifests, "--store", url, "--report", "json:r.json")
    assert said.code == 2
    assert (tmp_path / "r.json").exists()
    assert "postgresql://u:(redacted)@127.0.0.1:1/d: " in said.err
    assert "hunter2" not in said.err + said.out


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["history"], "kspec history: no store is given."),
        (["history", "--store", "none.db"], "none.db: the store does not exist."),
        (["history", "--store", "mysql://x/y"], "--store: 'mysql:' is not the address of a store."),
        (["history", "prune", "--store", "r.db"], "kspec history prune: no retention is given."),
        (
            ["history", "prune", "--store", "r.db", "--keep", "soon"],
            "--keep: 'soon' is neither an age nor a time.",
        ),
        (
            ["history", "prune", "--store", "r.db", "--keep", "3m"],
            "--keep: '3m' is neither an age nor a time.",
        ),
        (["history", "get", "--store", "r.db"], "kspec history get: exactly one run must be given."),
        (["history", "get", "zzz", "--store", "r.db"], "zzz: no run has this id."),
        (["history", "add", "--store", "r.db"], "kspec history add: no result is given."),
        (["history", "show", "x", "--store", "r.db"], "kspec history: unexpected argument 'x'."),
        (
            ["scan", "spec.yaml", "--store-reports", "x"],
            "--store-reports: full reports can only be kept together with a store.",
        ),
        (["scan", "spec.yaml", "--store", "mysql://x/y"], "--store: 'mysql:' is not the address"),
        (
            ["scan", "spec.yaml", "--store", "r.db", "--store-reports", "s3://"],
            "--store-reports: no bucket is given.",
        ),
    ],
)
def test_usage_errors(run_kspec: Kspec, scanned: Path, words: list[str], error: str) -> None:
    said = run_kspec(*words)
    assert said.code == (2 if "none.db" in words else 4)
    assert said.out == ""
    assert said.err.startswith(f"error: {error}")


def test_ages_and_times() -> None:
    assert moment("2026-11-30", option="x") == "2026-11-30T00:00:00Z"
    assert moment("2026-11-30T02:00:00+02:00", option="x") == "2026-11-30T00:00:00Z"
    assert moment("24h", option="x")[:16] == moment("1d", option="x")[:16]
    for wrong in ("", "90", "90x", "999999d", "-1d"):
        with pytest.raises(UsageError):
            moment(wrong, option="x")


def test_the_trend_of_a_report_ends_with_its_own_run(run_kspec: Kspec, scanned: Path, tmp_path: Path) -> None:
    result = json.loads((tmp_path / "r.json").read_text())
    for year in (2020, 2021):
        result["startedAt"] = result["finishedAt"] = f"{year}-01-01T00:00:00Z"
        (tmp_path / "other.json").write_text(json.dumps(result))
        assert run_kspec("history", "add", "other.json", "--store", "r.db").code == 0
    with closing(sqlite3.connect(tmp_path / "r.db", isolation_level=None)) as store:
        for table in ("kspec_runs", "kspec_results"):
            store.execute(
                f"UPDATE {table} SET finished_at = '2099' || substr(finished_at, 5) WHERE finished_at LIKE '2021%'"
            )
    said = run_kspec("report", "--from", "r.json", "--history", "r.db", "--to", "json:again.json")
    assert (said.code, said.err) == (0, "")
    again = json.loads((tmp_path / "again.json").read_text())
    original = json.loads((tmp_path / "r.json").read_text())
    assert [point["finishedAt"] for point in again["trend"]] == [
        "2020-01-01T00:00:00Z",
        original["finishedAt"],
    ]
    assert again["trend"][-1]["score"] == original["summary"]["score"]
    assert again | {"trend": []} == original


def test_a_baseline_is_written_and_used(run_kspec: Kspec, spec: Path, scanned: Path, tmp_path: Path) -> None:
    said = run_kspec("report", "--from", "r.json", "--update-baseline", "known.json")
    assert said == (0, "known.json: 1 known finding (1 added, 0 removed)\n", "")
    assert run_kspec("scan", spec, "--cluster", scanned, "--baseline", "known.json").code == 0
    scanned.write_text(POD + "  hostPID: true\n")
    said = run_kspec(
        "scan", spec, "--cluster", scanned, "--baseline", "known.json", "--report", "json:r.json"
    )
    assert said.code == 1
    assert "hostPID" in said.out
    scanned.write_text(POD.replace("hostNetwork", "hostPID"))
    run_kspec("scan", spec, "--cluster", scanned, "--baseline", "known.json", "--report", "json:r.json")
    said = run_kspec("report", "--from", "r.json", "--update-baseline", "known.json")
    assert said.out == "known.json: 1 known finding (1 added, 1 removed)\n"
    (tmp_path / "text.json").write_text("text")
    said = run_kspec("report", "--from", "r.json", "--update-baseline", "text.json")
    assert (said.code, said.err.startswith("error: --update-baseline text.json: is not JSON")) == (4, True)
    assert (tmp_path / "text.json").read_text() == "text"
    said = run_kspec("report", "--from", "r.json", "--update-baseline", "r.json/x")
    assert said.code == 2


def test_a_store_costs_nothing_when_none_is_asked_for(spec: Path, manifests: Path, tmp_path: Path) -> None:
    program = (
        "import sys; from pytest_kspec.cli.main import main\n"
        f"main(['scan', {str(spec)!r}, '--cluster', {str(manifests)!r}])\n"
        "main(['history', '--help'])\n"
        "found = {'sqlalchemy', 'alembic', 'obstore', 'psycopg'} & set(sys.modules)\n"
        "sys.exit(f'imported: {found}' if found else 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
