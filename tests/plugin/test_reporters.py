"""What Allure and pytest-json-report make of a scan: real ones, which users run beside our own reports."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.controlplane.build import cache_root

from .conftest import MANIFESTS, Project

PINNED = Path(__file__).with_name("reporters.txt")
BROKEN = """\
---
apiVersion: v1
kind: Pod
metadata: {name: odd, namespace: web}
spec: {hostNetwork: "yes", containers: [{name: app, image: nginx}]}
"""


@pytest.fixture(scope="session")
def reporters() -> Path:
    """A folder with both, for PYTHONPATH. Installed once a machine."""
    folder = cache_root() / "reporters" / hashlib.sha256(PINNED.read_bytes()).hexdigest()[:16]
    if not folder.is_dir():
        made = folder.with_name(f"{folder.name}.{os.getpid()}")
        uv = Path(sys.executable).with_name("uv")
        words = ("pip", "install", "--quiet", "--no-deps", "--require-hashes", "--target", made, "-r", PINNED)
        subprocess.run([uv, *words], check=True, timeout=120)
        try:
            made.rename(folder)
        except OSError:  # another worker was first
            shutil.rmtree(made)
    return folder


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["one", "workers"])
def test_findings_are_failed_and_errors_are_broken(
    project: Project, reporters: Path, monkeypatch: pytest.MonkeyPatch, workers: tuple[str, ...]
) -> None:
    project.write("prod/all.yaml", MANIFESTS + BROKEN)
    monkeypatch.setenv(
        "PYTHONPATH", os.pathsep.join(filter(None, (str(reporters), os.environ.get("PYTHONPATH"))))
    )
    project.run("--alluredir=allure", "--json-report", "--json-report-file=other.json", *workers)
    verdicts = project.verdicts()
    assert {"pass", "fail", "error", "skip"} == set(verdicts.values())

    words = {"pass": "passed", "fail": "failed", "error": "broken", "skip": "skipped"}
    shown = [json.loads(path.read_text()) for path in (project.path / "allure").glob("*-result.json")]
    assert {one["name"]: one["status"] for one in shown} == {id: words[said] for id, said in verdicts.items()}
    (failed,) = [one for one in shown if one["name"] == "podSecurity.standard[privileged]"]
    assert "Deployment web/shop: " in failed["statusDetails"]["message"]

    other = json.loads((project.path / "other.json").read_text())
    count = Counter(verdicts.values())
    assert {name: other["summary"].get(name) for name in ("passed", "failed", "error", "skipped")} == {
        "passed": count["pass"],
        "failed": count["fail"],
        "error": count["error"],
        "skipped": count["skip"],
    }
    (test,) = [one for one in other["tests"] if one["nodeid"].endswith("standard[privileged]")]
    facts: dict[str, Any] = {}
    for entry in test["user_properties"]:
        facts |= entry
    assert facts["kspec_verdict"] == "fail"
    named = {name: facts[f"kspec_finding_1_{name}"] for name in ("kind", "namespace", "name", "path")}
    assert named == {
        "kind": "Deployment",
        "namespace": "web",
        "name": "shop",
        "path": "spec.template.spec.containers[app].securityContext.privileged",
    }
