"""DriftReports: small enough for a cluster, with exact totals; the same is the same whenever it was seen."""

from __future__ import annotations

from typing import Any

import msgspec

from pytest_kspec.crds.models.driftreport import DriftReportSpec
from pytest_kspec.crds.objects.driftreport import MAX_BYTES, About, build, config_selector, same

ABOUT = About("strict", "1", 3, "prod-eu", "uid", ("kspec-system", "nightly"))


def event(name: str, at: str = "2026-01-01T00:00:00Z", **more: Any) -> dict[str, Any]:
    return {
        "type": "Policy",
        "severity": "high",
        "driftType": "deleted",
        "resource": {"apiVersion": "v1", "kind": "Kind", "namespace": "", "name": name, "path": ""},
        "message": f"{name} does not exist.",
        "timestamp": at,
        **more,
    }


def test_five_thousand_events_are_cut_and_totals_are_exact() -> None:
    events = [
        event(f"policy-{number}", message="m" * 2000, expected={"x": "y" * 4000}) for number in range(5000)
    ]
    made = build(ABOUT, events, "2026-01-01T00:00:00Z", 7)
    assert len(msgspec.json.encode(made)) <= MAX_BYTES
    kept = made["spec"]["events"]
    assert 50 < len(kept) < 1000
    assert [one["resource"]["name"] for one in kept] == [f"policy-{number}" for number in range(len(kept))]
    assert (made["spec"]["truncated"], bool(made["spec"]["fullReport"])) == (True, True)
    assert made["status"]["totalEvents"] == made["status"]["pendingEvents"] + 7 == 5000
    DriftReportSpec.model_validate(made["spec"])


def test_the_same_at_another_time_is_the_same() -> None:
    done = {"action": "update", "status": "pending", "details": "x"}
    one = build(ABOUT, [event("a", remediation=done)], "2026-01-01T00:00:00Z", 0)
    later = build(ABOUT, [event("a", "2026-02-02T00:00:00Z", remediation=done)], "2026-02-02T00:00:00Z", 0)
    assert same(one, later)
    assert one["metadata"]["name"] != later["metadata"]["name"]
    assert not same(one, build(ABOUT, [event("b", remediation=done)], "2026-01-01T00:00:00Z", 0))
    assert not same(one, build(ABOUT, [], "2026-01-01T00:00:00Z", 0))
    assert not same(one, {"spec": {"of": "another version"}})


def test_labels_are_those_of_one_config() -> None:
    assert ABOUT.labels["kspec.io/drift-config"] == "kspec-system.nightly"
    assert config_selector(*ABOUT.config) == "kspec.io/drift-config=kspec-system.nightly"
