"""What a look says of a cluster beyond whether it answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.fleet.targets.look import secrets_at_rest
from tests.cluster.api import Api, Reply

PODS = "/api/v1/namespaces/kube-system/pods"
FLAG = "--encryption-provider-config=/etc/kubernetes/enc.yaml"


def pods(*commands: list[str]) -> dict[str, Any]:
    items = [{"metadata": {"name": "a"}, "spec": {"containers": [{"command": words}]}} for words in commands]
    return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(pods(["kube-apiserver", "--profiling=false"])), "no"),
        (Reply(pods(["/usr/local/bin/kube-apiserver"], ["kube-apiserver"])), "no"),
        (Reply(pods(["kube-apiserver", FLAG])), "unknown"),
        (Reply(pods(["kube-apiserver"], ["kube-apiserver", FLAG])), "unknown"),
        (Reply(pods(["some-shim"])), "unknown"),
        (Reply(pods()), "unknown"),
        (Reply({"kind": "Status", "code": 403}, 403), "unknown"),
        (Reply(b"<html>"), "unknown"),
        (Reply({"items": [{"spec": {"containers": [1]}}]}), "unknown"),
        (Reply({"items": 1}), "unknown"),
        (Reply(pods(["kube-apiserver"]) | {"kind": "NodeList"}), "unknown"),
        (Reply(b"[" * 100_000), "unknown"),
        (Reply(b'{"kind":"\xff"}'), "unknown"),
    ],
    ids=[
        *("without", "two", "with", "one of two", "other", "managed", "refused", "page", "odd", "odder"),
        *("another list", "deep", "no UTF-8"),
    ],
)
def test_encryption_at_rest_is_never_a_yes(reply: Reply, said: str, tmp_path: Path) -> None:
    with Api({PODS: reply}) as api:
        config = {
            "current-context": "a",
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "clusters": [{"name": "a", "cluster": {"server": api.url}}],
            "users": [{"name": "a", "user": {}}],
        }
        (tmp_path / "config").write_text(yaml.safe_dump(config))
        source = LiveSource("a", kubeconfig=str(tmp_path / "config"))
        try:
            assert secrets_at_rest(source) == said
        finally:
            source.close()
