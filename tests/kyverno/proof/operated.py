"""`kspec operator` with the engine kyverno, and the real Kyverno: what it applies, reads back and removes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.crds.schema.definitions import DEFINITIONS
from pytest_kspec.enforce.engines import kyverno
from tests.controlplane import namespaces
from tests.crds.conftest import Cluster
from tests.kyverno.cluster import PATHS
from tests.operator import conftest as operators
from tests.operator.conftest import SPEC, OperatorProcess, Specs, until

NAME, PLACE = "operated", "operated"
PODS = f"/api/v1/namespaces/{PLACE}/pods?dryRun=All"
BAD = {
    "metadata": {"name": "bad"},
    "spec": {"hostNetwork": True, "containers": [{"name": "app", "image": "registry.example.com/app:1"}]},
}
PROCESSED_S = 900.0
"""Kyverno compiles each policy, which takes minutes on a busy machine."""
KINDS = {"validatingpolicy": "ValidatingPolicy", "clusterpolicy": "ClusterPolicy"}


@pytest.fixture(scope="module")
def cluster(plane: Any) -> Iterator[Any]:
    """The control plane with Kyverno, and our kinds."""
    made = Cluster(plane)
    made.install(*DEFINITIONS)
    for name in ("kspec-system", PLACE):
        namespaces.create(plane, name)
    yield made
    made.writer.source.close()


def asked(mode: Any) -> dict[str, Any]:
    return {
        "podSecurity": {"enforce": "baseline", "version": "v1.37"},
        "namespaceScope": {"includeNamespaces": [PLACE]},
        "enforcement": {"enabled": True, "mode": mode, "engine": "kyverno"},
    }


@pytest.mark.parametrize("api", kyverno.APIS)
def test_enforced_relaxed_and_removed(
    plane: Any, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, api: Any
) -> None:
    monkeypatch.setattr(operators, "LIMIT_S", PROCESSED_S)
    specs = Specs(cluster)
    operator = OperatorProcess(
        plane, tmp_path, "--leader-elect=false", "--scan-interval=1h", f"--kyverno-api={api}", user="admin"
    )

    def said() -> str:
        return f"{operator.said()}\n{specs.get(NAME).get('status')}"

    def status() -> Any:
        return plane.request("POST", PODS, BAD).status

    def policies() -> Any:
        path = f"{PATHS[KINDS[api]]}?labelSelector=kspec.io/cluster-spec={NAME}"
        return plane.request("GET", path).body["items"]

    try:
        specs.put(NAME, asked("enforce"))
        specs.wait(NAME, "True", "PolicyEnforced", said)
        assert status() == 403, said()
        assert specs.condition(NAME, "DriftDetected")["status"] == "False", said()

        specs.put(NAME, asked("audit"))
        specs.wait(NAME, "True", "PolicyEnforced", said)
        until(lambda: status() == 201, said)
        assert policies()

        cluster.writer.delete(*SPEC, NAME)
        until(lambda: cluster.writer.find(*SPEC, NAME) is None, operator.said)
        assert policies() == []
    finally:
        operator.kill()
        specs.clear()
