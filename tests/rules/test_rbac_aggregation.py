"""Aggregated ClusterRoles: what comes together is exact, and costs what is selected, not the product of all roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.rules.rbac import aggregation
from pytest_kspec.rules.rbac.aggregation import Selection, TooMuch, together
from pytest_kspec.rules.rbac.authorizer import TOO_MUCH, selects
from tests.rules.test_rbac import binding, grants, role, rule

NAMES = st.sampled_from("abcdefgh")
EXPRESSION = st.fixed_dictionaries(
    {"key": st.sampled_from("xy"), "operator": st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist"))},
    optional={"values": st.lists(st.sampled_from("12"), max_size=2)},
)
SELECTOR = st.fixed_dictionaries(
    {},
    optional={
        "matchLabels": st.dictionaries(st.sampled_from("xy"), st.sampled_from("12"), max_size=2),
        "matchExpressions": st.lists(EXPRESSION, max_size=2),
    },
)
LABELS = st.dictionaries(st.sampled_from("xy"), st.sampled_from("12"), max_size=2)


def reached(selected: Mapping[str, frozenset[str]], start: str) -> set[str]:
    found: set[str] = set()
    waiting = list(selected[start])
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(selected.get(name, ()))
    return found


@given(st.dictionaries(NAMES, st.frozensets(NAMES), max_size=8))
def test_what_comes_together(selected: dict[str, frozenset[str]]) -> None:
    found = together(selected)
    assert {name: set(found[name] or ()) for name in selected} == {
        name: reached(selected, name) for name in selected
    }


@given(st.dictionaries(NAMES, LABELS, max_size=8), SELECTOR)
def test_the_index_finds_what_the_selector_selects(labels: dict[str, dict[str, str]], selector: Any) -> None:
    found = Selection(labels, selects).names(selector)
    assert found == {name for name, have in labels.items() if selects(selector, have)}


@pytest.mark.parametrize("own_selector", [False, True], ids=["one selector", "a selector each"])
def test_roles_that_select_each_other_cost_what_they_are(
    own_selector: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    number, calls = 600, 0

    def counted(selector: Any, labels: Mapping[str, str]) -> bool:
        nonlocal calls
        calls += 1
        return selects(selector, labels)

    monkeypatch.setattr("pytest_kspec.rules.rbac.authorizer.selects", counted)
    roles = [
        role(
            f"r{i}",
            rule("get", "", f"kind{i}"),
            labels={"all": "yes", "own": f"{i}"},
            aggregationRule={"clusterRoleSelectors": [
                {"matchLabels": {"own": f"{(i + 1) % number}"} if own_selector else {"all": "yes"}}
            ]},
        )
        for i in range(number)
    ]  # fmt: skip
    known = grants(*roles, *(binding(f"b{i}", f"ClusterRole/r{i}", "User/jane") for i in (0, 7)))
    for bound, own in zip(known.bindings, (0, 7), strict=True):
        rules = known.rules(bound)
        assert rules is not None
        assert rules[0].role_name == f"r{own}"
        assert {granted.role_name for granted in rules} == {f"r{i}" for i in range(number)}
        assert len(rules) == number
    assert calls <= number
    assert known.problems == []


def test_what_is_too_much_is_unknown_and_not_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aggregation, "MAX_TOGETHER", 20)
    chain = {f"n{i:03d}": frozenset({f"n{i + 1:03d}"}) for i in range(30)}
    found = together(chain)
    assert found["n029"] == {"n030"}
    assert found["n000"] is None

    monkeypatch.setattr(aggregation, "MAX_COMPARED", 3)
    labels = {name: {"x": name} for name in "abcde"}
    with pytest.raises(TooMuch):
        Selection(labels, selects).names({})
    everything: dict[str, Any] = {"clusterRoleSelectors": [{}]}
    known = grants(
        *(role(name, labels={"x": name}) for name in "abcde"),
        role("all", aggregationRule=everything),
        binding("b", "ClusterRole/all", "User/jane"),
    )
    assert [(resource.name, what) for resource, what in known.problems] == [("all", TOO_MUCH)]
    assert known.unreadable(known.bindings[0])
