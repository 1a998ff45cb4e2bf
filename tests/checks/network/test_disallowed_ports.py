"""network.disallowedPorts."""

from typing import Any

import pytest

from builtin_checks.network.test_disallowed_ports import test_disallowed_ports as check
from pytest_kspec.results.result import CheckResult
from pytest_kspec.testing import evaluate
from tests.checks.objects import obj, told, verdict

SPEC = {"network": {"disallowedPorts": [22, 3389]}}
MUST = "must be a port other than 22, 3389"


def run(*objects: Any) -> list[CheckResult]:
    return evaluate(check, objects=objects, spec=SPEC)


def pod(name: Any = "p", **lists: Any) -> dict[str, Any]:
    containers = {"containers": [{"name": "app", "image": "a"}], **lists}
    return obj("v1", "Pod", name, "shop", spec=containers)


def service(**spec: Any) -> dict[str, Any]:
    return obj("v1", "Service", "s", "shop", spec=spec)


def container(*ports: Any) -> dict[str, Any]:
    return {"name": "c", "image": "i", "ports": list(ports)}


def test_service_ports_are_findings() -> None:
    results = run(
        service(
            type="NodePort",
            ports=[
                {"name": "ssh", "port": 22, "targetPort": 22},
                {"port": 80, "targetPort": "web", "nodePort": 3389},
            ],
            healthCheckNodePort=22,
        )
    )
    assert told(results) == [
        ("Service shop/s", "spec.healthCheckNodePort", 22, f"spec.healthCheckNodePort is 22, {MUST}"),
        ("Service shop/s", "spec.ports[1].nodePort", 3389, f"spec.ports[1].nodePort is 3389, {MUST}"),
        ("Service shop/s", "spec.ports[ssh].port", 22, f"spec.ports[ssh].port is 22, {MUST}"),
        ("Service shop/s", "spec.ports[ssh].targetPort", 22, f"spec.ports[ssh].targetPort is 22, {MUST}"),
    ]


@pytest.mark.parametrize("field", ["containers", "initContainers", "ephemeralContainers"])
def test_ports_of_all_three_container_lists(field: str) -> None:
    results = run(
        pod(
            **{
                field: [
                    container({"name": "ssh", "containerPort": 22}, {"containerPort": 80, "hostPort": 3389})
                ]
            }
        )
    )
    assert [(where, path, actual) for where, path, actual, _ in told(results)] == [
        ("Pod shop/p", f"spec.{field}[c].ports[1].hostPort", 3389),
        ("Pod shop/p", f"spec.{field}[c].ports[ssh].containerPort", 22),
    ]


def test_templates_of_controllers() -> None:
    template = {
        "metadata": {"labels": {"a": "b"}},
        "spec": {"containers": [container({"containerPort": 22})]},
    }
    deployment = obj("apps/v1", "Deployment", "d", "shop", spec={"template": template})
    assert [(where, path) for where, path, _, _ in told(run(deployment))] == [
        ("Deployment shop/d", "spec.template.spec.containers[c].ports[0].containerPort")
    ]


def test_other_ports_pass() -> None:
    results = run(
        pod(containers=[container({"containerPort": 8022})]),
        service(ports=[{"port": 222, "targetPort": "ssh"}]),
    )
    assert (told(results), verdict(results)) == ([], "pass")


@pytest.mark.parametrize(
    "odd",
    [
        pod(containers=[{"name": "c", "ports": {"a": 1}}]),
        pod(containers=[container("22")]),
        pod(containers=[container({"containerPort": "22"})]),
        service(ports=[{"port": "22"}]),
        service(ports="22"),
    ],
)
def test_malformed_ports_are_an_error(odd: Any) -> None:
    assert verdict(run(odd)) == "error"
