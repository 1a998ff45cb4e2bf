"""Policies that finalizers of others keep, on a real API server: neither gone nor in force."""

from __future__ import annotations

from datetime import timedelta

import pytest

from pytest_kspec import clock
from pytest_kspec.errors import StillThere

from .hubs import BINDING, POLICY, SPEC, SPEC_KIND, V1, Hub, conditions


def test_what_finalizers_keep_is_not_removed_yet(hub: Hub) -> None:
    kept = (V1, BINDING, "kspec-sturdy-pods")
    hub.writer.patch(*kept, {"metadata": {"finalizers": ["example.com/hold"]}}, field_manager="other")
    hub.writer.delete(*SPEC_KIND, "sturdy")
    with (
        clock.at(hub.now),
        pytest.raises(StillThere, match=r"but finalizers block the deletion \(example.com/hold\)"),
    ):
        hub.reconciler.reconcile(("", "sturdy"))
    left = [one["metadata"]["name"] for kind in (POLICY, BINDING) for one in hub.writer.list(V1, kind)]
    assert [name for name in left if name.startswith("kspec-sturdy-")] == ["kspec-sturdy-pods"]
    assert hub.writer.find(*SPEC_KIND, "sturdy") is not None, "it waits for its policies"

    hub.writer.patch(*kept, {"metadata": {"finalizers": None}}, field_manager="other")
    hub.enforce("sturdy")
    assert hub.writer.find(*SPEC_KIND, "sturdy") is None


def test_a_policy_that_finalizers_keep_is_not_in_force_any_more(hub: Hub) -> None:
    kept = (V1, POLICY, "kspec-sturdy-pods")
    hub.specs.put("sturdy", {**SPEC, "enforcement": {**SPEC["enforcement"], "autoRemediate": True}})
    hub.enforce("sturdy")
    hub.writer.patch(*kept, {"metadata": {"finalizers": ["example.com/hold"]}}, field_manager="other")
    hub.writer.delete(*kept)
    hub.now += timedelta(minutes=10)
    hub.enforce("sturdy")
    enforced, drift = (hub.specs.condition("sturdy", kind) for kind in ("PolicyEnforced", "DriftDetected"))
    assert (enforced["status"], enforced["reason"]) == ("False", "PoliciesPending")
    why = "it is being deleted, and finalizers block the deletion (example.com/hold)"
    assert f"kspec-sturdy-pods: {why}" in enforced["message"]
    assert (drift["status"], drift["reason"]) == ("True", "DriftFound")
    assert f"{POLICY} kspec-sturdy-pods is being deleted (not corrected: a deletion" in drift["message"]
    hub.config("watch", {"interval": "5m"})
    assert conditions(hub.run("watch"))["DriftDetected"] == ("True", "DriftFound")
    (report,) = hub.reports()
    (event,) = report["spec"]["events"]
    assert (event["driftType"], event["remediation"]["status"]) == ("deleted", "manual-required")

    # It is looked at again before the next scan, and made anew once it is gone.
    hub.writer.patch(*kept, {"metadata": {"finalizers": None}}, field_manager="other")
    hub.now += timedelta(seconds=30)
    hub.enforce("sturdy")
    assert "deletionTimestamp" not in hub.writer.get(*kept)["metadata"]
    assert hub.specs.condition("sturdy", "DriftDetected")["status"] == "False"
    assert "DriftRemediated" in hub.specs.events("sturdy")
