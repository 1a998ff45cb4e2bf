from __future__ import annotations

from typing import Any

import pytest

from pytest_kspec.errors import SpecError
from pytest_kspec.spec.loading import spec_from_part
from pytest_kspec.spec.operations import NamespaceScope
from pytest_kspec.spec.scope import in_scope


def scope(**keys: Any) -> NamespaceScope:
    return NamespaceScope.model_validate(keys)


SELECTOR_CASES = [
    ({}, {}, True),
    ({}, {"a": "b"}, True),
    ({"matchLabels": {"env": "prod"}}, {"env": "prod", "x": ""}, True),
    ({"matchLabels": {"env": "prod"}}, {"env": "dev"}, False),
    ({"matchLabels": {"env": "prod", "tier": "gold"}}, {"env": "prod"}, False),
    ({"matchLabels": {"env": ""}}, {}, False),
    ({"matchLabels": {"kubernetes.io/metadata.name": "shop"}}, {}, True),
    ({"matchLabels": {"kubernetes.io/metadata.name": "other"}}, {}, False),
    ({"matchExpressions": [{"key": "env", "operator": "In", "values": ["a", "b"]}]}, {"env": "b"}, True),
    ({"matchExpressions": [{"key": "env", "operator": "In", "values": ["a", "b"]}]}, {}, False),
    ({"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["a"]}]}, {"env": "a"}, False),
    ({"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["a"]}]}, {"env": "b"}, True),
    ({"matchExpressions": [{"key": "env", "operator": "NotIn", "values": ["a"]}]}, {}, True),
    ({"matchExpressions": [{"key": "env", "operator": "Exists"}]}, {"env": ""}, True),
    ({"matchExpressions": [{"key": "env", "operator": "Exists"}]}, {}, False),
    ({"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}, {}, True),
    ({"matchExpressions": [{"key": "env", "operator": "DoesNotExist"}]}, {"env": "a"}, False),
    (
        {
            "matchLabels": {"env": "prod"},
            "matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["test"]}],
        },
        {"env": "prod", "tier": "test"},
        False,
    ),
]


@pytest.mark.parametrize(("selector", "labels", "expected"), SELECTOR_CASES)
def test_selector(selector: dict[str, Any], labels: dict[str, str], expected: bool) -> None:
    assert in_scope(scope(namespaceSelector=selector), "shop", labels) is expected


@pytest.mark.parametrize(
    ("given", "namespace", "expected"),
    [
        ({}, "shop", True),
        ({"includeNamespaces": ["shop"]}, "shop", True),
        ({"includeNamespaces": ["shop"]}, "shop-2", False),
        ({"includeNamespaces": ["shop-*", "web"]}, "shop-2", True),
        ({"includeNamespaces": ["sho?"]}, "shop", True),
        ({"excludeNamespaces": ["kube-*"]}, "kube-system", False),
        ({"excludeNamespaces": ["kube-*"]}, "shop", True),
        ({"includeNamespaces": ["team-*"], "excludeNamespaces": ["team-x"]}, "team-x", False),
        ({"includeNamespaces": ["team-*"], "excludeNamespaces": ["team-x"]}, "team-y", True),
        ({"includeNamespaces": ["a"], "namespaceSelector": {"matchLabels": {"b": "c"}}}, "a", False),
    ],
)
def test_names(given: dict[str, Any], namespace: str, expected: bool) -> None:
    assert in_scope(scope(**given), namespace, {}) is expected


def test_objects_of_the_cluster_are_in_every_scope() -> None:
    assert in_scope(scope(includeNamespaces=["a"]), "", {})
    assert in_scope(None, "anything", {})


@pytest.mark.parametrize(
    "keys",
    [
        "excludeNamespaces: ['*']",
        "includeNamespaces: [a, b], excludeNamespaces: [b, a]",
        "includeNamespaces: [kube-system], excludeNamespaces: [kube-*]",
    ],
)
def test_a_scope_without_any_namespace_is_an_error(keys: str) -> None:
    with pytest.raises(SpecError, match=r"s\.yaml:1:1: namespaceScope: .*no namespace in scope"):
        spec_from_part(f"namespaceScope: {{{keys}}}", path="s.yaml")
