"""What a scan says about one object, as comparable data."""

from __future__ import annotations

from typing import Any

from pytest_kspec.cluster.inventory import Inventory
from pytest_kspec.cluster.memory import MemorySource
from pytest_kspec.enforce.plan import EnforcementPlan
from pytest_kspec.model.exemption import Exemptions
from pytest_kspec.session.findings import Findings


def scanned(
    plan: EnforcementPlan, obj: dict[str, Any], others: list[dict[str, Any]] | None = None, cluster: str = "c"
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
            ours = [item for item in listed if (item.kind, item.name) == (obj["kind"], metadata["name"])]
            assert ours, obj
            findings.apply(rule.pod_rule, ours)
        verdict, reason = findings.verdict()
        assert verdict != "error", (reason, obj)
        found |= {
            (rule.requirement.id, finding.path) for finding in findings.results() if finding.exemption is None
        }
    return found
