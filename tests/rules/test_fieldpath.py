"""Fields by path: unset at every depth, and impossible types by name."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kspec.errors import Malformed
from pytest_kspec.rules.fieldpath import FieldPath


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, None),
        ({"a": None}, None),
        ({"a": {}}, None),
        ({"a": {"b": None}}, None),
        ({"a": {"b": False}}, False),
        ({"a": {"b": True}}, True),
    ],
)
def test_get(data: dict[str, Any], expected: bool | None) -> None:
    assert FieldPath("a.b").get(data, "spec", bool) is expected


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ([], "spec is a list; Kubernetes allows only a map there."),
        ({"a": "secret"}, "spec.a is text; Kubernetes allows only a map there."),
        ({"a": {"b": 1}}, "spec.a.b is an integer; Kubernetes allows only a boolean there."),
        ({"a": {"b": 1.5}}, "spec.a.b is a number; Kubernetes allows only a boolean there."),
        ({"a": {"b": {}}}, "spec.a.b is a map; Kubernetes allows only a boolean there."),
    ],
)
def test_impossible_types_name_path_and_type_but_not_the_value(
    data: dict[str, Any] | list[Any], message: str
) -> None:
    with pytest.raises(Malformed) as caught:
        FieldPath("a.b").get(data, "spec", bool)

    assert str(caught.value) == message


def test_booleans_are_no_integers() -> None:
    with pytest.raises(Malformed):
        FieldPath("a").get({"a": False}, "spec", int)


def test_items() -> None:
    ports = [{"name": "web", "hostPort": 80}, {"hostPort": 81}, {}, None, {"name": 3}]

    assert list(FieldPath("ports[].hostPort").items({"ports": ports}, "c", int)) == [
        ("c.ports[web].hostPort", 80),
        ("c.ports[1].hostPort", 81),
        ("c.ports[2].hostPort", None),
        ("c.ports[3].hostPort", None),
        ("c.ports[4].hostPort", None),
    ]
    assert list(FieldPath("add[]").items({"add": ["A", "B"]}, "c", str)) == [
        ("c.add[0]", "A"),
        ("c.add[1]", "B"),
    ]
    assert list(FieldPath("add[]").items({"add": None}, "c", str)) == []


@pytest.mark.parametrize(
    ("text", "data", "path"),
    [
        ("ports[].hostPort", {"ports": {}}, "c.ports is a map"),
        ("ports[].hostPort", {"ports": ["80"]}, r"c.ports\[0\] is text"),
        (
            "ports[].hostPort",
            {"ports": [{"name": "web", "hostPort": "80"}]},
            r"c.ports\[web\].hostPort is text",
        ),
        ("add[]", {"add": [1]}, r"c.add\[0\] is an integer"),
    ],
)
def test_impossible_items(text: str, data: dict[str, Any], path: str) -> None:
    with pytest.raises(Malformed, match=path):
        list(FieldPath(text).items(data, "c", str if text == "add[]" else int))


@pytest.mark.parametrize("text", ["", "a..b", ".a", "a.", "a[]b", "a[].b[]", "[]"])
def test_bad_paths_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a field path"):
        FieldPath(text)
