"""Labels of a workload's object and of its pods, and what a selector selects."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kspec import Malformed
from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.kube.resources import Workload

CONTAINERS = {"containers": [{"name": "c", "image": "i"}]}


def workloads(*objects: dict[str, Any]) -> list[Workload]:
    return list(Inventory(MemorySource(list(objects))).workloads())


def deployment(template: Any, labels: Any = None) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "d", "namespace": "n", "labels": labels or {"of": "deployment"}},
        "spec": {"template": template},
    }


def pod(labels: Any, **annotations: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "n", "labels": labels, "annotations": annotations},
        "spec": CONTAINERS,
    }


def cronjob(labels: dict[str, str]) -> dict[str, Any]:
    template = {"metadata": {"labels": labels}, "spec": CONTAINERS}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "c", "namespace": "n", "labels": {"of": "cronjob"}},
        "spec": {"jobTemplate": {"metadata": {"labels": {"of": "job"}}, "spec": {"template": template}}},
    }


def test_a_controller_and_its_pods_have_labels_of_their_own() -> None:
    template = {"metadata": {"labels": {"of": "pod"}, "annotations": {"a": "b"}}, "spec": CONTAINERS}
    (found,) = workloads(deployment(template))
    assert (found.kind, found.api_version) == ("Deployment", "apps/v1")
    assert found.labels == {"of": "deployment"}
    assert found.pod_labels == {"of": "pod"}
    assert (found.annotations, found.pod_annotations) == ({}, {"a": "b"})
    assert found.matches({"matchLabels": {"of": "pod"}})
    assert not found.matches({"matchLabels": {"of": "deployment"}})


def test_a_job_between_has_no_say() -> None:
    (found,) = workloads(cronjob({"of": "pod"}))
    assert (found.labels, found.pod_labels) == ({"of": "cronjob"}, {"of": "pod"})


def test_a_pod_is_its_own() -> None:
    (found,) = workloads(pod({"app": "web"}, a="b"))
    assert found.labels == found.pod_labels == {"app": "web"}
    assert found.annotations == found.pod_annotations == {"a": "b"}


@pytest.mark.parametrize("template", [{"spec": CONTAINERS}, {"metadata": None, "spec": CONTAINERS}])
def test_a_template_without_labels_has_none(template: Any) -> None:
    (found,) = workloads(deployment(template))
    assert found.pod_labels == {}
    assert found.matches({})
    assert not found.matches({"matchLabels": {"of": "deployment"}})


@pytest.mark.parametrize("labels", [["app"], "app", {"app": 1}, {"app": None}, 0, ""])
def test_labels_that_are_none_are_an_error_and_not_unset(labels: Any) -> None:
    for made in (deployment({"metadata": {"labels": labels}, "spec": CONTAINERS}), pod(labels)):
        (found,) = workloads(made)
        with pytest.raises(Malformed, match="must be an object with string values"):
            found.matches({"matchLabels": {"app": "web"}})


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({}, True),
        (None, False),
        ({"matchLabels": {}}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "tier": "front"}}, True),
        ({"matchLabels": {"app": "web", "tier": "back"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "x"]}]}, True),
        ({"matchExpressions": [{"key": "none", "operator": "In", "values": [""]}]}, False),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "none", "operator": "NotIn", "values": ["web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "none", "operator": "Exists"}]}, False),
        ({"matchExpressions": [{"key": "none", "operator": "DoesNotExist"}]}, True),
        (
            {
                "matchLabels": {"app": "web"},
                "matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}],
            },
            False,
        ),
    ],
)
def test_a_selector_selects_as_in_kubernetes(selector: Any, expected: bool) -> None:
    (found,) = workloads(pod({"app": "web", "tier": "front"}))
    assert found.matches(selector) is expected


@pytest.mark.parametrize(
    "selector",
    [
        {"app": "web"},
        {"matchLabels": ["app"]},
        {"matchExpressions": [{"key": "app", "operator": "in", "values": ["web"]}]},
        {"matchExpressions": [{"key": "app", "operator": "In"}]},
        {"matchExpressions": [{"key": "app", "operator": "Exists", "values": ["x"]}]},
        [],
        "app=web",
        {1: object()},
    ],
)
def test_what_is_no_selector_is_an_error(selector: Any) -> None:
    (found,) = workloads(pod({"app": "web"}))
    with pytest.raises(Malformed, match="this is not a label selector"):
        found.matches(selector)


def test_other_resources_match_by_their_own_labels() -> None:
    source = MemorySource(
        [
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "s", "namespace": "n", "labels": {"a": "b"}},
            }
        ]
    )
    (service,) = Inventory(source).list("Service", "")
    assert service.matches({"matchLabels": {"a": "b"}})
    assert not service.matches(None)
