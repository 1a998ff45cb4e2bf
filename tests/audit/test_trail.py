"""What commands put into the audit log, as users see it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec import clock
from pytest_kspec.audit import trail
from pytest_kspec.audit.chain import LONGEST_LINE, verify
from pytest_kspec.audit.chained import ChainedLog
from pytest_kspec.audit.record import FORMATS, Type, make
from pytest_kspec.errors import SourceError, UsageError
from pytest_kspec.secretstores.reference import Reference
from pytest_kspec.secretstores.stores import Secrets
from tests.plugin.conftest import MANIFESTS, SPEC

EXEMPTION = """\
  policyExemptions:
  - {name: port, reason: until the gateway is there, checks: [network.*], expiresAt: "2099-01-01"}
  - {name: old, reason: it was needed, checks: ["podSecurity.standard[[]privileged]"], expiresAt: "2020-01-01"}
"""


def kspec(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest_kspec.cli.main", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        env=os.environ | {"NO_COLOR": "1", "KUBECONFIG": "", "KSPEC_RUN_BY": "ci@example.com"} | environment,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "strict.yaml").write_text(SPEC + EXEMPTION)
    (tmp_path / "prod").mkdir()
    (tmp_path / "prod" / "all.yaml").write_text(MANIFESTS)
    return tmp_path


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_a_scan_is_recorded_and_the_log_verified(folder: Path) -> None:
    done = kspec(folder, "scan", "strict.yaml", "--cluster", "./prod", "-q", KSPEC_AUDIT_LOG="audit.log")
    assert done.returncode == 1, done.stderr
    found = records(folder / "audit.log")
    assert [(one["type"], one["action"], one["result"], one["resource"]["name"]) for one in found] == [
        ("compliance_scan", "scan", "failure", ""),
        ("exemption", "used", "success", "port"),
        ("exemption", "expired", "success", "old"),
    ]
    assert {one["actor"] for one in found} == {"ci@example.com"}
    assert found[0]["resource"]["cluster_spec"] == "strict"
    verified = kspec(folder, "audit", "verify", "audit.log")
    assert verified.returncode == 0
    assert verified.stdout.startswith("✓ 3 records, 1 to 3\nhead ")

    for head in ("", verified.stdout.split()[-1][:12]):
        refused = kspec(folder, "audit", "verify", "audit.log", "--head", head)
        assert (refused.returncode, refused.stdout) == (4, ""), "less was verified than was asked"
    assert kspec(folder, "audit", "verify", "audit.log", "--from", "0").returncode == 4
    later = (folder / "audit.log").read_bytes().partition(b"\n")[2]
    (folder / "later.log").write_bytes(later)
    cut = kspec(folder, "audit", "verify", "later.log", "--head", verified.stdout.split()[-1])
    assert cut.returncode == 1
    assert cut.stderr.startswith("✗ record 1 is missing: the first record in these files is 2.")
    known = kspec(folder, "audit", "verify", "later.log", "--from", "2")
    assert (known.returncode, known.stdout.splitlines()[0]) == (0, "✓ 2 records, 2 to 3")

    lines = (folder / "audit.log").read_text().splitlines(keepends=True)
    (folder / "audit.log").write_text(lines[0].replace("failure", "success") + "".join(lines[1:]))
    forged = kspec(folder, "audit", "verify", "audit.log")
    assert (forged.returncode, forged.stderr) == (
        1,
        "✗ audit.log:2: the line before it, record 1, was changed\n",
    )


def test_a_full_disk_is_said_and_not_fatal(folder: Path) -> None:
    done = kspec(folder, "scan", "strict.yaml", "--cluster", "./prod", "-q", KSPEC_AUDIT_LOG="/dev/full")
    assert done.returncode == 1
    said = "3 audit records were lost: they could not be written to $KSPEC_AUDIT_LOG (No space left on device).\n"
    assert said in done.stderr


def test_a_full_file_that_cannot_be_moved_grows_and_loses_nothing(folder: Path) -> None:
    kspec(folder, "scan", "strict.yaml", "--cluster", "./prod", "-q", KSPEC_AUDIT_LOG="audit.log")
    with (folder / "audit.log").open("r+b") as stream:
        begun = stream.read()
        stream.truncate(100 << 20)
        stream.seek(0, os.SEEK_END)
        stream.write(b"\n" + begun)
    (folder / "audit.log.8").write_bytes(begun)
    (folder / "audit.log.9" / "in-its-way").mkdir(parents=True)
    for count in (6, 9):
        done = kspec(folder, "scan", "strict.yaml", "--cluster", "./prod", "-q", KSPEC_AUDIT_LOG="audit.log")
        assert done.returncode == 1
        assert "kspec: audit.log cannot be rotated, so it grows: Is a directory.\n" in done.stderr
        assert "lost" not in done.stderr
        written = (folder / "audit.log").read_bytes()[(100 << 20) + 1 :].splitlines()
        assert [json.loads(line)["chain"]["seq"] for line in written] == list(range(1, count + 1))


def test_a_log_of_100_mib_goes_on_in_another_file(folder: Path) -> None:
    """Two processes, of which neither sees the other: both files are one chain."""
    scan = ("scan", "strict.yaml", "--cluster", "./prod", "-q")
    assert kspec(folder, *scan, KSPEC_AUDIT_LOG="audit.log").returncode == 1
    log = ChainedLog(str(folder / "audit.log"), FORMATS["json"])
    large = make(Type.SCAN, "scan", "success", "large", details={f"k{n}": "x" * 1000 for n in range(2000)})
    while not (folder / "audit.log.1").exists():
        log.write([large])
    log.close()
    size = (folder / "audit.log.1").stat().st_size
    assert 100 << 20 <= size < (100 << 20) + LONGEST_LINE
    assert kspec(folder, *scan, KSPEC_AUDIT_LOG="audit.log").returncode == 1
    assert len(records(folder / "audit.log")) == 3
    whole = kspec(folder, "audit", "verify", "audit.log.1", "audit.log")
    assert (whole.returncode, whole.stderr) == (0, "")
    (before,) = {one["chain"]["seq"] - 1 for one in records(folder / "audit.log")[:1]}
    assert whole.stdout.startswith(f"✓ {before + 3} records, 1 to {before + 3}\n")
    half = kspec(folder, "audit", "verify", "audit.log")
    assert half.returncode == 1
    assert f"records 1 to {before} are missing" in half.stderr


def test_a_clock_that_is_set_back_leaves_the_records_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Times are those of the clock; numbers and digests are not, and nothing waits until it is later again."""
    path = tmp_path / "audit.log"
    monkeypatch.setenv(trail.VARIABLE, str(path))
    began = datetime(2026, 3, 29, 3, 0, tzinfo=UTC)
    steps = (0, 60, -7200, -7140, -365 * 86400)
    for step in steps:
        monkeypatch.setattr(clock, "now", lambda step=step: began + timedelta(seconds=step))
        trail.emit("leadership", "acquired", "success", f"after {step} s")
    trail.flush()
    found = records(path)
    assert [one["chain"]["seq"] for one in found] == [1, 2, 3, 4, 5]
    assert [datetime.fromisoformat(one["time"]) for one in found] == [
        began + timedelta(seconds=step) for step in steps
    ]
    with path.open("rb") as stream:
        assert verify([("audit.log", stream)]).problems == []


