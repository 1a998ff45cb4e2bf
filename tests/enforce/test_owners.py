"""Owners of objects as admission sees them."""

from typing import Any

import pytest

from pytest_kspec.enforce.owners import admitted_owner
from pytest_kspec.kube.reference import ResourceRef

POD = ResourceRef("v1", "Pod", "shop", "web-6d4cf56db6-x2x7k")


def ref(kind: str, name: str, api_version: str = "apps/v1") -> ResourceRef:
    return ResourceRef(api_version, kind, "shop", name)


@pytest.mark.parametrize(
    ("controller", "labels", "owner"),
    [
        (None, {}, POD),
        (ResourceRef("v1", "Node", "", "node-1"), {}, POD),
        (ref("StatefulSet", "db"), {}, ref("StatefulSet", "db")),
        (ref("ReplicaSet", "web-6d4cf56db6"), {"pod-template-hash": "6d4cf56db6"}, ref("Deployment", "web")),
        (ref("ReplicaSet", "web-6d4cf56db6"), {}, ref("ReplicaSet", "web-6d4cf56db6")),
        (ref("ReplicaSet", "web"), {"pod-template-hash": "abc"}, ref("ReplicaSet", "web")),
        (ref("ReplicaSet", "web-"), {"pod-template-hash": ""}, ref("ReplicaSet", "web-")),
        (ref("Job", "backup-29012345", "batch/v1"), {}, ref("CronJob", "backup", "batch/v1")),
        (ref("Job", "backup-1", "batch/v1"), {}, ref("Job", "backup-1", "batch/v1")),
        (ref("Rollout", "web", "argoproj.io/v1"), {}, ref("Rollout", "web", "argoproj.io/v1")),
    ],
)
def test_owner(controller: Any, labels: dict[str, Any], owner: Any) -> None:
    assert admitted_owner(POD, labels, controller) == owner
