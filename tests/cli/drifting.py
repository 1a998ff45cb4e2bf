"""`kspec drift` of one specification on the shared API server, and hands that change what was applied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.cli.main import main
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce import apply as applying
from pytest_kspec.enforce.engines import Wanted, engine, vap
from pytest_kspec.enforce.modes import Mode, asked_mode
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.spec.loading import load_spec
from tests.controlplane.server import ControlPlane

V1 = "admissionregistration.k8s.io/v1"
POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
NAMES = [f"kspec-drifty-{part}" for part in ("cronjobs", "pods", "podtemplates", "workloads")]
SPEC = {
    "podSecurity": {"enforce": "baseline", "version": "v1.37"},
    "namespaceScope": {"includeNamespaces": ["drift-nowhere"]},
    "enforcement": {"enabled": True, "mode": "enforce"},
}


class Drift:
    """`kspec drift` of one specification, and hands that change what it applied."""

    def __init__(self, plane: ControlPlane, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.plane = plane
        self.capsys = capsys
        self.path = folder / "drifty.yaml"
        self.writer = Writer(LiveSource(plane.name, kubeconfig=str(plane.kubeconfig())))

    def spec(self, spec: dict[str, Any], version: str = "1.0.0") -> None:
        document = {
            "apiVersion": "kspec.dev/v1",
            "kind": "ClusterSpecification",
            "metadata": {"name": "drifty", "version": version},
            "spec": spec,
        }
        self.path.write_text(yaml.safe_dump(document), encoding="utf-8")

    def enforce(self, mode: Mode | None = None) -> None:
        """As `kspec enforce` does it, without its wait for a denial."""
        spec = load_spec(self.path)
        plan = enforcement_plan(spec, load_checks(), version=self.writer.source.info().version)
        made = vap.generate(Wanted(plan, mode or asked_mode(spec), self.plane.name))
        planned = applying.changes(spec, engine("vap"), made.manifests, self.writer)
        assert list(applying.carry_out(planned, self.writer)) == planned

    def run(self, *words: str) -> tuple[int, str, str]:
        code = main(["drift", words[0], "-s", str(self.path), *words[1:]])
        return code, *self.capsys.readouterr()

    def detect(self, *words: str) -> tuple[int, dict[str, Any]]:
        code, out, _ = self.run("detect", "-o", "json", *words)
        return code, json.loads(out)

    def patch(self, kind: str, name: str, *operations: dict[str, Any], manager: str = "kubectl-edit") -> None:
        self.writer.patch(V1, kind, name, operations, patch_type="json", field_manager=manager)

    def clear(self) -> None:
        for kind in (BINDING, POLICY):
            for one in self.writer.list(V1, kind):
                if one["metadata"]["name"].startswith("kspec-drifty-"):
                    self.writer.delete(V1, kind, one["metadata"]["name"])
        self.writer.source.close()


@pytest.fixture
def drift(
    control_plane: ControlPlane,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Drift]:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("KUBECONFIG", str(control_plane.kubeconfig(path=tmp_path / "kubeconfig")))
    made = Drift(control_plane, tmp_path, capsys)
    made.spec(SPEC)
    yield made
    made.clear()


def op(verb: str, path: str, value: Any = None) -> dict[str, Any]:
    return {"op": verb, "path": path} | ({} if verb == "remove" else {"value": value})


def found(document: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    return [
        (one["drift_kind"], one["severity"], one["resource"]["kind"], one["resource"]["name"])
        for one in document["events"]
    ]
