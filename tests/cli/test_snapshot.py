"""`kspec snapshot`: what it says; that it records truly is tested in tests/cluster and tests/live."""

import io
import json
import sys
import tarfile
from pathlib import Path

import pytest

from pytest_kspec.cli.commands.snapshot import _Progress, _summary
from pytest_kspec.cluster.sources.snapshotfile import Cluster, Failure, File, SnapshotInfo, Tool

from .conftest import POD, RECORDING, Kspec


def _info(*errors: Failure) -> SnapshotInfo:
    return SnapshotInfo(
        cluster=Cluster("prod", "uid", "v1.37.2"),
        recorded_at="2026-01-01T00:00:00Z",
        tool=Tool("pytest-kspec", "1"),
        types=(),
        files={"pods.json": File("", "Pod", 1200, "0" * 64), "nodes.json": File("", "Node", 34, "0" * 64)},
        errors=errors,
    )


def test_a_whole_record(capsys: pytest.CaptureFixture[str]) -> None:
    left_out = Failure("", "Event", "NotServed", "events are never recorded, because they change constantly.")
    assert _summary(_info(left_out), "prod.tar.gz") == 0
    assert capsys.readouterr() == ("prod.tar.gz: prod v1.37.2, 1,234 objects of 2 kinds\n", "")


def test_a_record_with_holes(capsys: pytest.CaptureFixture[str]) -> None:
    refused = Failure("", "Secret", "AccessDenied", "may not list secrets.", "Grant it.")
    assert _summary(_info(refused), "prod.tar.gz") == 2
    assert capsys.readouterr().err == (
        "not recorded: Secret: may not list secrets. Grant it.\n"
        "Checks that need these kinds will end with an error on this snapshot.\n"
    )


def test_a_record_of_a_record_is_equal(kspec: Kspec, tmp_path: Path) -> None:
    said = kspec("snapshot", "--cluster", RECORDING, "-o", tmp_path / "again")
    assert said.code == 0
    assert said.err == ""
    with tarfile.open(RECORDING) as archive:
        for member in archive.getmembers():
            name = Path(member.name).name
            file = archive.extractfile(member)
            if file is not None and name != "snapshot.json":
                assert (tmp_path / "again" / name).read_bytes() == file.read()
    assert json.loads((tmp_path / "again" / "snapshot.json").read_text())["kind"] == "Snapshot"


def test_manifests_are_not_recorded(kspec: Kspec, tmp_path: Path) -> None:
    """As a snapshot, a pod whose manifest says that it has ended would count as one that has."""
    (tmp_path / "pod.yaml").write_text(f"{POD}status: {{phase: Succeeded}}\n")
    said = kspec("snapshot", "--cluster", tmp_path / "pod.yaml", "-o", tmp_path / "s.tar.gz")
    assert said.code == 4
    assert (
        "manifests cannot be recorded, because they are not a cluster. 'kspec scan' reads them as they are."
        in said.err
    )
    assert not (tmp_path / "s.tar.gz").exists()


def test_progress_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    progress = _Progress()
    progress("pods", 0, 2)
    progress("", 2, 2)
    assert stream.getvalue() == "\r\x1b[K0/2 pods\r\x1b[K"


def test_without_a_cluster(kspec: Kspec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    said = kspec("snapshot", "-o", tmp_path / "x.tar.gz")
    assert said.code == 4
    assert not (tmp_path / "x.tar.gz").exists()
