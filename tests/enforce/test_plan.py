"""Every requirement is enforced by a rule or listed with a reason, and holds where a scan asks for it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from pytest_kspec.checks.authoring import ATTRIBUTE, check
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.errors import CheckError, SourceError
from pytest_kspec.plan.checkset import CheckSet, Entry, load_checks
from pytest_kspec.plan.plan import make_plan
from pytest_kspec.reference.asked import everything
from pytest_kspec.rules.base import Rule, ServiceRule
from pytest_kspec.spec.loading import spec_from_part

CHECKSET = load_checks()
NOW = datetime(2026, 6, 1, tzinfo=UTC)


def plan(part: Any, **options: Any) -> Any:
    return enforcement_plan(spec_from_part(part), CHECKSET, now=NOW, **options)


@pytest.mark.parametrize("spec", everything(), ids=["restricted", "baseline"])
def test_every_requirement_is_enforced_or_has_its_reason(spec: Any) -> None:
    loaded = spec_from_part(spec.model_dump(by_alias=True, exclude_unset=True))
    made = enforcement_plan(loaded, CHECKSET, now=NOW)
    asked = {planned.requirement.id for planned in make_plan(loaded, CHECKSET).planned}
    enforced = {item.requirement.id for item in made.rules}
    left = {item.requirement_id for item in made.not_enforceable}
    assert enforced | left == asked
    assert not enforced & left
    assert all("only a scan" not in item.reason for item in made.not_enforceable)
    areas = {"admission", "kubernetes", "network", "observability", "podSecurity", "rbac"}
    assert {id.partition(".")[0] for id in left} == areas
    assert {"network.disallowedPorts", "workloads.images.requireDigests"} <= enforced


def test_rules_are_of_the_kind_that_their_target_needs() -> None:
    made = plan({"network": {"disallowedPorts": [22], "allowedServiceTypes": ["ClusterIP"]}})
    assert [(item.requirement.id, item.target) for item in made.rules] == [
        ("network.allowedServiceTypes", "services"),
        ("network.disallowedPorts", "pods"),
        ("network.disallowedPorts", "services"),
    ]
    for item in made.rules:
        assert isinstance(item.rule, Rule if item.target == "pods" else ServiceRule)


def test_requirements_that_a_service_account_decides_in_a_scan_are_named() -> None:
    token, privileged = "automountServiceAccountToken", "securityContext.privileged"
    entries = [{"key": token, "value": False}, {"key": privileged, "value": False}]
    made = plan({"workloads": {"containers": {"required": entries}}})
    assert made.by_pod_alone == (f"workloads.containers.required[{token}]",)


EXEMPT = {
    "podSecurity": {
        "enforce": "restricted",
        "exemptions": [
            {"namespace": "kube-system", "level": "privileged"},
            {"namespace": "infra-*", "level": "baseline"},
            {"namespace": "old", "level": "privileged", "expiresAt": "2026-05-31"},
            {"namespace": "late", "level": "privileged", "expiresAt": "2026-09-30"},
        ],
    }
}


def test_levels_follow_the_exemptions_of_namespaces() -> None:
    made = plan(EXEMPT)
    where = {"default", "kube-system", "infra-a", "old", "late"}
    held = {
        item.requirement.id: {name for name in where if made.holds(item, name)}
        for item in made.rules
        if "hostPath" in item.requirement.id or "volumeTypes" in item.requirement.id
    }
    assert held == {
        "podSecurity.standard[hostPathVolumes]": {"infra-a"},
        "podSecurity.standard[volumeTypes]": {"default", "old"},
    }
    assert made.level_of("late") == "privileged"
    assert made.boundary == datetime(2026, 9, 30, 23, 59, 59, 999999, UTC)


def test_equal_rules_of_several_levels_are_one() -> None:
    made = plan(EXEMPT)
    privileged = [i for i in made.rules if i.requirement.id == "podSecurity.standard[privileged]"]
    assert [item.levels for item in privileged] == [("baseline", "restricted")]


@pytest.mark.parametrize(("version", "minor"), [("", 37), ("v1.33.2", 33), ("v1.99.0", 37)])
def test_the_clusters_version_chooses_the_standards(version: str, minor: int) -> None:
    made = plan({"podSecurity": {"enforce": "baseline"}}, version=version)
    assert made.minor == minor
    probes = "podSecurity.standard[hostProbesAndHostLifecycle]"
    enforced = probes in {item.requirement.id for item in made.rules}
    left = {item.requirement_id: item.reason for item in made.not_enforceable}
    assert enforced == (minor >= 34)
    assert (
        enforced or left[probes] == "version v1.33 of the Pod Security Standards does not have this control"
    )


def test_a_version_of_its_own_wins() -> None:
    made = plan({"podSecurity": {"enforce": "baseline", "version": "v1.30"}}, version="v1.36.0")
    assert made.minor == 30


def test_a_version_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(SourceError):
        plan({"podSecurity": {"enforce": "baseline"}}, version="unknown")


def test_no_pod_security_has_no_levels() -> None:
    made = plan({"network": {"disallowedPorts": [22]}})
    assert (made.level_of("x"), made.boundary) == ("", None)
    assert all(made.holds(item, "x") for item in made.rules)


def test_signatures_are_listed() -> None:
    made = plan({"workloads": {"images": {"requireSignatures": True}}})
    assert [item.requirement_id for item in made.not_enforceable] == ["workloads.images.requireSignatures"]


def custom(rule: Any) -> CheckSet:
    @check(id="acme.thing", title="t", severity="low", remediation="r", rule=rule)
    def test_thing(findings: Any) -> None:
        """Why."""
        assert findings

    return CheckSet([Entry(getattr(test_thing, ATTRIBUTE), __import__("types").ModuleType("m"), False)])


def test_a_check_without_rule_is_listed() -> None:
    made = enforcement_plan(spec_from_part(EXEMPT), custom(None), now=NOW)
    assert [tuple(item)[:2] for item in made.not_enforceable] == [
        ("acme.thing", "its check has no rule (`rule=`), so only a scan can evaluate it")
    ]


def test_a_rule_that_is_none_is_an_error_of_the_check() -> None:
    with pytest.raises(CheckError, match="its rule is of type str"):
        enforcement_plan(spec_from_part(EXEMPT), custom("privileged"), now=NOW)
