"""An inventory that is told what changed knows what one that lists anew knows."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.cluster.sources.source import Pages
from pytest_kspec.errors import AccessDenied, Malformed
from pytest_kspec.kube.resources import ResourceType
from tests.cluster.objects import controlled, deployment, obj, pod, replica_set

Key = tuple[str, str]


def _web(replicas: int) -> list[dict[str, Any]]:
    """A Deployment with its ReplicaSet and pods."""
    pods = [
        pod(f"web-{number}", owner=controlled("ReplicaSet", "web-1", "uid-ReplicaSet-web-1"))
        for number in range(replicas)
    ]
    maker = controlled("Deployment", "web", "uid-Deployment-web")
    return [deployment("web"), replica_set("web-1", maker), *pods]


OBJECTS = [
    *_web(2),
    pod("alone"),
    pod("alone", status={"phase": "Succeeded"}),
    pod("alone", spec={"containers": [{"name": "app", "image": "b"}], "hostNetwork": True}),
    obj("Service", "front"),
    obj("Namespace", "shop", ""),
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "a"}}},
    obj("ServiceAccount", "default", automountServiceAccountToken=False),
]


def _key(item: Mapping[str, Any]) -> Key:
    return item["kind"], item["metadata"]["name"]


def _known(inventory: Inventory) -> Any:
    return (
        [(str(w.ref), str(w.owner), dict(w.shape.spec), w.raw) for w in inventory.workloads()],
        [(str(w.ref), str(w.owner)) for w in inventory.pods()],
        [item.raw for item in inventory.list("Service")],
        dict(inventory.namespace_labels),
        dict(inventory.mounting),
    )


@given(st.lists(st.tuples(st.sampled_from(OBJECTS), st.booleans(), st.booleans()), max_size=12))
def test_what_is_told_is_what_a_new_list_says(changes: list[tuple[dict[str, Any], bool, bool]]) -> None:
    state = {_key(item): item for item in _web(1)}
    inventory = Inventory(MemorySource(state.values()))
    _known(inventory)
    for item, gone, look in changes:
        inventory.changed(item, gone=gone)
        state.pop(_key(item), None)
        if not gone:
            state[_key(item)] = item
        if look:
            assert _known(inventory) == _known(Inventory(MemorySource(state.values())))
    assert _known(inventory) == _known(Inventory(MemorySource(state.values())))


def test_a_list_that_somebody_kept_stays_as_it_was() -> None:
    inventory = Inventory(MemorySource([pod("a"), pod("b")]))
    kept = inventory.pods()
    inventory.changed(pod("a"), gone=True)
    assert [item.name for item in kept] == ["a", "b"]
    assert [item.name for item in inventory.pods()] == ["b"]


class Versioned(MemorySource):
    """Its lists have the resourceVersion 7; `denied` may be lifted."""

    def pages(self, resource_type: ResourceType) -> Pages:  # type: ignore[override]  # a list that knows more
        return Pages(super().pages(resource_type), "7")


def test_a_list_knows_its_resource_version_and_so_does_a_change() -> None:
    inventory = Inventory(Versioned([pod("a")]))
    assert inventory.resource_version("Pod") == ""
    inventory.pods()
    assert inventory.resource_version("Pod") == "7"
    later = pod("b")
    later["metadata"]["resourceVersion"] = "9"
    inventory.changed(later)
    assert inventory.resource_version("Pod") == "9"
    inventory.relist("Pod")
    assert inventory.resource_version("Pod") == ""
    assert [item.name for item in inventory.pods()] == ["a"]
    assert inventory.resource_version("Pod") == "7"
    assert inventory.resource_version("Unknown") == ""


def test_a_change_mends_no_list_that_could_not_be_read() -> None:
    """One object is not the list: what could not be looked at stays so until it is looked at."""
    source = MemorySource([pod("a")], denied=["pods"])
    inventory = Inventory(source)
    for _ in range(2):
        with pytest.raises(AccessDenied):
            inventory.pods()
        inventory.changed(pod("b"))
    source._denied = frozenset()
    inventory.renew()
    assert [item.name for item in inventory.pods()] == ["a"]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"kind": "Pod", "apiVersion": "v1"}, "has no kind, apiVersion or name"),
        ({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "../x"}}, "has no kind, apiVersion or name"),
        ({"kind": 1, "apiVersion": "v1", "metadata": {"name": "x"}}, "has no kind, apiVersion or name"),
        (obj("Strange", "x"), "a change is of Strange v1, which is not served"),
    ],
)  # fmt: skip
def test_a_change_that_is_none_changes_nothing(change: dict[str, Any], what: str) -> None:
    inventory = Inventory(MemorySource([pod("a")]))
    before = inventory.pods()
    with pytest.raises(Malformed, match=what):
        inventory.changed(change)
    assert inventory.pods() is before
