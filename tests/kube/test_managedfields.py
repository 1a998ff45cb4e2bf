"""Who holds which field, and what is held beside what is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kspec.kube.managedfields import Entry, beyond, entries, holds

FIELDS = {
    "f:metadata": {"f:labels": {"f:a": {}}},
    "f:spec": {
        "f:mode": {},
        "f:extra": {"f:deep": {}},
        "f:items": {'k:{"name":"x"}': {".": {}, "f:name": {}, "f:value": {}}, 'k:{"name":"y"}': {".": {}}},
        "f:set": {'v:"Deny"': {}, 'v:"Warn"': {}},
        "f:gone": {},
    },
    "f:status": {"f:phase": {}},
}
ENTRY = Entry("someone", "Update", "2026-01-01T00:00:00Z", FIELDS)


def test_what_is_held_beside_what_is_wanted() -> None:
    wanted = {"spec": {"mode": "a", "items": [{"name": "x"}], "set": ["Deny"]}}
    there = {
        "spec": {
            "mode": "a",
            "extra": {"deep": 1},
            "items": [{"name": "x", "value": 2}, {"name": "y"}],
            "set": ["Deny", "Warn"],
        },
        "status": {"phase": "Ready"},
    }
    assert dict(beyond(ENTRY, wanted, there)) == {
        "spec.extra": {"deep": 1},
        "spec.items[*].value": 2,
        "spec.items[*]": {"name": "y"},
        "spec.set[*]": "Warn",
    }


@pytest.mark.parametrize(
    ("path", "held"),
    [
        ("spec.mode", True),
        ("spec.extra", True),
        ("spec.extra.deep.deeper", True),
        ("spec.items[x].value", True),
        ("spec.items[z]", False),
        ("spec.set[1]", True),
        ("metadata.labels.a", True),
        ("metadata.labels.ab", False),
        ("spec.mod", False),
    ],
)
def test_which_field_an_entry_holds(path: str, held: bool) -> None:
    assert holds(ENTRY, path) is held


@pytest.mark.parametrize(
    ("path", "held"),
    [
        ("spec.ports[web].port", True),  # by name
        ("spec.ports[8080].port", True),  # by number
        ("spec.ports[0].port", True),  # by position
        ("spec.ports[web].nodePort", False),
        ("spec.ports[dns].port", False),
        ("spec.ports[1]", False),
        ("spec.ports", True),
    ],
)
def test_an_item_of_a_list_has_several_names(path: str, held: bool) -> None:
    port: dict[str, Any] = {'k:{"port":8080,"protocol":"TCP"}': {".": {}, "f:port": {}, "f:targetPort": {}}}
    entry = ENTRY._replace(fields={"f:spec": {"f:ports": port}})
    web = {"name": "web", "port": 8080, "protocol": "TCP", "targetPort": 80, "nodePort": 30000}
    there = {"spec": {"ports": [web, {"name": "dns", "port": 53, "protocol": "UDP"}]}}
    assert holds(entry, path, there) is held


@pytest.mark.parametrize(
    "found", [None, "text", [None, 1, {"subresource": "status", "manager": "m"}], [{}], [{"fieldsV1": []}]]
)
def test_what_is_malformed_is_left_out(found: Any) -> None:
    made = entries({"metadata": {"managedFields": found}})
    assert all(one == Entry("", "", "", {}) for one in made)
    odd: tuple[dict[str, Any], ...] = (
        {"k:{": {}},
        {"x": {}},
        {"f:spec": 1},
        {"f:spec": {"i:9": {}, "i:x": {}, "v:{": {}}},
    )
    for fields in odd:
        assert list(beyond(ENTRY._replace(fields=fields), {}, {"spec": [1]})) in ([], [("spec", [1])])


def test_a_tree_without_end_ends() -> None:
    tree: dict[str, Any] = {}
    value: dict[str, Any] = {}
    for _ in range(5000):
        tree, value = {"f:a": tree}, {"a": value}
    assert list(beyond(ENTRY._replace(fields=tree), value, value)) == []
    assert holds(ENTRY._replace(fields=tree), "b") is False
