"""The package of docs/extending.md, built and installed: its check, report format and source work as the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
OBJECTS = """\
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "x"}, "spec": {"containers": []}}
{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "b", "namespace": "x", "labels": {"team": "t"}}, "spec": SPEC}
""".replace('"containers": []', '"containers": [{"name": "c"}]').replace(
    "SPEC", '{"containers": [{"name": "c"}], "hostNetwork": true}'
)
SPEC = """\
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: strict, version: 1.0.0}
spec:
  workloads: {containers: {forbidden: [{key: hostNetwork, value: true}]}}
"""
FOUND = """\
inventory acme.team-label Pod x/a
inventory workloads.containers.forbidden[hostNetwork] Pod x/b
"""


def _blocks() -> dict[str, str]:
    return {
        name: re.search(rf"`{re.escape(name)}`:\n\n```\w+\n(.*?)```", PAGE, re.DOTALL)[1]  # type: ignore[index]
        for name in ("pyproject.toml", "acme_kspec.py")
    }


def _environment(installed: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(installed), "KUBECONFIG": "", "NO_COLOR": "1", "COLUMNS": "100"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder where the package is installed."""
    source, target = tmp_path_factory.mktemp("acme"), tmp_path_factory.mktemp("installed")
    for name, text in _blocks().items():
        (source / name).write_text(text, encoding="utf-8")
    words = ["--no-deps", "--no-build-isolation", "--offline", "--target", str(target), str(source)]
    uv = Path(sys.executable).with_name("uv")
    done = subprocess.run(
        [uv, "pip", "install", "--python", sys.executable, *words],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return target


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inventory.jsonl").write_text(OBJECTS, encoding="utf-8")
    (tmp_path / "prod.yaml").write_text(SPEC, encoding="utf-8")
    return tmp_path


def _run(folder: Path, installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env=_environment(installed),
    )


def test_it_is_short() -> None:
    assert sum(len(text.splitlines()) for text in _blocks().values()) < 60


@pytest.mark.parametrize("workers", [[], ["-n", "2"]], ids=["one", "workers"])
@pytest.mark.parametrize("shell", ["kspec", "pytest"])
def test_a_check_a_report_format_and_a_source(
    folder: Path, installed: Path, shell: str, workers: list[str]
) -> None:
    (words,) = [
        line.split() for line in PAGE.splitlines() if line.startswith((f"{shell} scan", f"{shell} --"))
    ]
    module = "pytest_kspec.cli.main" if shell == "kspec" else "pytest"
    done = _run(folder, installed, module, *words[1:], *workers)
    assert done.returncode == 1, done.stdout + done.stderr
    assert (folder / "findings.txt").read_text(encoding="utf-8") == FOUND
    assert "acme-list report: findings.txt" in done.stdout


def test_commands_know_what_is_installed(folder: Path, installed: Path) -> None:
    kspec = "pytest_kspec.cli.main"
    words = ("scan", "prod.yaml", "--cluster", "acme:inventory.jsonl")
    assert _run(folder, installed, kspec, *words, "-o", "acme-list").stdout == FOUND
    assert "acme.team-label" in _run(folder, installed, kspec, "checks").stdout
    assert "The pager reads this label" in _run(folder, installed, kspec, "explain", "acme.team-label").stdout
    done = _run(folder, installed, kspec, *words, "--report", "acme-lst:x")
    assert done.returncode == 4
    assert "Did you mean 'acme-list'?" in done.stderr
    done = _run(folder, installed, kspec, "scan", "prod.yaml", "--cluster", "acme:missing.jsonl")
    assert done.returncode == 4
    assert "the source 'acme' of the package acme-kspec 1.0 cannot be used: FileNotFoundError" in done.stderr
    assert done.stderr.endswith("Check what follows 'acme:', or repair the package.\n")
