"""The RBAC decision; the same cases and generated ones are put to a real API server in tests/live."""

from typing import Any

import pytest

from pytest_kspec.errors import Malformed
from pytest_kspec.kube.resources import Resource
from pytest_kspec.rules.rbac.authorizer import (
    AccessRequest,
    Grants,
    PolicyRule,
    Subject,
    allows,
    is_subject,
    parse_rule,
    selects,
)
from tests.checks.objects import binding, role, rule


def grants(*objects: Any) -> Grants:
    kinds: dict[str, list[Any]] = {"ClusterRole": [], "Role": [], "ClusterRoleBinding": [], "RoleBinding": []}
    for raw in objects:
        kinds[raw["kind"]].append(Resource(raw["apiVersion"], raw["kind"], raw))
    return Grants(
        cluster_roles=kinds["ClusterRole"],
        roles=kinds["Role"],
        cluster_role_bindings=kinds["ClusterRoleBinding"],
        role_bindings=kinds["RoleBinding"],
    )


@pytest.mark.parametrize(
    ("raw", "request_", "allowed"),
    [
        (rule("get", "", "pods"), AccessRequest("get", "", "pods"), True),
        (rule("get", "", "pods"), AccessRequest("list", "", "pods"), False),
        (rule("get", "", "pods"), AccessRequest("get", "apps", "pods"), False),
        (rule("get", "", "pods"), AccessRequest("get", "", "pods", "log"), False),
        (rule("get", "", "pods/log"), AccessRequest("get", "", "pods", "log"), True),
        (rule("get", "", "pods/log"), AccessRequest("get", "", "pods"), False),
        (rule("get", "", "*/log"), AccessRequest("get", "", "pods", "log"), True),
        (rule("get", "", "*/log"), AccessRequest("get", "", "pods", "log2"), False),
        (rule("get", "", "*/log"), AccessRequest("get", "", "pods"), False),
        (rule("get", "", "pods/*"), AccessRequest("get", "", "pods", "log"), False),
        (rule("get", "", "*"), AccessRequest("get", "", "pods", "log"), True),
        (rule("get", "", "pods", names="a,b"), AccessRequest("get", "", "pods", name="b"), True),
        (rule("get", "", "pods", names="a,b"), AccessRequest("get", "", "pods", name="c"), False),
        (rule("create", "", "pods", names="a"), AccessRequest("create", "", "pods"), False),
        (rule("*", "*", "*"), AccessRequest("get", path="/metrics"), False),
        (rule("get", urls="/metrics"), AccessRequest("get", path="/metrics"), True),
        (rule("get", urls="/metrics"), AccessRequest("get", path="/metrics/x"), False),
        (rule("get", urls="/metrics*"), AccessRequest("get", path="/metrics/x"), True),
        (rule("get", urls="*"), AccessRequest("get", path="/x"), True),
        (rule("get", urls="/a/*"), AccessRequest("get", path="/a"), False),
        (rule("get", urls="*"), AccessRequest("get", "", "pods"), False),
    ],
)
def test_allows(raw: dict[str, Any], request_: Any, allowed: bool) -> None:
    assert allows(parse_rule(raw), request_) is allowed


@pytest.mark.parametrize(
    ("subject", "user", "groups", "meant"),
    [
        (Subject("User", "jane"), "jane", (), True),
        (Subject("User", "jane"), "joe", ("jane",), False),
        (Subject("Group", "devs"), "jane", ("devs",), True),
        (Subject("Group", "devs"), "devs", (), False),
        (Subject("ServiceAccount", "a", "ns"), "system:serviceaccount:ns:a", (), True),
        (Subject("ServiceAccount", "a", "ns"), "system:serviceaccount:other:a", (), False),
        (Subject("ServiceAccount", "a"), "system:serviceaccount::a", (), False),
        (Subject("User", "system:serviceaccount:ns:a"), "system:serviceaccount:ns:a", (), True),
    ],
)
def test_subjects(subject: Any, user: str, groups: tuple[Any, ...], meant: bool) -> None:
    assert is_subject(subject, user, groups) is meant


def test_scopes() -> None:
    known = grants(
        role("reader", rule("get", "", "pods"), rule("get", urls="/metrics")),
        role("local", rule("get", "", "secrets"), ns="shop"),
        binding("a", "ClusterRole/reader", "User/jane", ns="shop"),
        binding("b", "Role/local", "User/jane", ns="shop"),
        binding("c", "ClusterRole/reader", "Group/all"),
    )

    def decide(user: Any, groups: Any, request: AccessRequest) -> Any:
        decision = known.decide(user, groups, request)
        return decision and (decision[0].resource.name, decision[1].role_name, decision[1].position)

    pods = AccessRequest("get", "", "pods", namespace="shop")
    assert decide("jane", (), pods) == ("a", "reader", 0)
    assert decide("jane", (), pods._replace(namespace="other")) is None
    assert decide("jane", (), pods._replace(namespace="")) is None
    assert decide("jane", ("all",), pods._replace(namespace="")) == ("c", "reader", 0)
    assert decide("jane", (), pods._replace(resource="secrets")) == ("b", "local", 0)
    assert decide("jane", (), AccessRequest("get", path="/metrics")) is None
    assert decide("joe", ("all",), AccessRequest("get", path="/metrics")) == ("c", "reader", 1)


@pytest.mark.parametrize(
    ("selector", "selected"),
    [
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchLabels": {"b": "1"}}, False),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["1", "2"]}]}, True),
        ({"matchExpressions": [{"key": "b", "operator": "In", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["1"]}]}, False),
        ({"matchExpressions": [{"key": "b", "operator": "NotIn", "values": ["1"]}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, False),
        ({"matchLabels": {"a": "1"}, "matchExpressions": [{"key": "b", "operator": "Exists"}]}, False),
    ],
)
def test_selectors(selector: dict[str, Any], selected: bool) -> None:
    assert selects(selector, {"a": "1"}) is selected


@pytest.mark.parametrize(
    "selector", ["a", {"matchLabels": []}, {"matchExpressions": ["a"]}, {"matchExpressions": [{"key": "a"}]}]
)
def test_malformed_selectors(selector: dict[str, Any] | str) -> None:
    with pytest.raises(Malformed):
        selects(selector, {"a": "1"})


def test_own_rules_of_an_aggregated_role_keep_their_places() -> None:
    known = grants(
        role(
            "all",
            rule("get", "", "pods"),
            aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"x": "y"}}]},
        ),
        role("part", rule("get", "", "pods"), rule("list", "", "pods"), labels={"x": "y"}),
        binding("b", "ClusterRole/all", "User/jane"),
    )
    found = [(g.role_name, g.position, g.rule) for g in known.rules(known.bindings[0]) or ()]
    assert found == [
        ("all", 0, PolicyRule(("get",), ("",), ("pods",))),
        ("part", 1, PolicyRule(("list",), ("",), ("pods",))),
    ]
