"""Patches of one object become one; what they say differently is told."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kspec.fixes.jsonpatch import json_patch
from pytest_kspec.fixes.merge import merge
from pytest_kspec.rules.pods.podsecurity import NEWEST_MINOR
from pytest_kspec.rules.repair.repair import repair
from pytest_kspec.rules.repair.strategic import apply
from tests.effort import examples
from tests.rules.pod_security import CONTROLS, shape, violations
from tests.rules.pods import pods


def container(**fields: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "app", **fields}]}}


@pytest.mark.parametrize(
    ("patches", "merged", "conflicts"),
    [
        ([], {}, ()),
        ([{"a": {"b": 1}}, {"a": {"c": None}}], {"a": {"b": 1, "c": None}}, ()),
        ([{"a": 1}, {"a": 1}], {"a": 1}, ()),
        ([{"a": 1}, {"a": 2}], {"a": 1}, ("a",)),
        ([{"a": {"b": 1}}, {"a": {"b": 2}}], {"a": {"b": 1}}, ("a.b",)),
        ([{"hostPID": False}, {"hostPID": None}], {"hostPID": False}, ()),
        ([{"profile": None}, {"profile": {"type": "x"}}], {"profile": None}, ("profile",)),
        ([container(a=1), container(b=2)], container(a=1, b=2), ()),
        ([container(a=1), container(a=2)], container(a=1), ("spec.containers[app].a",)),
        ([{"drop": ["A"]}, {"drop": ["B", "A"]}], {"drop": ["A", "B"]}, ()),
        ([{"add": ["A", "B"]}, {"add": ["B", "C"]}], {"add": ["B"]}, ()),
        ([{"add": ["A"]}, {"add": ["B"]}], {"add": None}, ()),
    ],
)
def test_merge(
    patches: list[Any] | list[dict[str, Any]], merged: dict[str, Any], conflicts: tuple[Any, ...]
) -> None:
    before = copy.deepcopy(patches)
    assert merge(patches) == (merged, conflicts)
    assert patches == before


COMMON = settings(max_examples=examples(200))


def fixes_of(raw: dict[str, Any], level: str) -> Iterator[Any]:
    pod = shape(raw)
    for name, found in violations(pod, level, NEWEST_MINOR).items():
        rule = CONTROLS[name].rule_for(level, NEWEST_MINOR)
        assert rule is not None
        yield from ((name, v, patch) for v in found if (patch := repair(rule, v, pod)) is not None)


@COMMON
@given(pods(), st.sampled_from(["baseline", "restricted"]))
def test_all_fixes_of_a_pod_together(raw: dict[str, Any], level: str) -> None:
    fixes = list(fixes_of(raw, level))
    merged, conflicts = merge(patch for _, _, patch in fixes)
    assert conflicts == ()
    after = apply(raw, merged)
    left = {
        (name, v.path) for name, found in violations(shape(after), level, NEWEST_MINOR).items() for v in found
    }
    assert not left & {(name, v.path) for name, v, _ in fixes}


def operate(data: Any, operations: Any) -> Any:
    """RFC 6902, as far as it is used."""
    data = json.loads(json.dumps(data))  # what is drawn may be in two places
    for operation in operations:
        *way, last = [part.replace("~1", "/").replace("~0", "~") for part in operation["path"].split("/")[1:]]
        holder = data
        for part in way:
            holder = holder[int(part)] if isinstance(holder, list) else holder[part]
        if operation["op"] == "test":
            assert holder[last] == operation["value"]
        elif operation["op"] == "remove":
            del holder[last]
        else:
            assert (operation["op"] == "replace") == (last in holder)
            holder[last] = operation["value"]
    return data


@COMMON
@given(pods())
def test_a_json_patch_does_the_same(raw: dict[str, Any]) -> None:
    merged, _ = merge(patch for _, _, patch in fixes_of(raw, "restricted"))
    assert operate(raw, json_patch(raw, merged)) == apply(raw, merged)


def test_json_patches_escape_and_guard() -> None:
    raw = {
        "metadata": {"labels": {"a/b": "1"}},
        "spec": {"containers": [{"name": "a"}, {"name": "b", "x": 1}]},
    }
    patch = {
        "metadata": {"labels": {"a/b": None, "c~d": "2"}},
        "spec": {"containers": [{"name": "b", "x": 2}]},
    }
    assert json_patch(raw, patch) == [
        {"op": "remove", "path": "/metadata/labels/a~1b"},
        {"op": "add", "path": "/metadata/labels/c~0d", "value": "2"},
        {"op": "test", "path": "/spec/containers/1/name", "value": "b"},
        {"op": "replace", "path": "/spec/containers/1/x", "value": 2},
    ]
