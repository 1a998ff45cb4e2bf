"""What a scan and the webhook's decision say about one object, as comparable data."""

from __future__ import annotations

from typing import Any

import msgspec

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.enforce.admission import AnyRequest, GroupKind, GroupResource
from pytest_kspec.enforce.decide import Policies, decide
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import EnforcementPlan
from pytest_kspec.enforce.policy import Policy
from pytest_kspec.evaluate.findings import Findings
from pytest_kspec.results.exemptions import Exemptions
from tests.parity.admission import CHECKSET

CLUSTER = "c"
_POLICIES: dict[str, Policies] = {}


def agreed(
    plan: EnforcementPlan, obj: dict[str, Any], others: list[dict[str, Any]] | None = None
) -> set[tuple[str, str]]:
    """What a scan finds, having seen that the webhook decides the same on a request to create the object."""
    found = scanned(plan, obj, others)
    assert decided(plan, obj) == found, obj
    return found


def decided(plan: EnforcementPlan, obj: dict[str, Any]) -> set[tuple[str, str]]:
    """(requirement id, path) of what the webhook denies the creation of this object for."""
    policies = _POLICIES.get(plan.spec.name)
    if policies is None:
        policy = Policy(
            plan.spec,
            CHECKSET,
            cluster=CLUSTER,
            version=f"v1.{plan.minor}.0",
            mode=Mode.ENFORCE,
            now=plan.moment,
        )
        policies = _POLICIES[plan.spec.name] = Policies([policy])
    group, _, version = obj["apiVersion"].rpartition("/")
    request = AnyRequest(
        uid="u",
        kind=GroupKind(group, version, obj["kind"]),
        resource=GroupResource(group, f"{obj['kind'].lower()}s"),
        operation="CREATE",
        namespace=obj["metadata"]["namespace"],
        name=obj["metadata"]["name"],
        object=msgspec.Raw(msgspec.json.encode(obj)),
    )
    decision = decide(request, policies, plan.moment, {})
    assert not decision.failures, decision.failures
    found = decision.of(policies.all[0].mode)
    assert decision.allowed == (not found)
    return {(item.rule.requirement.id, item.finding.path) for item in found}


def scanned(
    plan: EnforcementPlan,
    obj: dict[str, Any],
    others: list[dict[str, Any]] | None = None,
    cluster: str = CLUSTER,
) -> set[tuple[str, str]]:
    """(requirement id, path) of the open findings of a scan of this object; raises where it is an error.

    others: what else is in the cluster (owners of the object), and is not looked at
    """
    inventory = Inventory(MemorySource([obj, *(others or [])]))
    found = set()
    metadata = obj["metadata"]
    for rule in plan.rules:
        if not plan.holds(rule, metadata["namespace"]):
            continue
        exemptions = Exemptions(plan.exemptions, plan.moment)
        findings = Findings(exemptions.for_check(rule.requirement.id, cluster))
        if rule.target == "services":
            services = inventory.list("Service", "") if obj["kind"] == "Service" else []
            findings.apply_to_services(rule.service_rule, services)
        elif obj["kind"] != "Service":
            listed = inventory.list(obj["kind"])
            ours: list[Any] = [
                item for item in listed if (item.kind, item.name) == (obj["kind"], metadata["name"])
            ]
            assert ours, obj
            findings.apply(rule.pod_rule, ours)
        verdict, reason = findings.verdict()
        assert verdict != "error", (reason, obj)
        found |= {
            (rule.requirement.id, finding.path) for finding in findings.results() if finding.exemption is None
        }
    return found
