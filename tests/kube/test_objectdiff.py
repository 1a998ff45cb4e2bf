"""Field paths of what changed in an object."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.kube.objectdiff import ABSENT, changes


def containers(*items: Any) -> dict[str, Any]:
    return {"spec": {"containers": list(items)}}


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": 1}, {"a": 2}, [("a", 1, 2)]),
        ({"a": 1}, {"a": True}, [("a", 1, True)]),
        ({"a": {"b": None}}, {"a": {}}, [("a.b", None, ABSENT)]),
        (
            containers({"name": "app", "image": "a"}),
            containers({"name": "new"}, {"name": "app", "image": "b"}),
            [("spec.containers[app].image", "a", "b"), ("spec.containers[new]", ABSENT, {"name": "new"})],
        ),
        (
            containers({"name": "a"}, {"name": "b"}),
            containers({"name": "b"}, {"name": "a"}),
            [("spec.containers", ["a", "b"], ["b", "a"])],
        ),
        ({"args": ["a", "b"]}, {"args": ["a", "c", "d"]}, [("args[1]", "b", "c"), ("args[2]", ABSENT, "d")]),
        (
            {"x": [{"name": "a"}]},
            {"x": [{"name": 7}]},
            [("x[7]", ABSENT, {"name": 7}), ("x[a]", {"name": "a"}, ABSENT)],
        ),
        (
            {"metadata": {"labels": {"a.b/c": "1"}}},
            {"metadata": {"labels": {"a.b/c": "2"}}},
            [("metadata.labels[a.b/c]", "1", "2")],
        ),
        (
            {"status": {"x": 1}, "metadata": {"resourceVersion": "1", "generation": 1, "uid": "u"}},
            {"metadata": {"resourceVersion": "2", "generation": 2, "uid": "v"}},
            [("metadata.uid", "u", "v")],
        ),
        ({"statusText": 1}, {}, [("statusText", 1, ABSENT)]),
    ],
)
def test_paths(before: dict[str, Any], after: dict[str, Any], expected: list[tuple[Any, ...]]) -> None:
    assert [tuple(change) for change in changes(before, after)] == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from(["a", "b"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "b", "c"]), inner, max_size=3)
    ),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from(["spec", "data", "a.b"]), JSON, max_size=3)


@given(OBJECTS, OBJECTS)
def test_there_are_changes_exactly_where_objects_differ(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    differ = json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True)
    assert bool(changes(before, after)) == differ
    assert {c.path for c in changes(before, after)} == {c.path for c in changes(after, before)}
