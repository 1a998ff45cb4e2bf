"""`kspec init`: what it writes is valid, and the cluster meets it."""

import json
from pathlib import Path

import pytest

from pytest_kspec.spec.loading import load_spec

from .conftest import RECORDING, Kspec


def test_the_cluster_meets_its_own_specification(kspec: Kspec, run_kspec: Kspec, tmp_path: Path) -> None:
    path = tmp_path / "prod-eu.yaml"
    said = kspec("init", "--cluster", RECORDING, "-o", path)
    assert said.code == 0
    spec = load_spec(path)
    assert spec.spec.kubernetes is not None
    assert spec.spec.kubernetes.min_version == "1.37"
    assert spec.spec.pod_security is not None
    assert spec.spec.pod_security.enforce == "baseline"
    assert {e.reason for e in spec.exemptions} == {"found by kspec init, review"}
    scan = run_kspec("scan", path, "--cluster", RECORDING, "--json")
    result = json.loads(scan.out)
    assert scan.code == 0
    assert result["summary"]["pass"] == len(result["clusters"][0]["checks"])
    assert {use["state"] for use in result["clusters"][0]["exemptions"]} == {"used"}


def test_manifests_have_no_version(kspec: Kspec, manifests: Path) -> None:
    said = kspec("init", "--cluster", manifests, "-o", "-")
    assert said.code == 0
    assert "minVersion" not in said.out
    assert "# kubernetes: manifests have no API server, so no version is required" in said.out
    assert "allowedRegistries: [docker.io]" in said.out


def test_an_empty_cluster(kspec: Kspec, tmp_path: Path) -> None:
    (tmp_path / "none.yaml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: empty}\n")
    said = kspec("init", "--cluster", tmp_path / "none.yaml", "-o", tmp_path / "spec.yaml")
    assert said.code == 0
    assert load_spec(tmp_path / "spec.yaml").name == "none-yaml"
    assert "note: podSecurity: there are no pods\n" in said.err
    assert "note: workloads: there are no workloads\n" in said.err


def test_nothing_is_overwritten(kspec: Kspec, manifests: Path, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("mine")
    said = kspec("init", "--cluster", manifests, "-o", path)
    assert said == (4, "", f"error: {path}: exists already. Use another name with -o, or add --force.\n")
    assert path.read_text() == "mine"
    assert kspec("init", "--cluster", manifests, "-o", path, "--force").code == 0
    assert path.read_text() != "mine"


def test_a_file_that_cannot_be_written(kspec: Kspec, manifests: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = kspec("init", "--cluster", manifests, "-o", tmp_path / "file" / "spec.yaml")
    assert said.code == 2
    assert "could not be written" in said.err


@pytest.mark.parametrize("ref", ["./nowhere"])
def test_no_such_cluster(kspec: Kspec, ref: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    said = kspec("init", "--cluster", ref, "-o", tmp_path / "spec.yaml")
    assert said.code == 4
    assert not (tmp_path / "spec.yaml").exists()
