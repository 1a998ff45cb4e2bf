"""min, max, pattern, allowed, anyOf and orUnset: what meets them, what is said, what is offered as a fix."""

from typing import Any

import pytest

from pytest_kspec.errors import Malformed
from pytest_kspec.kube.resources import PodShape
from pytest_kspec.rules.pods.fieldtest import Condition
from pytest_kspec.rules.pods.requiredfield import ForbiddenField, RequiredField
from pytest_kspec.rules.repair.repair import repair

R, F = RequiredField, ForbiddenField
MEMORY, ADD = "resources.limits.memory", "securityContext.capabilities.add"
GRACE, GROUPS = "terminationGracePeriodSeconds", "securityContext.supplementalGroups"


def pod(container: Any = None, **spec: Any) -> PodShape:
    return PodShape({"containers": [{"name": "app", "image": "x", **(container or {})}], **spec}, {})


def memory(amount: Any) -> Any:
    return pod({"resources": {"limits": {"memory": amount}}})


def added(*names: Any) -> Any:
    return pod({"securityContext": {"capabilities": {"add": list(names)}}})


def found(rule: Any, shape: Any) -> list[Any]:
    return [(v.actual, v.expected) for v in rule.evaluate(shape)]


@pytest.mark.parametrize(
    ("rule", "good", "bad", "expected"),
    [
        (R(MEMORY, max="1Gi"), ["1Gi", "1024Mi", "1073741824", "0", "1m", 5, "1e9"], ["1025Mi", "1E", "2e9"],
         "at most 1Gi"),
        (R(MEMORY, min="100m"), ["0.1", "1e-1", "100000u"], ["99m", "-1", "0"], "at least 100m"),
        (R(MEMORY, min=1, max="1k"), ["1", "1e3"], ["999m", "1001"], "from 1 to 1k"),
        # Kubernetes ends binary amounts at 2^63 - 1, and rounds what is finer than a nano up.
        (R(MEMORY, max="9223372036854775807"), ["9Ei", "10Ei"], ["1e30", "9223372036854775808"],
         "at most 9223372036854775807"),
        (R(MEMORY, min="1n"), ["0.1n", "1e-12"], ["0", "-1n"], "at least 1n"),
        (F(MEMORY, min="1Gi"), ["1023Mi"], ["1Gi", "9Ei"], "unset or below 1Gi"),
        (F(MEMORY, max="1Gi"), ["1025Mi"], ["1Gi"], "unset or above 1Gi"),
        (F(MEMORY, min="1Gi", max="2Gi"), ["1023Mi", "3Gi"], ["1Gi", "2Gi"], "not from 1Gi to 2Gi"),
        (R(MEMORY, any_of=(Condition(max="1Gi"), Condition(value=["4Gi", "8Gi"]))), ["1", "8192Mi"], ["2Gi"],
         "at most 1Gi or one of 4Gi, 8Gi"),
        (F(MEMORY, any_of=(Condition(max="1"), Condition(min="1Gi"))), ["2"], ["1", "1Gi"],
         "unset or above 1 and unset or below 1Gi"),
        (R(MEMORY, max="1Gi", or_unset=True), ["1Gi"], ["2Gi"], "unset or at most 1Gi"),
    ],
)  # fmt: skip
def test_amounts(rule: Any, good: list[Any] | list[str], bad: list[str], expected: str) -> None:
    for amount in good:
        assert found(rule, memory(amount)) == [], amount
    for amount in bad:
        assert found(rule, memory(amount)) == [(amount, expected)], amount


