"""The commands of the runbook, on a real API server; the manifests for Prometheus' operator, by its own definitions."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.reference.alerts import ALERTS
from tests.controlplane.server import ControlPlane
from tests.docs.pages import ROOT
from tests.operator.conftest import LEASE, OperatorProcess, Specs, until
from tests.operator.test_live import UNMET

KUBECTL = Path(sys.executable).with_name("kubectl")
MODULE = "github.com/prometheus-operator/prometheus-operator@v0.85.0"
SUM = "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s="
DEFINITIONS = ("prometheusrules", "servicemonitors")


def kubectl(plane: ControlPlane, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [KUBECTL, f"--kubeconfig={plane.kubeconfig()}", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_every_command_of_the_runbook_works(specs: Specs, start: Callable[..., OperatorProcess]) -> None:
    page = (ROOT / "docs" / "runbooks" / "alerts.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S)
    written = {line for block in blocks for line in block.splitlines() if line.startswith("kubectl ")}
    assert written == {line for one in ALERTS for line in one.look}, "run: make docs"
    specs.put("shown", UNMET)
    head = {"apiVersion": "kspec.io/v1alpha1", "metadata": {"name": "shown", "namespace": NAMESPACE}}
    hook = {"name": "hook", "url": "https://hooks.example.com/"}
    token = {"authMode": "token", "tokenSecretRef": {"name": "none"}, "suspend": True}
    made = (
        {**head, "kind": "AlertConfig", "spec": {"webhooks": [hook], "enabled": False}},
        {**head, "kind": "ClusterTarget", "spec": {"apiServerURL": specs.plane.url, **token}},
    )
    for one in made:
        specs.writer.apply(one, field_manager="test")
    try:
        operator = start()
        specs.wait("shown", "False", said=operator.said)
        until(lambda: specs.writer.find(*LEASE, namespace=NAMESPACE), operator.said)
        for line in sorted(written):
            words = ["shown" if word == "NAME" else word for word in shlex.split(line)]
            assert words.pop(0) == "kubectl", line
            done = kubectl(specs.plane, *words)
            assert done.returncode == 0, f"{line}: {done.stderr}"
    finally:
        for one in made:
            specs.writer.delete(str(one["apiVersion"]), str(one["kind"]), "shown", namespace=NAMESPACE)


@pytest.fixture
def definitions(control_plane: ControlPlane) -> Iterator[None]:
    """Those of Prometheus' operator, from its Go module."""
    go = shutil.which("go")
    assert go, "the definitions of Prometheus' operator come from its Go module: install Go"
    done = subprocess.run(
        [go, "mod", "download", "-json", MODULE], capture_output=True, text=True, timeout=300, cwd="/"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["Sum"] == SUM
    folder = Path(found["Dir"], "example", "prometheus-operator-crd")
    files = [folder / f"monitoring.coreos.com_{name}.yaml" for name in DEFINITIONS]
    names = [f"customresourcedefinition/{name}.monitoring.coreos.com" for name in DEFINITIONS]
    for file in files:
        done = kubectl(control_plane, "apply", "--server-side", "-f", file)
        assert done.returncode == 0, done.stderr
    done = kubectl(control_plane, "wait", "--for=condition=Established", *names, "--timeout=60s")
    assert done.returncode == 0, done.stderr
    yield
    kubectl(control_plane, "delete", *names)


def test_prometheus_operator_accepts_its_objects(
    operated: object, control_plane: ControlPlane, definitions: None, tmp_path: Path
) -> None:
    words = ("apply", "--server-side", "--dry-run=server", "--validate=strict")
    done = kubectl(control_plane, *words, "-k", ROOT / "config" / "monitoring")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.splitlines()) == 4
    for name, right, wrong in (
        ("prometheusrule.yaml", "severity: critical", "severity: 1"),
        ("prometheusrule.yaml", "expr:", "exprs:"),
        ("servicemonitor.yaml", "port: metrics", "prot: metrics"),
    ):
        text = (ROOT / "config" / "monitoring" / name).read_text(encoding="utf-8")
        assert right in text
        (tmp_path / name).write_text(text.replace(right, wrong, 1), encoding="utf-8")
        assert kubectl(control_plane, *words, "-f", tmp_path / name).returncode == 1, f"{wrong} is refused"
