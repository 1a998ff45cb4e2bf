"""network.allowedServiceTypes."""

from typing import Any

import pytest

from builtin_checks.network.test_service_types import test_service_types as check
from pytest_kspec.testing import evaluate
from tests.checks.objects import obj, told, verdict

SPEC = {"network": {"allowedServiceTypes": ["ClusterIP", "ExternalName"]}}


def service(name: str, **spec: Any) -> dict[str, Any]:
    return obj("v1", "Service", name, "shop", spec=spec)


def test_other_types_are_findings() -> None:
    objects = [
        service("a", type="ClusterIP"),
        service("b"),
        service("c", clusterIP="None"),
        service("d", type="ExternalName", externalName="example.org"),
        service("e", type="NodePort"),
        service("f", type="LoadBalancer"),
    ]
    assert told(evaluate(check, objects=objects, spec=SPEC)) == [
        (
            "Service shop/e",
            "spec.type",
            "NodePort",
            "spec.type is NodePort, must be ClusterIP or ExternalName",
        ),
        (
            "Service shop/f",
            "spec.type",
            "LoadBalancer",
            "spec.type is LoadBalancer, must be ClusterIP or ExternalName",
        ),
    ]


def test_unset_type_is_cluster_ip() -> None:
    results = evaluate(
        check, objects=[service("a")], spec={"network": {"allowedServiceTypes": ["LoadBalancer"]}}
    )
    assert told(results) == [
        ("Service shop/a", "spec.type", None, "spec.type is unset, must be LoadBalancer")
    ]


def test_malformed_type_is_an_error() -> None:
    assert verdict(evaluate(check, objects=[service("a", type=3)], spec=SPEC)) == "error"


@pytest.mark.parametrize("spec", ["", [], 0, False, "text"])
def test_a_spec_that_is_no_map_was_not_looked_at(spec: Any) -> None:
    objects = [service("bad", type="NodePort"), obj("v1", "Service", "odd", "shop", spec=spec)]
    result = evaluate(check, objects=objects, spec=SPEC)
    assert verdict(result) == "error"
    assert [name for name, *_ in told(result)] == ["Service shop/bad"]  # the others are still examined
