"""A credential in every place that may hold one: no command and no format shows it."""

from __future__ import annotations

import gzip
import json
import shutil
import stat
import tarfile
from pathlib import Path

import pytest
import yaml

from pytest_kspec.cluster.recording.record import record
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.crds.objects import compliancereport, policyreport
from pytest_kspec.reports.json import read
from tests.evidence.conftest import make_keys
from tests.hostile.canary import BASE64, CANARY, CHECKS, KSPEC, files_hold_none, objects, said


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("leaks")
    (folder / "manifests").mkdir()
    (folder / "manifests" / "all.yaml").write_text(yaml.safe_dump_all(objects()))
    (folder / "test_checks.py").write_text(CHECKS)
    spec = {
        "apiVersion": "kspec.dev/v1",
        "kind": "ClusterSpecification",
        "metadata": {"name": "leaks", "version": "1.0.0"},
        "spec": {
            "podSecurity": {"enforce": "restricted"},
            "workloads": {
                "containers": {"forbidden": [{"key": "args"}, {"key": "env"}, {"key": "command"}]},
                "images": {"allowedRegistries": ["other.example.com"]},
            },
        },
    }
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec))
    return folder


def test_a_snapshot_holds_none_and_counts_them(tmp_path: Path) -> None:
    made = record(MemorySource(objects()), tmp_path / "s")
    record(MemorySource(objects()), tmp_path / "s.tar.gz")
    files = list((tmp_path / "s").iterdir())
    for file in files:
        assert CANARY not in file.read_text(), file.name
        assert BASE64 not in file.read_text(), file.name
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "s.tar.gz").stat().st_mode) == 0o600
    assert CANARY.encode() not in gzip.decompress((tmp_path / "s.tar.gz").read_bytes())
    assert made.redacted.keys() == {
        "annotations", "arguments", "configMapData", "environment", "headers", "other"
    }  # fmt: skip
    assert made.redacted["configMapData"] == 3
    assert made.redacted["environment"] == 18
    assert json.loads((tmp_path / "s" / "snapshot.json").read_text())["redacted"] == made.redacted


FORMATS = ("csv", "html", "intoto", "json", "junit", "markdown", "oscal", "pdf", "pdf-full", "sarif")


def test_no_report_of_a_scan_shows_one(place: Path) -> None:
    reports = [word for form in FORMATS for word in ("--report", f"{form}:out.{form}")]
    more = ("--store", "store.db", "--store-reports", "kept")
    code, text = said(
        place,
        *KSPEC,
        "scan",
        "spec.yaml",
        "--checks",
        "test_checks.py",
        "--cluster",
        "manifests",
        *reports,
        *more,
    )
    assert code == 2, text
    found = json.loads((place / "out.json").read_text())
    for check in found["clusters"][0]["checks"]:
        if check["id"] in ("acme.env", "acme.data", "workloads.images"):
            assert check["findings"], check
            assert "(redacted)" in json.dumps(check["findings"])
    assert stat.S_IMODE((place / "store.db").stat().st_mode) == 0o600
    kept = list((place / "kept").rglob("*"))
    assert kept
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept if path.is_file()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in (place / "kept", *kept) if path.is_dir()} == {0o700}
    (cluster,) = read(place / "out.json").clusters
    made = [
        compliancereport.build(cluster, "2026-11-25T12:00:00Z"),
        *policyreport.build(cluster, policyreport.APIS[0]),
    ]
    written = json.dumps(made)
    assert "(redacted)" in written
    assert CANARY not in written
    assert BASE64 not in written
    said(place, *KSPEC, "history", "--store", "store.db", "--findings", "-o", "json")
    said(place, *KSPEC, "diff", "out.json", "out.json", "-o", "json")


