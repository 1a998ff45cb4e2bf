"""`clusterSelector` against the API server's own label selectors, and the clusters that specifications name."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.errors import UsageError
from pytest_kspec.fleet.selection import wanted_by
from pytest_kspec.fleet.targets.find import find_targets
from pytest_kspec.spec.loading import LoadedSpec, load_spec
from tests.controlplane import namespaces
from tests.fleet.targets.conftest import KIND, HubCluster, hub, hub_cluster

__all__ = ["hub", "hub_cluster"]

LABELS: dict[str, dict[str, str]] = {
    "none": {},
    "prod": {"env": "prod"},
    "prod-eu": {"env": "prod", "region": "eu"},
    "test-us": {"env": "test", "region": "us", "kspec.io/group": "a"},
    "empty": {"env": ""},
}
SELECTORS: list[dict[str, Any]] = [
    {},
    {"matchLabels": {"env": "prod"}},
    {"matchLabels": {"env": "prod", "region": "eu"}},
    {"matchLabels": {"env": ""}},
    {"matchLabels": {"env": "none"}},
    {"matchExpressions": [{"key": "env", "operator": "In", "values": ["prod", "test"]}]},
    {"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["prod", ""]}]},
    {"matchExpressions": [{"key": "region", "operator": "Exists"}]},
    {"matchExpressions": [{"key": "kspec.io/group", "operator": "DoesNotExist"}]},
    {
        "matchLabels": {"env": "prod"},
        "matchExpressions": [{"key": "region", "operator": "NotIn", "values": ["us"]}],
    },
]


def spec(folder: Path, **part: Any) -> LoadedSpec:
    """A specification with this part."""
    path = folder / f"{len(list(folder.iterdir()))}.yaml"
    head = {
        "apiVersion": "kspec.io/v1alpha1",
        "kind": "ClusterSpecification",
        "metadata": {"name": path.stem},
    }
    path.write_text(json.dumps({**head, "spec": {"kubernetes": {"minVersion": "1.29"}, **part}}))
    return load_spec(path)


def text(selector: dict[str, Any]) -> str:
    """The selector as the API server takes it."""
    words = [f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()]
    for one in selector.get("matchExpressions", []):
        key, values = one["key"], ",".join(one.get("values", []))
        words.append(
            {"In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})", "Exists": key}.get(
                one["operator"], f"!{key}"
            )
        )
    return ",".join(words)


def test_as_the_api_server_selects(hub: HubCluster, tmp_path: Path) -> None:
    url = "https://127.0.0.1:1"
    token: dict[str, Any] = {"authMode": "token", "tokenSecretRef": {"name": "none"}}
    for name, labels in LABELS.items():
        hub.target(name, labels=labels, apiServerURL=url, **token)
    found = {}
    for selector in SELECTORS:
        wanted = wanted_by([spec(tmp_path, clusterSelector=selector)])
        assert wanted is not None
        theirs = hub.writer.list(*KIND, namespace=NAMESPACE, label_selector=text(selector))
        ours = [target.name for target in find_targets(wanted, hub.hub())]
        assert ours == sorted(one["metadata"]["name"] for one in theirs), selector
        found[text(selector)] = len(ours)
    assert sorted(found.values()) == [0, 1, 1, 2, 2, 2, 2, 3, 4, 5]


def test_a_target_of_another_namespace_is_not_selected(hub: HubCluster, tmp_path: Path) -> None:
    namespaces.create(hub.plane, "team-a")
    url = "https://127.0.0.1:1"
    token: dict[str, Any] = {"authMode": "token", "tokenSecretRef": {"name": "none"}}
    hub.target("mine", labels={"env": "prod"}, apiServerURL=url, **token)
    hub.target("theirs", namespace="team-a", labels={"env": "prod"}, apiServerURL=url, **token)
    wanted = wanted_by([spec(tmp_path, clusterSelector={"matchLabels": {"env": "prod"}})])
    assert wanted is not None
    assert [target.name for target in find_targets(wanted, hub.hub())] == ["mine"]
    named = wanted_by([spec(tmp_path, clusterRef={"name": "theirs", "namespace": "team-a"})])
    assert named is not None
    assert [target.name for target in find_targets(named, hub.hub())] == ["team-a/theirs"]


def test_specifications_of_one_run_mean_the_same_clusters(tmp_path: Path) -> None:
    prod: dict[str, Any] = {"clusterSelector": {"matchLabels": {"env": "prod"}}}
    one, other, none = spec(tmp_path, **prod), spec(tmp_path, **prod), spec(tmp_path)
    assert wanted_by([one, other]) == wanted_by([one])
    assert wanted_by([none]) is None
    with pytest.raises(UsageError, match="for different clusters"):
        wanted_by([one, none])


@pytest.mark.parametrize(
    ("command", "words"),
    [("scan", ()), ("enforce", ("--mode=audit", "--yes")), ("drift", ("detect", "-s"))],
)
def test_what_is_for_one_cluster_refuses_a_selector(
    command: str, words: tuple[str, ...], tmp_path: Path
) -> None:
    path = spec(tmp_path, clusterSelector={}, podSecurity={"enforce": "baseline"}).path
    environment = os.environ | {"KUBECONFIG": str(tmp_path / "none"), "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "pytest_kspec.cli.main", command, *words, path],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=environment,
        timeout=60,
    )
    assert done.returncode == 4, done.stderr
    assert "clusterSelector selects several clusters" in done.stderr
