"""`kspec diff` of a result and the live cluster it was made from."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.controlplane.server import ControlPlane

SPEC = """\
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: services, version: 1.0.0}
spec: {network: {allowedServiceTypes: [ClusterIP]}}
"""


def test_a_result_and_the_live_cluster(
    control_plane: ControlPlane, fresh_namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC)
    kubeconfig = control_plane.kubeconfig(path=tmp_path / "kubeconfig", context="prod")
    path = f"/api/v1/namespaces/{fresh_namespace}/services"
    make(control_plane, path, "first")
    scan = ["--cluster", "prod", "--report", "json:before.json"]
    assert kspec(tmp_path, "scan", "spec.yaml", "--kubeconfig", kubeconfig, *scan).returncode == 1
    assert control_plane.request("DELETE", f"{path}/first").status == 200
    make(control_plane, path, "second")

    again = ["-s", "spec.yaml", "--kubeconfig", kubeconfig, "-o", "json"]
    done = kspec(tmp_path, "diff", "before.json", "prod", *again)

    assert done.returncode == 1, done.stderr
    (compared,) = json.loads(done.stdout)["findings"]["clusters"]
    mine = [f for f in compared["findings"] if f["finding"]["resource"]["namespace"] == fresh_namespace]
    assert [(f["state"], f["finding"]["resource"]["name"]) for f in mine] == [
        ("new", "second"),
        ("fixed", "first"),
    ]

    control_plane_gone = kspec(tmp_path, "diff", "before.json", "prod", "-s", "spec.yaml", KUBECONFIG="")
    assert control_plane_gone.returncode == 4
    assert "'prod' is neither a path nor a kubeconfig context" in control_plane_gone.stderr


def make(plane: ControlPlane, path: str, name: str) -> None:
    spec = {"type": "NodePort", "ports": [{"port": 80}]}
    assert plane.request("POST", path, {"metadata": {"name": name}, "spec": spec}).status == 201


def kspec(folder: Path, *words: Any, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest_kspec.cli.main", *map(str, words)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env=os.environ | {"NO_COLOR": "1", "COLUMNS": "80", "HOME": str(folder)} | env,
    )