@pytest.mark.parametrize(
    "words",
    [
        ("-v", "-l"),
        ("-vv", "-rA", "-s", "-k", "not asserts and not setup and not teardown"),
        ("-n", "2", "-l"),
        ("-l", "--tb=long", "--junitxml=out.xml", "-o", "junit_logging=all"),
    ],
)
def test_pytest_shows_none(place: Path, words: tuple[str, ...]) -> None:
    asked = ("--kspec-spec", "spec.yaml", "--kspec-cluster", "manifests", "--kspec-checks", "test_checks.py")
    code, text = said(place, "-m", "pytest", "-p", "no:cacheprovider", *asked, *words)
    assert code == 1, text
    assert "acme.raises" in text


@pytest.mark.parametrize(
    "words",
    [
        ("fix", "spec.yaml", "--cluster", "manifests"),
        ("enforce", "spec.yaml", "--cluster", "manifests", "--preview"),
        ("diff", "manifests", "manifests", "-s", "spec.yaml"),
    ],
)
def test_other_commands_show_none(place: Path, words: tuple[str, ...]) -> None:
    said(place, *KSPEC, *words)


def test_a_bundle_holds_none_and_only_its_owner_reads_it(place: Path) -> None:
    folder = place / "bundled"
    make_keys(folder)
    shutil.copy(place / "spec.yaml", folder)
    record(MemorySource(objects()), folder / "prod.tar.gz")
    code, text = said(
        folder, *KSPEC, "scan", "spec.yaml", "--cluster", "prod.tar.gz", "--report", "json:result.json"
    )
    assert code == 1, text
    code, text = said(
        folder, *KSPEC, "evidence", "--from", "result.json", "--key", "key.pem", "-o", "made.tar.gz"
    )
    assert code == 0, text
    assert stat.S_IMODE((folder / "made.tar.gz").stat().st_mode) == 0o600
    assert said(folder, *KSPEC, "verify", "made.tar.gz", "--key", "key.pub")[0] == 0
    with tarfile.open(folder / "made.tar.gz") as archive:
        archive.extractall(folder / "unpacked", filter="data")
        assert {member.mode & 0o077 for member in archive.getmembers()} == {0}
    files_hold_none(folder)
    (folder / "key.pem").unlink()


def test_a_requirement_over_a_redacted_value_is_an_error_and_no_fix_writes_it(tmp_path: Path) -> None:
    """What a snapshot does not hold is neither as asked for nor not, and never overwritten by what stands there."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "containers": [
                {"name": "app", "image": "nginx", "args": ["--password", CANARY, "--debug"],
                 "env": [{"name": "DB_PASSWORD", "value": CANARY}], "securityContext": {"privileged": True}}
            ]
        },
    }  # fmt: skip
    record(MemorySource([pod]), tmp_path / "prod.tar.gz")
    containers = {
        "required": [{"key": "env.value", "value": "other"}],
        "forbidden": [
            {"key": "args", "value": "--debug"},
            {"key": "securityContext.privileged", "value": True},
        ],
    }
    spec = {
        "apiVersion": "kspec.dev/v1",
        "kind": "ClusterSpecification",
        "metadata": {"name": "leaks", "version": "1.0.0"},
        "spec": {"workloads": {"containers": containers}},
    }
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    code, text = said(
        tmp_path, *KSPEC, "scan", "spec.yaml", "--cluster", "prod.tar.gz", "--report", "json:out.json"
    )
    assert code == 2, text
    (cluster,) = read(tmp_path / "out.json").clusters
    assert {check.id: (check.verdict, check.reason) for check in cluster.checks} == {
        f"workloads.containers.{name}": (
            verdict,
            reason and f"Pod shop/web: {reason} was redacted when the cluster was recorded.",
        )
        for name, verdict, reason in (
            ("forbidden[args]", "error", "spec.containers[app].args"),
            ("forbidden[securityContext.privileged]", "fail", ""),
            ("required[env.value]", "error", "spec.containers[app].env[DB_PASSWORD].value"),
        )
    }
    code, text = said(tmp_path, *KSPEC, "fix", "spec.yaml", "--cluster", "prod.tar.gz")
    assert "privileged" in text
    assert "(redacted)" not in text.partition("not evaluated")[0], text
