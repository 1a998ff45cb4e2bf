"""Strategic merge patches: what is made of two objects makes one of the other; lists as the API merges them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import assume, given, settings

from pytest_kspec.rules.repair.strategic import MERGE_KEYS, Unsayable, apply, diff
from tests.controlplane.server import ControlPlane
from tests.effort import examples
from tests.rules.pods import pods

COMMON = settings(max_examples=examples(150))


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {}, {"a": None}),
        ({"a": None}, {}, {}),
        ({}, {"a": {"b": 1}}, {"a": {"b": 1}}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1}}, {"a": {"c": None}}),
        ({"drop": ["A"]}, {"drop": ["A", "B"]}, {"drop": ["A", "B"]}),
        (
            {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "y"}]},
            {"containers": [{"name": "a", "image": "x"}, {"name": "b", "image": "z"}]},
            {"containers": [{"name": "b", "image": "z"}]},
        ),
        (
            {"volumes": [{"name": "a"}, {"name": "b"}]},
            {"volumes": [{"name": "b"}, {"name": "c", "emptyDir": {}}]},
            {"volumes": [{"name": "c", "emptyDir": {}}, {"name": "a", "$patch": "delete"}]},
        ),
        (
            {"ports": [{"containerPort": 80, "hostPort": 80, "name": "web"}]},
            {"ports": [{"containerPort": 80, "name": "web"}]},
            {"ports": [{"containerPort": 80, "hostPort": None}]},
        ),
    ],
)
def test_the_smallest_patch(before: dict[str, Any], after: dict[str, Any], patch: dict[str, Any]) -> None:
    kept = copy.deepcopy((before, after))
    assert diff(before, after) == patch
    assert bare(apply(before, patch)) == after
    assert (before, after) == kept


def test_items_that_cannot_be_told_apart() -> None:
    dns = [{"containerPort": 53, "protocol": "UDP"}, {"containerPort": 53, "protocol": "TCP"}]
    with pytest.raises(Unsayable):
        diff({"ports": dns}, {"ports": dns[:1]})
    with pytest.raises(Unsayable):
        apply({"ports": dns}, {"ports": [{"containerPort": 53, "hostPort": None}]})
    with pytest.raises(Unsayable):
        apply({"ports": []}, {"ports": [{"hostPort": None}]})


def bare(value: Any) -> Any:
    """Without nulls and what is empty for them: for a patch, unset and null are one."""
    if isinstance(value, dict):
        return {key: bare(item) for key, item in value.items() if item is not None}
    return [bare(item) for item in value] if isinstance(value, list) else value


@COMMON
@given(pods(), pods())
def test_any_pod_becomes_any_other(one: Any, other: Any) -> None:
    one, other = bare(one["spec"]), bare(other["spec"])
    try:
        patch = diff(one, other)
    except Unsayable:
        assume(False)
    made = apply(one, patch)
    for name in MERGE_KEYS:
        for spec in (made, other):
            if name in spec:
                spec[name] = sorted(spec[name], key=repr)
    assert made == other


def test_the_merge_keys_are_those_of_the_api_server(control_plane: ControlPlane) -> None:
    schemas = control_plane.request("GET", "/openapi/v2").body["definitions"]
    found = {}
    for kind in ("PodSpec", "Container", "EphemeralContainer"):
        for field, schema in schemas[f"io.k8s.api.core.v1.{kind}"]["properties"].items():
            if "merge" in schema.get("x-kubernetes-patch-strategy", ""):
                found[field] = schema["x-kubernetes-patch-merge-key"]
    assert found == MERGE_KEYS