def test_a_log_that_cannot_be_opened_is_said_and_not_fatal(folder: Path) -> None:
    done = kspec(folder, "scan", "strict.yaml", "--cluster", "./prod", "-q", KSPEC_AUDIT_LOG="no/such/folder")
    assert done.returncode == 1
    assert "no/such/folder cannot be opened: No such file or directory. Nothing is recorded." in done.stderr


def test_without_the_variable_nothing_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(trail.VARIABLE, raising=False)
    trail.emit("leadership", "acquired", "success", "x")
    trail.flush()
    assert sorted(one.name for one in folder.iterdir()) == ["prod", "strict.yaml"]


def test_credentials_that_are_read_are_recorded_without_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(trail.VARIABLE, str(tmp_path / "audit.log"))
    key = tmp_path / "key"
    key.write_text("hunter2")
    assert Secrets().read(Reference("file", str(key)), asker="").text() == "hunter2"
    with pytest.raises((SourceError, UsageError)):
        Secrets().read(Reference("kubernetes", "x", "team-b", "k"), asker="team-a")
    trail.flush()
    assert "hunter2" not in (tmp_path / "audit.log").read_text()
    assert [
        (one["type"], one["result"], one["metadata"]["asker"]) for one in records(tmp_path / "audit.log")
    ] == [
        ("credential_access", "success", ""),
        ("credential_access", "failure", "team-a"),
    ]


