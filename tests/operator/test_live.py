"""`kspec operator` on a real API server: what users see of it, and what happens when leaders die."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

from tests.operator.conftest import DEPLOYED, LEASE, OperatorProcess, Specs, granted, until

Start = Callable[..., OperatorProcess]

ALONE = "--leader-elect=false"
MET = {"kubernetes": {"minVersion": "1.29"}}
UNMET = {"kubernetes": {"minVersion": "1.99"}}
ODD_EXEMPTION = {
    "name": "x",
    "reason": "r",
    "checks": ["kubernetes.version"],
    "expiresAt": "2027-01-01",
    "timezone": "Mars/X",
}


def test_from_a_specification_to_its_status(specs: Specs, start: Start) -> None:
    specs.put("met", MET)
    specs.put("odd", {"policyExemptions": [ODD_EXEMPTION]})
    operator = start(ALONE)
    ready = specs.wait("met", "True", said=operator.said)
    assert (ready["reason"], ready["message"]) == ("ComplianceChecksPassed", "1 of 1 checks passed.")
    found = specs.get("met")
    status = found["status"]
    assert (status["phase"], status["complianceScore"], status["observedGeneration"]) == ("Active", 100, 1)
    counts = {"totalChecks": 2, "passedChecks": 1, "failedChecks": 0, "errorChecks": 0, "skippedChecks": 1}
    assert status["summary"] == {**counts, "policiesEnforced": 0, "driftEvents": 0}
    assert status["lastScanTime"] < status["nextScanTime"]
    assert specs.condition("met", "PolicyEnforced")["reason"] == "EnforcementDisabled"
    assert specs.condition("met", "DriftDetected")["status"] == "False"

    odd = specs.wait("odd", "False", said=operator.said)
    assert odd["reason"] == "InvalidSpecification"
    assert "cr:odd:" in odd["message"]
    assert "'Mars/X' is not an IANA time zone" in odd["message"]
    assert specs.get("odd")["status"]["phase"] == "Failed"

    def passed() -> list[int]:
        kind, label = ("kspec.io/v1alpha1", "ComplianceReport"), "kspec.io/cluster-spec=met"
        found = specs.writer.list(*kind, namespace="kspec-system", label_selector=label)
        return sorted(one["spec"]["summary"]["passed"] for one in found)

    until(lambda: specs.events("met") == ["ScanCompleted"])
    assert specs.events("odd") == ["InvalidSpecification"]
    until(lambda: passed() == [1])  # tried again where the API server was not ready for the new kind
    specs.put("met", UNMET)
    ready = specs.wait("met", "False", said=operator.said)
    assert "0 of 1 checks passed, 1 failed: kubernetes.version" in ready["message"]
    until(lambda: sorted(specs.events("met")) == ["ComplianceFailed", "ScanCompleted"])
    until(lambda: passed() == [0, 1])

    # Nothing changes: nothing is written, and what was written is no reason to look again.
    def idle() -> int | None:
        """From where on the audit log is that of an idle operator, once it is idle: which says nothing."""
        before, since, said = specs.get("met"), specs.plane.audit_position(), operator.said()
        time.sleep(3)
        return since if (specs.get("met"), operator.said()) == (before, said) else None

    since, said = until(idle, operator.said), operator.said()
    assert "started version=" in said
    assert "scan ended spec=met score=100 passed=1 failed=0 errors=0 seconds=" in said
    assert "ComplianceFailed kind=ClusterSpecification name=met" in said
    agent = "pytest-kspec/"
    seen = [one for one in specs.plane.requests_seen(since=since) if one.user_agent.startswith(agent)]
    assert [one for one in seen if one.verb not in ("get", "watch")] == []
    operator.send(signal.SIGTERM)
    assert operator.ended() == 0, operator.said()


def holder(specs: Specs) -> str:
    """Whom the Lease names; "" for nobody."""
    found = specs.writer.find(*LEASE, namespace="kspec-system")
    return str(found["spec"].get("holderIdentity", "")) if found else ""


def test_leaders_that_die_freeze_and_end(specs: Specs, start: Start) -> None:
    terms = [
        f"--leader-election-{name}"
        for name in ("lease-duration=6s", "renew-deadline=4.5s", "retry-period=1200ms")
    ]
    specs.writer.delete(*LEASE, namespace="kspec-system")  # others counted their transitions there
    first = start(*terms)
    led = until(lambda: holder(specs), first.said)
    second = start(*terms, user="controllers")
    specs.put("met", MET)
    specs.wait("met", "True", said=first.said)

    first.kill()
    until(lambda: holder(specs) != led, second.said)
    led = holder(specs)
    specs.put("met", UNMET)
    specs.wait("met", "False", said=second.said)
    (lease,) = specs.writer.list(*LEASE[:2], namespace="kspec-system")
    assert lease["spec"]["leaseTransitions"] == 1

    third = start(*terms)
    second.send(signal.SIGSTOP)
    until(lambda: holder(specs) != led, third.said)
    specs.put("met", MET)  # what the second would write about, if it could
    specs.wait("met", "True", said=third.said)
    before, since = specs.get("met"), specs.plane.audit_position()
    second.send(signal.SIGCONT)
    assert second.ended() == 1, second.said()
    assert "Lease" in second.said()
    seen = specs.plane.requests_seen(since=since, user="controllers")
    assert [one for one in seen if one.verb not in ("get", "list", "watch") and one.status < 400] == []
    assert specs.get("met") == before

    third.send(signal.SIGTERM)
    assert third.ended() == 0, third.said()
    assert holder(specs) == ""


RESOURCES = (
    "clusterspecifications",
    "clusterspecifications/status",
    "compliancereports",
    "compliancereports/status",
    "configmaps",
    "driftconfigs",
    "driftconfigs/status",
    "driftreports",
    "driftreports/status",
    "events",
    "leases",
    "validatingadmissionpolicies",
    "validatingadmissionpolicybindings",
)
"""The rest is of other engines: test_engines."""

NOT_IN_THE_LOG = {
    ("delete", "compliancereports"),  # the thirty-first
    ("create", "validatingadmissionpolicies"),  # an apply that creates is a patch in the log, and needs both
    ("create", "validatingadmissionpolicybindings"),
    ("update", "validatingadmissionpolicies"),  # as of the binding, here
}


POLICIES = ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy")
BINDINGS = ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicyBinding")
DRIFT = ("kspec.io/v1alpha1", "DriftReport")
OURS = "kspec.io/cluster-spec=kept"


def enforced(mode: str, **more: object) -> dict[str, object]:
    scope = {"namespaceSelector": {"matchLabels": {"kspec-test": "nowhere"}}}
    asked = {"enabled": True, "mode": mode, **more}
    return {"network": {"allowedServiceTypes": ["ClusterIP"]}, "namespaceScope": scope, "enforcement": asked}


def test_policies_follow_their_specification(specs: Specs, start: Start) -> None:
    specs.writer.delete(*LEASE, namespace="kspec-system")
    start_of_log = specs.plane.audit_position()

    def actions() -> list[list[str]]:
        found = specs.writer.list(*BINDINGS, label_selector=OURS)
        return [one["spec"]["validationActions"] for one in found]

    def edit() -> None:
        patch = {"spec": {"validationActions": ["Warn"]}}
        specs.writer.patch(*BINDINGS, "kspec-kept-services", patch, field_manager="kubectl-edit")

    specs.put("kept", enforced("audit"))
    operator = start("--scan-interval=4s")
    said = specs.wait("kept", "True", "PolicyEnforced", operator.said)
    assert (said["reason"], said["message"]) == ("PoliciesDeployed", "1 policy in force, mode audit.")
    assert actions() == [["Warn", "Audit"]]
    assert specs.get("kept")["metadata"]["finalizers"] == ["kspec.io/finalizer"]

    specs.put("kept", enforced("enforce"))
    until(lambda: actions() == [["Deny", "Audit"]], operator.said)
    specs.wait("kept", "False", "DriftDetected", operator.said)
    edit()
    drift = specs.wait("kept", "True", "DriftDetected", operator.said)
    assert (
        "ValidatingAdmissionPolicyBinding kspec-kept-services was changed by kubectl-edit" in drift["message"]
    )
    assert actions() == [["Warn"]], "drift is not corrected unless that was asked for"
    assert specs.condition("kept", "PolicyEnforced")["status"] == "False"

    # Nor after a time that failed, as when the API server did not answer: what was applied is known by its mark.
    conditions = specs.get("kept")["status"]["conditions"]
    for one in conditions:
        one["reason"] = "EnforcementFailed" if one["type"] == "PolicyEnforced" else one["reason"]
    path = "/apis/kspec.io/v1alpha1/clusterspecifications/kept/status"
    assert specs.plane.request("PATCH", path, {"status": {"conditions": conditions}}).status == 200
    until(
        lambda: specs.condition("kept", "PolicyEnforced")["reason"] not in ("", "EnforcementFailed"),
        operator.said,
    )
    assert specs.condition("kept", "DriftDetected")["status"] == "True"
    assert actions() == [["Warn"]]

    config = {"interval": "5s", "remediation": {"strategy": "Apply"}, "retention": {"maxReports": 1}}
    place = {"name": "keep", "namespace": "kspec-system"}
    head = {"apiVersion": DRIFT[0], "kind": "DriftConfig", "metadata": place}
    specs.writer.apply({**head, "spec": config}, field_manager="test")
    until(lambda: actions() == [["Deny", "Audit"]], operator.said)

    def reported() -> str:
        status = specs.writer.get(DRIFT[0], "DriftConfig", "keep", namespace="kspec-system").get("status")
        return f"{operator.said()}\n{status}\n{specs.writer.list(*DRIFT)}"

    until(lambda: [one["spec"]["driftDetected"] for one in specs.writer.list(*DRIFT)] == [False], reported)
    specs.writer.delete(DRIFT[0], "DriftConfig", "keep", namespace="kspec-system")

    def drifts() -> bool:
        if actions() != [["Warn"]]:  # a run that had begun may have corrected it
            edit()
        return bool(specs.condition("kept", "DriftDetected").get("status") == "True")

    until(drifts, operator.said)

    specs.put("kept", enforced("enforce", autoRemediate=True))
    specs.wait("kept", "False", "DriftDetected", operator.said)
    assert actions() == [["Deny", "Audit"]]
    edit()
    until(lambda: "DriftRemediated" in specs.events("kept"), operator.said)
    assert actions() == [["Deny", "Audit"]]

    specs.put("kept", enforced("monitor"))
    until(
        lambda: specs.condition("kept", "PolicyEnforced").get("reason") == "EnforcementDisabled",
        operator.said,
    )
    assert actions() == []
    assert "finalizers" not in specs.get("kept")["metadata"]

    specs.put("kept", enforced("enforce"))
    specs.wait("kept", "True", "PolicyEnforced", operator.said)
    specs.writer.delete("kspec.io/v1alpha1", "ClusterSpecification", "kept")
    until(
        lambda: specs.writer.find("kspec.io/v1alpha1", "ClusterSpecification", "kept") is None, operator.said
    )
    assert specs.writer.list(*POLICIES, label_selector=OURS) == actions() == []
    operator.send(signal.SIGTERM)
    assert operator.ended() == 0, operator.said()

    # All that happened needed the rights that the manifests grant, and all that they grant beside reading was needed.
    seen = specs.plane.requests_seen(since=start_of_log, user=DEPLOYED)
    assert [one for one in seen if one.status == 403] == []
    used = {(one.verb, f"{one.resource}/{one.subresource}".rstrip("/")) for one in seen}
    assert granted(*RESOURCES) - used == NOT_IN_THE_LOG
