"""What a user sees: one hostile cluster costs its own results, within the bound; everything else is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.cli.main import main
from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.errors import SourceUnavailable
from tests.cluster.api import PODS, Api, Reply, group_version, kubeconfig, listing, status
from tests.cluster.objects import pod
from tests.hostile import acts

SPEC = """
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: small, version: 1.0.0}
spec:
  kubernetes: {minVersion: "1.30"}
  podSecurity: {enforce: baseline}
  network: {defaultDeny: true}
"""
NETWORK: dict[str, Any] = {
    "/apis": Reply(
        {
            "kind": "APIGroupList",
            "groups": [{"name": "networking.k8s.io", "versions": [{"version": "v1"}]}],
        }
    ),
    "/apis/networking.k8s.io/v1": group_version(("networkpolicies", "NetworkPolicy", True)),
    "/apis/networking.k8s.io/v1/networkpolicies": listing(
        "NetworkPolicy", api_version="networking.k8s.io/v1"
    ),
    "/api/v1": group_version(
        ("pods", "Pod", True), ("namespaces", "Namespace", False), ("nodes", "Node", False)
    ),
    "/api/v1/namespaces": listing("Namespace", {"metadata": {"name": "shop"}}),
    "/api/v1/nodes": listing("Node"),
    PODS: listing("Pod", pod("a")),
}


@pytest.fixture
def clusters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Api, Api, str]]:
    """(a good one, one that a test spoils, the kubeconfig of both)."""
    monkeypatch.setenv("KSPEC_CLUSTER_SECONDS", "3")
    monkeypatch.setenv("KSPEC_CLUSTER_MIB", "32")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spec.yaml").write_text(SPEC)
    with Api(NETWORK) as good, Api(NETWORK) as bad:
        merged: dict[str, Any] = {}
        for name, api in (("good", good), ("bad", bad)):
            data = yaml.safe_load(Path(kubeconfig(tmp_path, api.url, name=name)).read_text())
            for key in ("clusters", "contexts", "users"):
                merged.setdefault(key, []).extend(data[key])
        config = tmp_path / "both.kubeconfig"
        config.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", **merged}))
        yield good, bad, str(config)


def scan(config: str, tmp_path: Path) -> tuple[int, dict[str, dict[str, str]], str]:
    """Exit code, the verdict of each requirement by cluster, and the report as text."""
    words = ["--cluster", "bad", "--cluster", "good", "--kubeconfig", config, "--report", "json:out.json"]
    code = main(["scan", "spec.yaml", *words])
    text = (tmp_path / "out.json").read_text()
    found = json.loads(text)["clusters"]
    return code, {one["name"]: {c["id"]: c["verdict"] for c in one["checks"]} for one in found}, text


@pytest.mark.parametrize("answer", ["body", "gzip bomb", "trickle", "no list"])
def test_other_clusters_have_their_results(
    answer: str, clusters: tuple[Api, Api, str], tmp_path: Path
) -> None:
    """And of the hostile one, what does not need its pods."""
    _, bad, config = clusters
    special = {"trickle": acts.SLOW["body"], "no list": status(200)}
    bad.answers[PODS] = special.get(answer) or acts.WITHOUT_END[answer]
    code, found, text = scan(config, tmp_path)
    assert code == 2
    assert "error" not in found["good"].values()
    wrong = {check for check, verdict in found["bad"].items() if verdict == "error"}
    assert wrong == {check for check in found["good"] if check.startswith("podSecurity.standard")}
    assert {found["bad"][check] for check in ("kubernetes.version", "podSecurity.enforce")} == {
        "pass",
        "fail",
    }
    reason = {
        "body": "one answer has more than 2 MiB (KSPEC_CLUSTER_MIB raises this bound)",
        "gzip bomb": "one answer has more than 2 MiB (KSPEC_CLUSTER_MIB raises this bound)",
        "trickle": "one answer took more than 0.6 s (KSPEC_CLUSTER_SECONDS raises this bound)",
        "no list": "the list of pods is a Status without `items`",
    }[answer]
    assert reason in text


def test_a_snapshot_has_what_could_be_listed(
    clusters: tuple[Api, Api, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _, bad, config = clusters
    bad.answers[PODS] = acts.WITHOUT_END["body"]
    assert main(["snapshot", "--cluster", "bad", "--kubeconfig", config, "-o", "s"]) == 2
    assert "not recorded: Pod: the request to the API server was abandoned" in capsys.readouterr().err
    found = Inventory(open_source(str(tmp_path / "s")))
    assert [one.name for one in found.list("Namespace")] == ["shop"]
    with pytest.raises(SourceUnavailable, match="one answer has more than 2 MiB"):
        found.pods()
    bad.answers["/api/v1"] = acts.WITHOUT_END["headers"]
    before = sorted(tmp_path.rglob("*"))
    assert main(["snapshot", "--cluster", "bad", "--kubeconfig", config, "-o", "s"]) == 2
    assert sorted(tmp_path.rglob("*")) == before
