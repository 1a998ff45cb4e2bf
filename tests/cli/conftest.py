"""The command in this process (`kspec`), and as users start it (`run_kspec`: scans start pytest inside)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pytest_kspec.cli.main import main
from tests.cli.drifting import drift as drift

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
RECORDING = EXAMPLES / "01-quickstart" / "prod-eu.tar.gz"


class Said(NamedTuple):
    code: int
    out: str
    err: str


Kspec = Callable[..., Said]


@pytest.fixture
def kspec(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Kspec:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")

    def run(*words: str | Path) -> Said:
        code = main([str(word) for word in words])
        return Said(code, *capsys.readouterr())

    return run


@pytest.fixture
def run_kspec(tmp_path: Path) -> Kspec:
    def run(*words: str | Path, stdin: str = "", cwd: Path = tmp_path, **env: str) -> Said:
        done = subprocess.run(
            [sys.executable, "-m", "pytest_kspec.cli.main", *map(str, words)],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=cwd,
            timeout=120,
            env=os.environ
            | {"NO_COLOR": "1", "COLUMNS": "80", "HOME": str(tmp_path), "KUBECONFIG": ""}
            | env,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    return run


SPEC = """\
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {{name: shop, version: 1.0.0}}
spec:
  {spec}
"""


@pytest.fixture
def write_spec(tmp_path: Path) -> Callable[..., Path]:
    def write(spec: str, name: str = "spec.yaml") -> Path:
        path = tmp_path / name
        path.write_text(SPEC.format(spec=spec), encoding="utf-8")
        return path

    return write


POD = """\
apiVersion: v1
kind: Pod
metadata: {name: web, namespace: shop, labels: {team: web}}
spec:
  hostNetwork: true
  containers: [{name: app, image: "docker.io/library/nginx:1"}]
"""


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    path = tmp_path / "pod.yaml"
    path.write_text(POD, encoding="utf-8")
    return path
