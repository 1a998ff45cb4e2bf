from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

SPEC = """\
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: strict, version: 1.0.0}
spec:
  kubernetes: {minVersion: "1.30", maxVersion: "1.37"}
  podSecurity: {enforce: baseline, audit: privileged, warn: privileged}
  network:
    allowedServiceTypes: [ClusterIP]
"""

MANIFESTS = """\
apiVersion: v1
kind: Namespace
metadata: {name: web, labels: {pod-security.kubernetes.io/enforce: baseline}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: shop, namespace: web, labels: {team: shop}}
spec:
  template:
    spec:
      containers: [{name: app, image: nginx, securityContext: {privileged: true}}]
---
apiVersion: v1
kind: Service
metadata: {name: shop, namespace: web}
spec: {type: NodePort, ports: [{port: 80}]}
"""


class Project:
    """A folder with a specification and two clusters of manifests, and runs of pytest in it."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path
        self.write("strict.yaml", SPEC)
        self.write("prod/all.yaml", MANIFESTS)
        self.write(
            "stage/all.yaml",
            MANIFESTS.replace("privileged: true", "privileged: false").replace("NodePort", "ClusterIP"),
        )

    def write(self, name: str, text: str) -> Path:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def run(self, *args: str, clusters: tuple[str, ...] = ("./prod",)) -> pytest.RunResult:
        """`pytest --kspec-spec strict.yaml --kspec-cluster … args`, in a process of its own."""
        chosen = [f"--kspec-cluster={c}" for c in clusters]
        return self.pytester.runpytest_subprocess(
            "--kspec-spec=strict.yaml",
            *chosen,
            "--kspec-report=json:result.json",
            "-p",
            "no:cacheprovider",
            *args,
        )

    def result(self) -> dict[str, Any]:
        """The JSON report of the last run."""
        data: dict[str, Any] = json.loads((self.path / "result.json").read_text())
        return data

    def verdicts(self, cluster: str = "prod") -> dict[str, str]:
        """Requirement id → verdict on one cluster."""
        (found,) = [c for c in self.result()["clusters"] if c["name"] == cluster]
        return {check["id"]: check["verdict"] for check in found["checks"]}


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)
