"""An exemption of everything is refused, however it is spelled."""

from __future__ import annotations

import itertools
import string
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.errors import SpecError
from pytest_kspec.kube.globs import Globs
from pytest_kspec.results.exemptions import Exemption
from pytest_kspec.spec.everything import matches_all
from pytest_kspec.spec.loading import spec_from_part

LETTERS = string.ascii_lowercase + string.digits
EACH = [f"{letter}*" for letter in LETTERS]
EACH_END = [f"*{letter}" for letter in LETTERS]
IDS = [f"{letter}*" for letter in string.ascii_letters]


@pytest.mark.parametrize(
    ("what", "patterns", "expected"),
    [
        ("namespaces", ["*"], True),
        ("namespaces", ["**"], True),
        ("namespaces", ["?*"], True),
        ("namespaces", ["*?"], True),
        ("namespaces", ["*?*?*"], True),
        ("namespaces", ["???*"], True),
        ("namespaces", ["shop", "?*"], True),
        ("namespaces", EACH, True),
        ("namespaces", EACH_END, True),
        ("namespaces", EACH[1:], False),
        ("namespaces", EACH_END[:-1], False),
        ("namespaces", [*EACH[1:], "a", "a-*", *(f"a{letter}*" for letter in LETTERS)], True),
        ("namespaces", [*EACH[1:], "a-*", "a"], False),
        ("namespaces", ["*-*"], False),
        ("namespaces", ["*a*", "*e*"], False),
        ("namespaces", ["?", "??", "???"], False),
        ("namespaces", [], False),
        ("objects", ["?*"], True),
        ("objects", EACH, False),
        ("containers", EACH, True),
        ("checks", ["?*"], True),
        ("checks", ["*.*"], True),
        ("checks", ["?*.?*"], True),
        ("checks", ["*.?*", "rbac.*"], True),
        ("checks", IDS, True),
        ("checks", IDS[1:], False),
        ("checks", ["[a-z]*"], False),
        ("checks", ["podSecurity.*", "network.*", "rbac.*", "workloads.*"], False),
    ],
)
def test_what_matches_every_name(what: str, patterns: list[str], expected: bool) -> None:
    assert matches_all(patterns, what) is expected


@given(st.lists(st.text("ab*?", min_size=1, max_size=4), min_size=1, max_size=4))
def test_a_name_that_is_left_out_is_found(patterns: list[str]) -> None:
    """Against names of up to five letters, of which `c` stands for all that no pattern has."""
    names = ["".join(name) for size in (1, 2, 3, 4, 5) for name in itertools.product("abc", repeat=size)]
    globs = Globs(patterns)
    left_out = [name for name in names if not globs.match(name)]
    wild = any("*" in pattern and not pattern.strip("*?") for pattern in patterns)
    assert matches_all(patterns, "namespaces") is (wild or not left_out)


def test_patterns_that_would_take_long_count_as_everything() -> None:
    many = [f"*{a}*{b}*" for a in LETTERS for b in LETTERS]
    assert matches_all([*many, *LETTERS], "namespaces")


SPELLINGS: list[dict[str, Any]] = [
    {"checks": ["?*"]},
    {"checks": ["*.*"]},
    {"checks": IDS},
    {"namespaces": ["?*"]},
    {"namespaces": ["*?*"]},
    {"namespaces": EACH},
    {"containers": ["?*"]},
    {"checks": ["*"], "namespaces": ["?*"], "containers": ["**"]},
    {"clusters": ["prod"], "checks": ["?*"]},
    {"resources": [{"name": "*"}]},
    {"resources": [{"name": "?*"}]},
    {"resources": [{"namespace": "?*"}]},
    {"resources": [{"name": "**", "namespace": "*"}]},
    {"resources": [{"kind": "Pod"}, {"name": "?*"}]},
    {"resources": [{"namespace": pattern} for pattern in EACH]},
    {"resources": [{"name": "?*", "labelSelector": {}}]},
    {"checks": ["*"], "namespaces": ["*"], "resources": [{"name": "?*"}]},
]


@pytest.mark.parametrize("keys", SPELLINGS)
def test_an_exemption_of_everything_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="its patterns match every name, so this would exempt everything"):
        Exemption.model_validate({"name": "e", "reason": "r", **keys})


@pytest.mark.parametrize(
    "keys", [{}, {"clusters": ["prod"]}, {"checks": [], "namespaces": [], "resources": []}]
)
def test_an_exemption_of_nothing_named_is_refused(keys: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="this would exempt everything: name checks"):
        Exemption.model_validate({"name": "e", "reason": "r", **keys})


@pytest.mark.parametrize(
    "keys",
    [
        *(keys | {"checks": ["rbac.*"]} for keys in SPELLINGS),
        {"resources": [{"kind": "Pod", "name": "*"}]},
        {"resources": [{"name": "*", "labelSelector": {"app": "web"}}]},
        {"resources": [{"name": "a*"}, {"namespace": "?*", "kind": "Pod"}]},
    ],
)
def test_one_dimension_that_limits_is_enough(keys: dict[str, Any]) -> None:
    assert Exemption.model_validate({"name": "e", "reason": "r", **keys})


@pytest.mark.parametrize(
    ("entries", "refused"),
    [
        ("{namespace: '?*', level: privileged}", True),
        ("{namespace: '*-*', level: privileged}, {namespace: '*', level: privileged}", True),
        ("{namespace: 'kube-*', level: privileged}", False),
        ("{namespace: 'prod-*', level: restricted}, {namespace: '*', level: privileged}", False),
        ("{namespace: '*', level: baseline}", False),
    ],
)
def test_a_level_that_is_asked_of_no_namespace(entries: str, refused: bool) -> None:
    text = f"podSecurity: {{enforce: restricted, exemptions: [{entries}]}}"
    if not refused:
        assert spec_from_part(text)
        return
    with pytest.raises(SpecError, match="their patterns match every name"):
        spec_from_part(text)


@pytest.mark.parametrize("pattern", ["?*", "*?", "**"])
def test_a_scope_of_no_namespace(pattern: str) -> None:
    with pytest.raises(SpecError, match="leaves no namespace in scope"):
        spec_from_part(f"namespaceScope: {{excludeNamespaces: ['{pattern}']}}")
