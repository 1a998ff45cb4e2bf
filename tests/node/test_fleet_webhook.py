"""`kspec fleet enforce --engine webhook`: pods of the image really run, by digest, in a restricted namespace."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.cli.conftest import Said
from tests.fleet.test_webhook import FAILS
from tests.node import image
from tests.node.cluster import NodeCluster

NAMESPACE, NAME = "fleet-webhooks", "kspec-services-webhook"
SERVICES = "/api/v1/namespaces/default/services?dryRun=All"
NODE_PORT = {"metadata": {"name": "open"}, "spec": {"type": "NodePort", "ports": [{"port": 80}]}}
RUN_S = 500.0


def by_digest(cluster: NodeCluster) -> str:
    """The image under a name with its digest, on every node, as if it had been pulled from a registry."""
    names = set()
    for worker in cluster.workers.values():
        (line,) = [one for one in worker.ctr("images", "ls").splitlines() if one.split()[:1] == [image.KSPEC]]
        digest = next(word for word in line.split() if word.startswith("sha256:"))
        name = f"{image.KSPEC.partition(':')[0]}@{digest}"
        worker.ctr("images", "tag", "--force", image.KSPEC, name)
        names.add(name)
    (name,) = names
    return name


def enforce(cluster: NodeCluster, folder: Path, *words: str) -> Said:
    command = [sys.executable, "-m", "pytest_kspec.cli.main", "fleet", "enforce", "spec.yaml"]
    command += ["--all-contexts", "--engine=webhook", f"--namespace={NAMESPACE}", "-o", "json", *words]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=RUN_S,
        cwd=folder,
        env=os.environ | {"NO_COLOR": "1", "KUBECONFIG": str(cluster.plane.kubeconfig())},
    )
    return Said(done.returncode, done.stdout, done.stderr)


def test_pods_answer_before_they_are_registered_and_nothing_is_left(
    cluster: NodeCluster, tmp_path: Path
) -> None:
    plane = cluster.plane
    spec = FAILS.replace(
        "webhooks: {", f"namespaceScope: {{excludeNamespaces: [{NAMESPACE}]}}\n  webhooks: {{"
    )
    (tmp_path / "spec.yaml").write_text(spec)
    cluster.kubectl("create", "namespace", NAMESPACE)
    cluster.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")

    def state() -> str:
        words = ("get", "pods,events,deployments", "-n", NAMESPACE, "-o", "wide")
        return cluster.kubectl(*words, check=False) + cluster.kubectl(
            "logs", "-n", NAMESPACE, "-l", f"app.kubernetes.io/name={NAME}", "--tail=20", check=False
        )

    def denied() -> tuple[int, str]:
        status, body = plane.request("POST", SERVICES, NODE_PORT)
        return status, str(body.get("message", ""))

    missing = enforce(
        cluster, tmp_path, "--mode=enforce", "--yes", f"--image=localhost/none@sha256:{'0' * 64}"
    )
    (one,) = json.loads(missing.out)["clusters"]
    assert (missing.code, one["state"]) == (2, "failed"), state()
    assert "the webhook did not start (" in one["error"]
    assert denied()[0] == 201, "nothing is registered"

    said = enforce(cluster, tmp_path, "--mode=enforce", "--yes", f"--image={by_digest(cluster)}")
    assert said.code == 0, said.out + said.err + state()
    (one,) = json.loads(said.out)["clusters"]
    assert (one["state"], one["mode"]) == ("ok", "enforce")
    status, message = denied()
    assert status == 403, message
    assert "denied by services" in message
    assert enforce(cluster, tmp_path, "--status").code == 0

    said = enforce(cluster, tmp_path, "--remove", "--yes")
    assert said.code == 0, said.out + said.err
    assert denied()[0] == 201
    left: list[Any] = []
    for kinds in (
        "deployments,services,configmaps,secrets,serviceaccounts,roles,rolebindings",
        "clusterroles",
    ):
        found = cluster.kubectl("get", kinds, "-n", NAMESPACE, "-l", "kspec.io/generated=true", "-o", "name")
        left += found.split()
    assert left == []
    cluster.kubectl("delete", "namespace", NAMESPACE, "--wait=false")