@pytest.mark.parametrize(
    ("rule", "unset_is_found"),
    [
        (R(MEMORY, max="1Gi"), True),
        (R(MEMORY, max="1Gi", or_unset=True), False),
        (R(MEMORY, value="1Gi", or_unset=True), False),
        (R(MEMORY, any_of=(Condition(exists=False), Condition(max="1Gi"))), False),
        (R(MEMORY, any_of=(Condition(exists=True),)), True),
        (F(MEMORY, max="1Gi"), False),
        (F(MEMORY, any_of=(Condition(exists=False), Condition(max="1Gi"))), True),
        (R("priorityClassName", pattern=".*"), True),
        (R("priorityClassName", pattern=".*", or_unset=True), False),
        # Nothing is in a list that is not there.
        (R(ADD, allowed=["CHOWN"]), False),
        (R(GROUPS, max=5), False),
        (R("command", pattern="a"), False),
        (R("ports.containerPort", min=1024), False),
        # What an unset field means counts for values, not for `exists`.
        (R("hostUsers", True), False),
        (R("hostUsers", any_of=(Condition(exists=True), Condition(value=False))), True),
    ],
)
def test_unset(rule: Any, unset_is_found: bool) -> None:
    assert bool(found(rule, pod())) is unset_is_found


@pytest.mark.parametrize("amount", ["lots", "1GB", "", True, [], {"a": 1}, "1Gi 2"])
def test_what_is_no_amount_is_an_error(amount: Any) -> None:
    for rule in (R(MEMORY, max="1Gi"), F(MEMORY, min="1Gi"), R(MEMORY, max="1Gi", or_unset=True)):
        with pytest.raises(Malformed):
            rule.evaluate(memory(amount))


@pytest.mark.parametrize(
    ("rule", "field", "good", "bad", "expected"),
    [
        (R(GRACE, max="5m"), GRACE, [0, 300], [301], "at most 5m"),
        (R(GRACE, value="1h30m"), GRACE, [5400], [90], "1h30m"),
        (
            R(GRACE, any_of=(Condition(value=0), Condition(min="30s"))),
            GRACE,
            [0, 30],
            [29],
            "0 or at least 30s",
        ),
        (R("priority", min=-5), "priority", [-5, 2**31], [-6], "at least -5"),
        (R("schedulerName", pattern="a|b"), "schedulerName", ["a", "b"], ["ab", "xa", "a\n"], "matching a|b"),
        (
            F("schedulerName", pattern="a.*"),
            "schedulerName",
            ["ba", "A", "a\nb"],
            ["a", "ab"],
            "not matching a.*",
        ),
        (
            F("schedulerName", pattern="(?s).*b.*"),
            "schedulerName",
            ["a"],
            ["a\nb\n", "b"],
            "not matching (?s).*b.*",
        ),
    ],
)
def test_fields_of_the_pod(
    rule: Any, field: str, good: list[int] | list[str], bad: list[int] | list[str], expected: str
) -> None:
    for value in good:
        assert found(rule, pod(**{field: value})) == [], value
    for value in bad:
        assert found(rule, pod(**{field: value})) == [(value, expected)], value


@pytest.mark.parametrize(
    ("rule", "good", "bad", "expected"),
    [
        (R(ADD, allowed=["NET_BIND_SERVICE", "CHOWN"]), [(), ("CHOWN",), ("CAP_CHOWN", "net_bind_service")],
         [("CHOWN", "SYS_ADMIN"), ("ALL",)], "a list with only NET_BIND_SERVICE, CHOWN"),
        (R(ADD, allowed=["ALL"]), [("ALL",)], [("CHOWN",)], "a list with only ALL"),
        (R(ADD, pattern="NET_.*"), [("NET_RAW",)], [("NET_RAW", "CHOWN")], "a list with only values matching NET_.*"),
        (F(ADD, pattern="SYS_.*"), [("NET_RAW",), ()], [("NET_RAW", "SYS_TIME")],
         "a list without values matching SYS_.*"),
        (R(ADD, any_of=(Condition(allowed=["CHOWN"]), Condition(value="MKNOD"))), [("CHOWN",), ("MKNOD", "KILL")],
         [("KILL",)], "a list with only CHOWN or a list with MKNOD"),
    ],
)  # fmt: skip
def test_lists(rule: Any, good: list[tuple[Any, ...]], bad: list[tuple[Any, ...]], expected: str) -> None:
    for names in good:
        assert found(rule, added(*names)) == [], names
    for names in bad:
        assert found(rule, added(*names)) == [([*names], expected)], names


