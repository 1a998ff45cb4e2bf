"""The README's first specification on a real cluster: what its owner can do meets it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from tests.controlplane.server import ControlPlane, Etcd
from tools import example_cluster

KSPEC = (sys.executable, "-m", "pytest_kspec.cli.main", "scan", "prod.yaml", "-o", "json")
README = Path(__file__).parents[2] / "README.md"
POLICY = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "deny", "namespace": "default"},
    "spec": {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]},
}
NAMESPACE = {
    "apiVersion": "v1",
    "kind": "Namespace",
    "metadata": {"name": "default", "labels": {"pod-security.kubernetes.io/enforce": "baseline"}},
}


def test_the_first_specification_can_be_met(etcd: Etcd, tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(apiVersion: kspec.dev/v1.*?)```", README.read_text(), re.DOTALL)
    assert found is not None
    (tmp_path / "prod.yaml").write_text(found[1])
    with ControlPlane(etcd, name="fresh") as plane:
        example_cluster.create(plane, [NAMESPACE, POLICY])
        done = subprocess.run(
            [*KSPEC, f"--kubeconfig={plane.kubeconfig()}"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.stdout, done.stderr
    (cluster,) = json.loads(done.stdout)["clusters"]
    assert [c for c in cluster["checks"] if c["verdict"] in ("fail", "error")] == []
    assert done.returncode == 0
    verdicts = {c["id"]: c["verdict"] for c in cluster["checks"]}
    assert verdicts["network.defaultDeny"] == verdicts["podSecurity.enforce"] == "pass"
