"""A check that is its rule: `@check(rule=…)` on a function with only a docstring."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from pytest_kspec import FieldRule, PortRule, Requirement, ServiceTypes, check
from pytest_kspec.errors import CheckError
from pytest_kspec.testing import evaluate

HOST_NETWORK = FieldRule(field="hostNetwork", over="pod", allowed=(None, False), reason="host network")
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "shop"},
    "spec": {"hostNetwork": True, "containers": [{"name": "app", "ports": [{"containerPort": 22}]}]},
}
SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "ssh", "namespace": "shop"},
    "spec": {"type": "NodePort", "ports": [{"port": 22}]},
}


def of(rule: Any) -> Callable[..., None]:
    @check(id="acme.rule", title="T", severity="low", remediation="R.", rule=rule)
    def test_rule() -> None:
        """Why."""

    return test_rule


def ports(requirement: Requirement) -> PortRule:
    return PortRule(ports=(22,))


def told(rule: Any, **given: Any) -> list[tuple[str, str]]:
    (result,) = evaluate(of(rule), objects=[POD, SERVICE], **given)
    assert result.verdict.value == "fail", result.reason
    return [(finding.resource.name, finding.path) for finding in result.findings]


def test_it_evaluates_the_rule() -> None:
    assert told(HOST_NETWORK) == [("web", "spec.hostNetwork")]


def test_a_rule_of_services_asks_for_no_pods() -> None:
    assert told(ServiceTypes(allowed=("ClusterIP",)), denied=["pods"]) == [("ssh", "spec.type")]


def test_a_rule_of_pods_asks_for_no_services() -> None:
    assert told(HOST_NETWORK, denied=["services"]) == [("web", "spec.hostNetwork")]


def test_a_rule_of_both_made_of_the_requirement() -> None:
    assert told(ports) == [
        ("web", "spec.containers[app].ports[0].containerPort"),
        ("ssh", "spec.ports[0].port"),
    ]


def test_what_the_rule_needs_is_what_it_asks_for() -> None:
    asked = {
        name: list(inspect.signature(of(rule)).parameters)
        for name, rule in (("a", HOST_NETWORK), ("b", ports))
    }
    assert asked == {
        "a": ["requirement", "workloads", "findings"],
        "b": ["requirement", "workloads", "services", "findings"],
    }


def test_a_promise_that_is_broken_is_an_error_and_no_pass() -> None:
    def broken(requirement: Requirement) -> FieldRule:
        return PortRule(ports=(22,))  # type: ignore[return-value]

    (result,) = evaluate(of(broken), objects=[POD])
    assert (result.verdict.value, result.reason.partition(":")[2].strip()) == (
        "error",
        "PortRule is not the kind of rule that its function promises.",
    )


def test_a_body_of_its_own_runs() -> None:
    @check(id="acme.own", title="T", severity="low", remediation="R.", rule=HOST_NETWORK)
    def test_own(findings: Any) -> None:
        """Why."""
        findings.add(None, message="from the body")

    (result,) = evaluate(test_own, objects=[POD])
    assert [finding.message for finding in result.findings] == ["from the body"]


def unannotated(requirement):  # type: ignore[no-untyped-def]
    return HOST_NETWORK


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("privileged", "neither a rule nor a function"),
        (unannotated, "neither a rule nor a function whose return annotation is a class of rules"),
        (lambda requirement: HOST_NETWORK, "neither a rule nor a function"),
    ],
)
def test_what_cannot_be_a_body_is_refused_when_the_module_is_imported(rule: Any, said: str) -> None:
    with pytest.raises(CheckError, match=said):
        of(rule)


def test_parameters_without_a_body_are_refused() -> None:
    with pytest.raises(CheckError, match="its body is empty"):

        @check(id="acme.empty", title="T", severity="low", remediation="R.", rule=HOST_NETWORK)
        def test_empty(workloads: Any) -> None:
            """Why."""


def nothing() -> None:
    """Why."""


def returns(cluster: Any) -> None:
    """Why."""
    return None


@pytest.mark.parametrize("func", [nothing, returns], ids=lambda func: func.__name__)
def test_a_check_with_neither_a_rule_nor_a_body_evaluates_nothing_and_is_refused(func: Any) -> None:
    said = (
        r"test_rule_is_body\.py:\d+: check 'acme.empty': its body is empty "
        r"and it has no rule: it would evaluate noth"
    )
    with pytest.raises(CheckError, match=said):
        check(id="acme.empty", title="T", severity="low", remediation="R.")(func)


def assigns(pods: Any) -> None:
    """Why."""
    x = 1  # noqa: F841  # it is what is tested


def reads(pods: Any) -> None:
    """Why."""
    for pod in pods:
        if pod.name == "web":
            continue


def defines(findings: Any) -> None:
    """Why."""

    def inner() -> None:
        findings.add(None)


@pytest.mark.parametrize("func", [assigns, reads, defines], ids=lambda func: func.__name__)
@pytest.mark.parametrize("rule", [None, HOST_NETWORK])
def test_a_body_that_cannot_report_anything_is_refused(func: Any, rule: Any) -> None:
    said = r"test_rule_is_body\.py:\d+: check 'acme.idle': its body neither calls nor asserts anything"
    with pytest.raises(CheckError, match=said):
        check(id="acme.idle", title="T", severity="low", remediation="R.", rule=rule)(func)
