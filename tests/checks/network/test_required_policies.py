"""network.requiredPolicies."""

from typing import Any

from builtin_checks.network.test_required_policies import test_required_policies as check
from pytest_kspec.results.result import CheckResult
from pytest_kspec.results.verdict import Verdict
from pytest_kspec.testing import evaluate
from tests.checks.objects import namespace, policy, told

CLUSTER = [namespace("kube-system"), namespace("shop-a"), namespace("shop-b")]


def missing(name: str) -> tuple[str, str, Any, str]:
    return (f"Namespace {name}", "networkPolicies[allow-dns]", None, "NetworkPolicy allow-dns is missing")


def run(*policies: Any, **entry: Any) -> list[CheckResult]:
    spec = {"network": {"requiredPolicies": [{"name": "allow-dns", **entry}]}}
    return evaluate(check, objects=[*CLUSTER, *policies], spec=spec)


def test_one_namespace_does_not_satisfy_the_others() -> None:
    assert told(run(policy("allow-dns", "kube-system"))) == [missing("shop-a"), missing("shop-b")]


def test_every_namespace_has_it() -> None:
    assert told(run(*(policy("allow-dns", ns) for ns in ("kube-system", "shop-a", "shop-b")))) == []


def test_restricted_to_namespaces() -> None:
    assert told(run(policy("allow-dns", "shop-a"), namespaces=["shop-*"])) == [missing("shop-b")]


def test_a_namespace_that_does_not_exist() -> None:
    assert told(run(policy("allow-dns", "shop-a"), namespaces=["shop-a", "shop-z"])) == [
        (
            "cluster",
            "namespaces[shop-z]",
            None,
            "namespace shop-z, which must have NetworkPolicy allow-dns, does not exist",
        )
    ]


def test_a_pattern_that_matches_no_namespace_is_no_pass() -> None:
    (result,) = run(policy("allow-dns", "shop-a"), namespaces=["shp-*", "team-?"])
    assert (result.verdict, result.reason) == (Verdict.SKIP, "no namespace matches shp-*, team-?")


def test_one_requirement_for_each_entry() -> None:
    spec = {
        "network": {
            "requiredPolicies": [{"name": "dns"}, {"name": "dns", "namespaces": ["a"]}, {"name": "web"}]
        }
    }
    ids = {result.id for result in evaluate(check, objects=CLUSTER, spec=spec)}
    assert ids == {
        "network.requiredPolicies[dns]",
        "network.requiredPolicies[dns#2]",
        "network.requiredPolicies[web]",
    }
