"""Every pod that Kubernetes publishes as passing or failing a level of the Pod Security Standards.

The files are read from the Go module cache, in the version that tests/controlplane/go.mod pins; none is
kept here.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rules.pod_security import ADMISSION, shape, violations

MODULE = "k8s.io/pod-security-admission"
GO_MOD = Path(__file__).parents[1] / "controlplane" / "go.mod"
NEEDED = "Install Go 1.26 or later: these tests read the test data of k8s.io/pod-security-admission."
OURS = {theirs.lower(): name for name, (theirs, _) in ADMISSION.items()}
# At level restricted a file may be named after the control of baseline that a stricter one replaces.
REPLACED = {
    "capabilities": "capabilitiesRestricted",
    "hostPathVolumes": "volumeTypes",
    "procMount": "procMountRestricted",
    "seccompProfile": "seccompProfileRestricted",
}
VERSIONS = range(38)
# 4,537 files; a new version of the module changes these numbers, and someone looks at what it brings.
FILES = {"baseline": 1555, "restricted": 2982}


@cache
def corpus() -> Path:
    pinned = re.search(rf"{MODULE} => {MODULE} (v\S+)", GO_MOD.read_text(encoding="utf-8"))
    assert pinned, f"{GO_MOD} does not pin {MODULE}"
    go = shutil.which("go")
    if go is None:
        pytest.fail(NEEDED, pytrace=False)
    command = [go, "mod", "download", "-json", f"{MODULE}@{pinned[1]}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd="/", check=False)
    if done.returncode != 0:
        pytest.fail(f"{' '.join(command[1:])}: {done.stdout}{done.stderr}", pytrace=False)
    return Path(json.loads(done.stdout)["Dir"]) / "test" / "testdata"


def pods(level: str, minor: Any, verdict: Any) -> Iterator[tuple[Any, Any]]:
    for path in sorted((corpus() / level / f"v1.{minor}" / verdict).glob("*.yaml")):
        yield path.stem, shape(yaml.load(path.read_bytes(), yaml.CSafeLoader))


@pytest.mark.parametrize("minor", VERSIONS)
@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_passing_pods_have_no_finding(level: str, minor: int) -> None:
    found = {name: violations(pod, level, minor) for name, pod in pods(level, minor, "pass")}

    assert found
    assert {name: bad for name, bad in found.items() if bad} == {}


@pytest.mark.parametrize("minor", VERSIONS)
@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_failing_pods_fail_the_control_that_their_file_names(level: str, minor: int) -> None:
    missed = {}
    for name, pod in pods(level, minor, "fail"):
        control = OURS[re.sub(r"\d+$", "", name)]
        if level == "restricted":
            control = REPLACED.get(control, control)
        if control not in (found := violations(pod, level, minor)):
            missed[name] = (control, sorted(found))

    assert missed == {}


def test_all_files_were_read() -> None:
    versions = {path.name for path in corpus().glob("*/v1.*")}
    assert versions == {f"v1.{minor}" for minor in VERSIONS}
    assert {level: len(list((corpus() / level).rglob("*.yaml"))) for level in FILES} == FILES
