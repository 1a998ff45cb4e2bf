"""What a look makes of odd answers: this cluster's alone, and never a number that nobody said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.fleet.targets.find import Wanted, find_targets
from pytest_kspec.fleet.targets.look import look_at, look_at_all
from tests.cluster.api import Api, Reply, kubeconfig, status

NODES = "/api/v1/nodes"
DEEP = b'{"kind":"NodeList","metadata":{},"items":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
GROUPS = {"kind": "APIGroupList", "groups": []}


def metadata_list(**more: Any) -> dict[str, Any]:
    node = {"metadata": {"name": "a", "labels": {"eks.amazonaws.com/nodegroup": "x"}}}
    return {"kind": "PartialObjectMetadataList", "metadata": {}, "items": [node], **more}


@pytest.mark.parametrize(
    ("nodes", "groups", "seen"),
    [
        (metadata_list(metadata={"remainingItemCount": 4}), GROUPS, (5, "eks")),
        (metadata_list(items=None), GROUPS, (0, "vanilla")),
        ({}, GROUPS, (None, "unknown")),
        (metadata_list(kind="PodList"), GROUPS, (None, "unknown")),
        (metadata_list(items={}), GROUPS, (None, "unknown")),
        (metadata_list(items=[5]), GROUPS, (None, "unknown")),
        (metadata_list(metadata={"remainingItemCount": -7}), GROUPS, (None, "unknown")),
        (metadata_list(metadata={"remainingItemCount": 1e300}), GROUPS, (None, "unknown")),
        (metadata_list(metadata={"remainingItemCount": "4"}), GROUPS, (None, "unknown")),
        ({"kind": "Status", "metadata": {}, "items": []}, GROUPS, (None, "unknown")),
        (DEEP, GROUPS, (None, "unknown")),
        (b'{"kind":"\xff"}', GROUPS, (None, "unknown")),
        (b"", b"", (None, "unknown")),
        (metadata_list(), b"[" * 100_000, (1, "eks")),
        (metadata_list(), b'{"kind":"\xff"}', (1, "eks")),
        (metadata_list(), {"kind": "APIGroupList", "groups": [5]}, (1, "eks")),
        (metadata_list(), {"kind": "Status", "groups": [{"name": "config.openshift.io"}]}, (1, "eks")),
        (metadata_list(), {**GROUPS, "groups": [{"name": "config.openshift.io"}]}, (1, "openshift")),
        (status(500), status(403), (None, "unknown")),
    ],
    ids=range(19),
)
def test_an_odd_answer_is_no_number_and_takes_no_other_cluster_with_it(
    tmp_path: Path, nodes: Any, groups: Any, seen: tuple[int | None, str]
) -> None:
    def reply(body: Any) -> Reply:
        return body if isinstance(body, Reply) else Reply(body)

    version = Reply({"gitVersion": "v1.30.1"})
    with Api({NODES: reply(nodes), "/apis": reply(groups), "/version": version}) as api:
        (target,) = find_targets(Wanted(kubeconfig=kubeconfig(tmp_path, api.url, name="odd")))
        look = look_at(target)
        assert (look.reachable, look.nodes, look.platform) == (True, *seen)
        assert [one.reachable for one in look_at_all([target, target])] == [True, True]


def test_a_fault_of_ours_is_of_its_cluster(tmp_path: Path) -> None:
    with Api({NODES: Reply(metadata_list()), "/apis": Reply(GROUPS)}) as api:
        (good,) = find_targets(Wanted(kubeconfig=kubeconfig(tmp_path, api.url, name="good")))

        def broken(_limits: object) -> Any:
            raise RuntimeError("password=hunter2-hunter2")

        looks = look_at_all([replace(good, name="bad", opener=broken), good])
        assert [one.reachable for one in looks] == [False, True]
        assert str(looks[0].problem) == "bad: an internal error of kspec: RuntimeError: password=(redacted)"