def test_lists_of_numbers() -> None:
    shape = pod(securityContext={"supplementalGroups": [5, 1000]})
    assert found(R(GROUPS, max=1000), shape) == []
    assert found(R(GROUPS, allowed=[5, "1000"]), shape) == []
    assert found(R(GROUPS, max=999), shape) == [([5, 1000], "a list with only values at most 999")]
    assert found(F(GROUPS, min=1000), shape) == [([5, 1000], "a list without values at least 1000")]


def test_each_item_of_a_list_is_judged() -> None:
    shape = pod({"ports": [{"containerPort": 80}, {"containerPort": 8080, "name": "web"}]})
    assert [(v.path, v.expected) for v in R("ports.containerPort", min=1024).evaluate(shape)] == [
        ("spec.containers[app].ports[0].containerPort", "at least 1024")
    ]
    either = (Condition(value=80), Condition(min=8000))
    assert found(R("ports.containerPort", any_of=either), shape) == []


def test_a_container_takes_over_what_is_judged_from_its_pod() -> None:
    inside = pod(securityContext={"runAsUser": 5})
    assert found(R("securityContext.runAsUser", min=1000, or_unset=True), inside) == [
        (5, "unset or at least 1000 (taken from spec.securityContext.runAsUser)")
    ]
    requests = memory("2Gi")
    assert found(R("resources.requests.memory", max="1Gi"), requests) == [
        ("2Gi", "at most 1Gi (taken from spec.containers[app].resources.limits.memory)")
    ]


def test_values_of_fields_that_may_be_secret_are_not_shown() -> None:
    shape = pod({"env": [{"name": "A", "value": "hunter2"}]})
    assert found(R("env.value", pattern="x"), shape) == [("(not shown)", "matching x")]


@pytest.mark.parametrize(
    ("rule", "shape", "patch"),
    [
        (R(GRACE, max="1m"), pod(terminationGracePeriodSeconds=90), {"spec": {"terminationGracePeriodSeconds": 60}}),
        (R(GRACE, min=30), pod(terminationGracePeriodSeconds=5), {"spec": {"terminationGracePeriodSeconds": 30}}),
        (R(ADD, allowed=["CHOWN"]), added("CHOWN", "KILL"),
         {"spec": {"containers": [{"name": "app", "securityContext": {"capabilities": {"add": ["CHOWN"]}}}]}}),
        (R("priorityClassName", pattern="a", or_unset=True), pod(priorityClassName="b"),
         {"spec": {"priorityClassName": None}}),
        # A person must decide.
        (R(MEMORY, max="1Gi"), memory("2Gi"), None),
        (R("schedulerName", pattern="a.*"), pod(schedulerName="b"), None),
    ],
)  # fmt: skip
def test_fixes(rule: Any, shape: Any, patch: dict[str, Any] | None) -> None:
    (violation,) = rule.evaluate(shape)
    assert repair(rule, violation, shape) == patch


@pytest.mark.parametrize(
    "said",
    [
        {"value": 1, "max": 2},
        {"pattern": "a"},
        {"min": 3, "max": 2},
        {"max": "1Gi"},
        {"any_of": (Condition(max="x"),)},
        {"value": 1, "any_of": (Condition(max=2),)},
    ],
)
def test_contradictions_are_refused(said: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"priority|contradict|above"):
        R("priority", **said)
    with pytest.raises(ValueError, match="can only be used in required"):
        F("command", allowed=["a"])
    with pytest.raises(ValueError, match="can only be used in required"):
        F("priority", max=1, or_unset=True)
