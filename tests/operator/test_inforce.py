"""PolicyEnforced on a real API server: what others changed is not in force as it should be, whatever it still does."""

from __future__ import annotations

from datetime import timedelta

from pytest_kspec.operator import enforcing, engineturn
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.spec.loading import spec_from_part

from .hubs import BINDING, POLICY, SPEC, V1, Hub, conditions

CORRECTED = {**SPEC, "enforcement": {**SPEC["enforcement"], "autoRemediate": True}}


def enforced(hub: Hub) -> tuple[tuple[str, str], str, str]:
    """Ten minutes later: PolicyEnforced, its message, and DriftDetected."""
    hub.now += timedelta(minutes=10)
    hub.enforce("sturdy")
    found = conditions(hub.specs.get("sturdy")["status"])
    said = hub.specs.condition("sturdy", "PolicyEnforced")["message"]
    return found["PolicyEnforced"], said, found["DriftDetected"][0]


def counted(hub: Hub) -> int:
    """What `summary` says of policies in force."""
    found = hub.specs.get("sturdy")
    spec = spec_from_part(found["spec"], name="sturdy")
    made = enforcing.enforce(
        spec,
        engineturn.Settled.of(found, spec),
        hub.writer,
        enforcing.Asked(load_checks, hub.specs.plane.name),
        hub.now,
    )
    return int(made.counts["policiesEnforced"])


def test_a_policy_that_somebody_changed_or_deleted_is_not_in_force(hub: Hub) -> None:
    count = counted(hub)
    met = (("True", "PoliciesDeployed"), f"{count} policies in force, mode enforce.", "False")
    assert (enforced(hub), count > 2) == (met, True)

    hub.soften("kspec-sturdy-pods")  # its mode and its binding are as they were
    unmet = ("False", "PoliciesNotInForce")
    assert enforced(hub) == (unmet, "kspec-sturdy-pods: changed since it was applied", "True")
    assert counted(hub) == count - 1

    for kind in (BINDING, POLICY):  # of this one nothing is left that could be read back
        hub.writer.delete(V1, kind, "kspec-sturdy-cronjobs")
    now, said, drift = enforced(hub)
    assert (now, drift) == (unmet, "True")
    assert "kspec-sturdy-cronjobs: missing" in said
    assert "kspec-sturdy-pods: changed since it was applied" in said
    assert counted(hub) == count - 2

    hub.specs.put("sturdy", CORRECTED)
    assert enforced(hub) == met
    assert counted(hub) == count


def test_each_policy_is_named_once(hub: Hub) -> None:
    hub.soften("kspec-sturdy-pods")
    limits = [
        {
            "op": "add",
            "path": "/spec/matchResources",
            "value": {"namespaceSelector": {"matchLabels": {"a": "b"}}},
        }
    ]
    hub.writer.patch(
        V1, BINDING, "kspec-sturdy-pods", limits, patch_type="json", field_manager="kubectl-edit"
    )
    unmet, said, _ = enforced(hub)
    assert unmet == ("False", "PoliciesNotInForce")
    assert said.count("kspec-sturdy-pods: ") == 1, said


def test_a_correction_puts_it_in_force_in_the_same_turn(hub: Hub) -> None:
    hub.specs.put("sturdy", CORRECTED)
    hub.enforce("sturdy")
    hub.soften("kspec-sturdy-pods")
    met, _, drift = enforced(hub)
    assert (met, drift) == (("True", "PoliciesDeployed"), "False")


def test_policies_are_counted_where_no_scan_has_a_result(hub: Hub) -> None:
    """They are read back, whatever becomes of scans; and the API server adds no counts of checks."""
    enforced(hub)
    found = hub.specs.get("sturdy")
    count = counted(hub)
    assert conditions(found["status"])["Ready"][1] == "ReconciliationFailed"
    assert found["status"]["summary"] == {"policiesEnforced": count, "driftEvents": 0}
    enforced(hub)
    again = hub.specs.get("sturdy")
    assert again["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"], "nothing new"

    hub.soften("kspec-sturdy-pods")
    enforced(hub)
    summary = hub.specs.get("sturdy")["status"]["summary"]
    assert summary == {"policiesEnforced": count - 1, "driftEvents": 1}
