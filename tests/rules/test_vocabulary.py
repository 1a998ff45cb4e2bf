"""The rules of the vocabulary: what they refuse to be, and what the checks do not already show of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pytest_kspec.errors import Malformed
from pytest_kspec.kube.resources import PodShape
from pytest_kspec.rules.base import Rule, Violation
from pytest_kspec.rules.pods.fieldrule import FieldRule
from pytest_kspec.rules.pods.podrules import (
    AllOf,
    AnnotationRule,
    CustomRule,
    RequiredItem,
    Versioned,
    VolumeTypes,
)
from tests.rules.pod_security import CONTROLS

FIELD = {"field": "a.b", "over": "containers", "reason": "r"}
PRIVILEGED = FieldRule(
    field="securityContext.privileged",
    over="containers",
    allowed=(None, False),
    reason="privileged containers",
)


def pod(**spec: Any) -> PodShape:
    return PodShape(spec, {})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "either allowed or forbidden"),
        ({"allowed": (1,), "forbidden": (2,)}, "either allowed or forbidden"),
        ({"allowed": (1, "a")}, "values of different types"),
        ({"allowed": (True, 1)}, "values of different types"),
        ({"allowed": (1,), "over": "pod", "inherits": True}, "only containers inherit"),
        ({"allowed": ("x",), "set_by": "c"}, "c is not an ancestor"),
        ({"allowed": ("x",), "field": "a[]", "inherits": True}, "neither set_by nor inherits"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FieldRule(**(FIELD | given))


def test_rules_are_data() -> None:
    same = FieldRule(
        field="securityContext.privileged",
        over="containers",
        allowed=(None, False),
        reason="privileged containers",
    )
    assert same == PRIVILEGED
    assert hash(same) == hash(PRIVILEGED)
    assert PRIVILEGED.value_type is bool


@pytest.mark.parametrize(
    "rule",
    [
        PRIVILEGED,
        RequiredItem(field="a", item="b", over="pod", reason="r"),
        AnnotationRule(key="seccomp.security.alpha.kubernetes.io/pod", allowed=("b",), reason="r"),
        VolumeTypes(allowed=("emptyDir",), reason="r"),
        AllOf("r", (PRIVILEGED,)),
        CustomRule(python=lambda pod: [], reason="r"),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_all_are_rules(rule: Any) -> None:
    assert isinstance(rule, Rule)
    assert rule.reason
    assert list(rule.evaluate(pod(a=["b"], containers=[]))) == []


@pytest.mark.parametrize("key", ["a", "example.com/note", "*"])
def test_a_rule_about_annotations_that_no_shape_keeps_is_refused(key: str) -> None:
    """It would find nothing, whatever is there."""
    with pytest.raises(ValueError, match="seccomp and AppArmor only"):
        AnnotationRule(key=key, allowed=("b",), reason="r")


def test_a_custom_rule_is_its_function() -> None:
    found = [Violation("spec.x", 1, "2")]

    assert CustomRule(python=lambda pod: found, reason="r").evaluate(pod()) is found


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"containers": {}}, "spec.containers is a map, which Kubernetes does not allow there"),
        (
            {"initContainers": ["x"]},
            r"spec.initContainers\[0\] is text, which Kubernetes does not allow there",
        ),
        ({"containers": [None]}, r"spec.containers\[0\] is null, which Kubernetes does not allow there"),
    ],
)
def test_malformed_containers_never_pass(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(Malformed, match=message):
        PRIVILEGED.evaluate(pod(**spec))


@pytest.mark.parametrize(
    ("volumes", "message"),
    [
        ({}, "spec.volumes is a map; Kubernetes allows only a list there."),
        ([None], r"spec.volumes\[0\] is null; Kubernetes allows only a map there."),
        ([{"name": "a", "nfs": "b"}], r"spec.volumes\[a\].nfs is text; Kubernetes allows only a map there."),
    ],
)
def test_malformed_volumes_never_pass(volumes: Any, message: str) -> None:
    with pytest.raises(Malformed, match=message):
        VolumeTypes(allowed=("emptyDir",), reason="r").evaluate(pod(volumes=volumes))


def test_revisions() -> None:
    versioned = Versioned({8: PRIVILEGED, 25: (later := AllOf("r", ()))})

    assert [versioned.at(minor) for minor in (7, 8, 24, 25, 99)] == [
        None,
        PRIVILEGED,
        PRIVILEGED,
        later,
        later,
    ]
    assert versioned.since == 8


@pytest.mark.parametrize("revisions", [{}, {8: PRIVILEGED, 0: PRIVILEGED}])
def test_revisions_must_ascend(revisions: dict[Any, Any]) -> None:
    with pytest.raises(ValueError, match="must ascend"):
        Versioned(revisions)


def test_what_is_replaced_is_replaced_by_a_control_of_level_restricted() -> None:
    for control in CONTROLS.values():
        if control.replaced_by:
            assert control.level == "baseline"
            assert CONTROLS[control.replaced_by].level == "restricted"
            assert CONTROLS[control.replaced_by].revisions.since == 0


def parts(rule: Any) -> list[Any]:
    return [part for inner in rule.rules for part in parts(inner)] if isinstance(rule, AllOf) else [rule]


FIELD_RULES = sorted(
    {
        part
        for control in CONTROLS.values()
        for rule in control.revisions.revisions.values()
        for part in parts(rule)
        if isinstance(part, FieldRule | RequiredItem)
    },
    key=lambda rule: (rule.field, rule.over, rule.reason, rule.expected),
)
OF_TYPE = {bool: True, int: 1, str: "x", dict: {"x": 1}, list: ["x"], float: 1.5}
EMPTY = {bool: False, int: 0, str: "", dict: {}, list: [], float: 0.0}


def holding(over: Any, path: Any, value: Any) -> Iterator[Any]:
    """Pods in which the field at `path` has this value: one for each place that the rule looks at."""
    data = value
    for key in reversed(path):
        data = {key.removesuffix("[]"): [data] if key.endswith("[]") else data}
    if "pod" in over:
        yield pod(**data)
    if "containers" in over:
        for name in ("initContainers", "containers", "ephemeralContainers"):
            yield pod(**{name: [{"name": "other"}, data]})
    if over == "volumes":
        yield pod(volumes=[{"name": "other"}, data])


@pytest.mark.parametrize("rule", FIELD_RULES, ids=lambda rule: f"{rule.over}-{rule.field}")
def test_a_wrong_type_at_any_depth_of_a_field_is_malformed(rule: Any) -> None:
    keys = rule.field.split(".") if isinstance(rule, FieldRule) else f"{rule.field}[]".split(".")
    final = rule.value_type if isinstance(rule, FieldRule) else str
    for depth in range(1, len(keys) + 1):
        path = keys[:depth]
        allowed = {final} if depth == len(keys) else {dict}
        for values in (OF_TYPE, EMPTY):
            for kind, value in values.items():
                for wrong in holding(rule.over, path, value) if kind not in allowed else ():
                    with pytest.raises(Malformed):
                        rule.evaluate(wrong)