def test_what_is_done_or_fails_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trail.VARIABLE, str(tmp_path / "audit.log"))
    monkeypatch.setenv(trail.FORMAT, "ocsf")
    with trail.recorded("enforcement", "create", "create X"):
        pass
    with pytest.raises(SourceError), trail.recorded("enforcement", "remove", "remove X"):
        raise SourceError("denied")
    trail.flush()
    assert [(one["class_uid"], one["status_id"]) for one in records(tmp_path / "audit.log")] == [
        (6003, 1),
        (6003, 2),
    ]


def test_a_run_of_some_requirements_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    from msgspec.structs import replace

    from pytest_kspec.publish import audited
    from tests.reports.results import compliant

    told: list[tuple[object, ...]] = []
    details: list[object] = []

    def emit(*words: object, **more: object) -> None:
        if words[0] == "compliance_scan":
            told.append(words[2:])
            details.append(more["details"])

    monkeypatch.setattr(audited, "emit", emit)
    whole = compliant()
    (cluster,) = whole.clusters
    audited.scanned(whole)
    audited.scanned(replace(whole, clusters=(replace(cluster, not_selected=("a.b",)),)))
    assert [outcome for outcome, _ in told] == ["success", "unknown"]
    assert str(told[1][1]).endswith(
        f"({len(cluster.checks)} of {len(cluster.checks) + 1} requirements, as selected)"
    )
    assert "'leftOut': 1" in str(details[1])


def test_the_size_of_a_file_is_an_option(folder: Path) -> None:
    """One file of another size is the same chain; what is no size is said, and nothing is lost by it."""
    scan = ("scan", "strict.yaml", "--cluster", "./prod", "-q")
    log, small = {"KSPEC_AUDIT_LOG": "audit.log"}, {"KSPEC_AUDIT_MAX_SIZE": "1"}
    assert kspec(folder, *scan, **log).returncode == 1
    filled = ChainedLog(str(folder / "audit.log"), FORMATS["json"])
    large = make(Type.SCAN, "scan", "success", "large", details={f"k{n}": "x" * 1000 for n in range(2000)})
    while (folder / "audit.log").stat().st_size < 1 << 20:
        filled.write([large])
    filled.close()
    assert kspec(folder, *scan, **log).returncode == 1
    assert not (folder / "audit.log.1").exists()
    assert kspec(folder, *scan, **log, **small).returncode == 1
    assert (folder / "audit.log.1").exists()
    for text in ("0", "1.5", "10241", "-1", "1Mi", "²", "99999999"):
        done = kspec(folder, *scan, **log, KSPEC_AUDIT_MAX_SIZE=text)
        assert done.returncode == 1
        said = f"kspec: $KSPEC_AUDIT_MAX_SIZE: '{text}' is not a number of MiB from 1 to 10240. 100 MiB are used.\n"
        assert said in done.stderr
    assert kspec(folder, "audit", "verify", "audit.log.1", "audit.log").returncode == 0
