"""Every file that a command writes, where somebody has laid a link in its place: what it points to stays as it is."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.evidence.conftest import make_keys

from .conftest import POD, RECORDING, SPEC, Kspec

ASKED = "workloads: {containers: {forbidden: [{key: hostNetwork, value: true}, {key: hostPID, value: true}]}}"
# What is written, and with what words. {link}: where the link lies; it has the ending that the command wants.
EACH: dict[str, tuple[str, str]] = {
    "report": ("r.json", "scan spec.yaml --cluster pod.yaml --report json:{link}"),
    "html report": ("r.html", "report --from result.json --to html:{link}"),
    "baseline": ("known.json", "report --from result.json --update-baseline {link}"),
    "store": ("runs.db", "scan spec.yaml --cluster pod.yaml --store {link}"),
    "fix": ("fixes/kustomization.yaml", "fix --from result.json -o fixes"),
    "policies": ("policies.yaml", "enforce spec.yaml --mode audit -o {link}"),
    "specification": ("new.yaml", "init --cluster prod-eu.tar.gz --force -o {link}"),
    "bundle": ("e.tar.gz", "evidence --from result.json --key {key} -o {link}"),
    "signature": ("e.tar.gz.sig", "evidence --from result.json --key {key} -o e.tar.gz"),
}


@pytest.fixture
def folder(tmp_path: Path, run_kspec: Kspec) -> Path:
    (tmp_path / "spec.yaml").write_text(SPEC.format(spec=ASKED))
    (tmp_path / "pod.yaml").write_text(POD)
    (tmp_path / "fixes").mkdir()
    shutil.copy(RECORDING, tmp_path)
    run_kspec("scan", "spec.yaml", "--cluster", "prod-eu.tar.gz", "--report", "json:result.json")
    run_kspec("report", "--from", "result.json", "--update-baseline", "victim")
    return tmp_path


@pytest.mark.parametrize("what", EACH)
def test_a_link_in_the_place_of_a_file(folder: Path, run_kspec: Kspec, what: str) -> None:
    name, words = EACH[what]
    link = folder / name
    link.symlink_to(folder / "victim")
    before = (folder / "victim").read_bytes()
    key = make_keys(folder / "keys").private if "{key}" in words else ""
    said = run_kspec(*words.format(link=name, key=key).split())
    assert said.code in (2, 4), said.out
    assert "it is a symbolic link" in said.err
    assert (folder / "victim").read_bytes() == before
    assert link.is_symlink()
    assert not list(folder.rglob(".kspec-*"))
    link.unlink()
    said = run_kspec(*words.format(link=name, key=key).split())
    assert said.code in (0, 1), said.err
    assert link.is_file()


def test_an_audit_log_that_is_a_link(folder: Path, run_kspec: Kspec) -> None:
    (folder / "audit.log").symlink_to(folder / "log")
    words = "webhook spec.yaml --mode enforce --cluster none --self-signed tls --host 127.0.0.1 --port 0"
    said = run_kspec(*words.split(), "--audit-log", "audit.log")
    assert said.code == 4
    assert "it is a symbolic link" in said.err
    assert not (folder / "log").exists()
