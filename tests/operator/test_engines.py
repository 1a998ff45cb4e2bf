"""Engines of a specification: what each needs is applied, and goes when another is asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.errors import Refused
from tests.controlplane import namespaces
from tests.controlplane.served import wait_until_served
from tests.crds.conftest import CRD, Cluster
from tests.operator.conftest import DEPLOYED, OperatorProcess, Specs, granted, until
from tests.webhook.installed import install_rights
from tests.webhook.running import Running

Start = Callable[..., OperatorProcess]
Object = dict[str, Any]

PLACE = "operator-engines"
REGISTRATION = ("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
VAP = ("admissionregistration.k8s.io/v1", "ValidatingAdmissionPolicy")
KYVERNO = ("policies.kyverno.io/v1", "ValidatingPolicy")
OLD = ("kyverno.io/v1", "ClusterPolicy")
OURS = "kspec.io/cluster-spec=engines"
BY_OTHERS = {
    ("get", "services/proxy"),  # of a webhook behind a Service: tests on a node
    ("create", "validatingpolicies"),  # an apply that creates is a patch in the log, and needs both
    ("create", "validatingwebhookconfigurations"),
    ("create", "clusterpolicies"),
    ("patch", "clusterpolicies"),  # --kyverno-api clusterpolicy
    ("get", "clusterpolicies"),
    ("update", "clusterpolicies"),
    ("update", "validatingpolicies"),  # as of bindings: where others added to a list
    ("update", "validatingwebhookconfigurations"),
}


def definition(api_version: str, kind: str, plural: str) -> Object:
    """A kind of Kyverno, as far as this test needs it."""
    group, _, version = api_version.partition("/")
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    served = {
        "name": version,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": schema},
    }
    names = {"kind": kind, "plural": plural}
    spec = {"group": group, "scope": "Cluster", "names": names, "versions": [served]}
    head = {"apiVersion": CRD[0], "kind": CRD[1], "metadata": {"name": f"{plural}.{group}"}}
    return {**head, "spec": spec}


KINDS = (definition(*KYVERNO, "validatingpolicies"), definition(*OLD, "clusterpolicies"))


@pytest.fixture
def kyverno(operated: Cluster) -> Iterator[None]:
    for one in KINDS:
        operated.writer.apply(one, field_manager="test")
    for api_version, kind in (KYVERNO, OLD):
        wait_until_served(operated.writer, api_version, kind)
    namespaces.create(operated.plane, PLACE)
    yield
    namespaces.delete(operated.plane, PLACE)
    for one in KINDS:
        operated.writer.delete(*CRD, one["metadata"]["name"])


@pytest.fixture
def webhook(operated: Cluster, tmp_path: Path) -> Iterator[Running]:
    install_rights(operated.plane)
    server = Running(
        tmp_path,
        "--from-cluster",
        f"--self-signed={tmp_path / 'tls'}",
        f"--kubeconfig={operated.plane.kubeconfig()}",
        f"--cluster={operated.plane.name}",
        tokens=True,
    )
    server.wait_ready()  # also where there is no specification yet: a Deployment would never be rolled out
    yield server
    server.kill()


def asked(engine: str, mode: str = "enforce", **more: Any) -> Object:
    return {
        "network": {"allowedServiceTypes": ["ClusterIP"]},
        "namespaceScope": {"includeNamespaces": [PLACE]},
        "enforcement": {"enabled": True, "mode": mode, "engine": engine},
        **more,
    }


def test_engines_follow_their_specification(
    specs: Specs, start: Start, webhook: Running, kyverno: None
) -> None:
    writer, since = specs.writer, specs.plane.audit_position()

    def refused() -> str:
        """Why a Service of type NodePort cannot be created; "" if it can."""
        metadata = {"name": "probe", "namespace": PLACE}
        spec = {"type": "NodePort", "ports": [{"port": 80}]}
        service = {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}
        try:
            writer.apply(service, dry_run=True, field_manager="test")
        except Refused as error:
            return str(error)
        return ""

    def there(kind: tuple[str, str]) -> list[Object]:
        return list(writer.list(*kind, label_selector=OURS))

    def of_webhook(field: str) -> list[Any]:
        return [one["webhooks"][0].get(field) for one in there(REGISTRATION)]

    old = {"name": "require-run-as-non-root", "labels": {"kspec.io/cluster-spec": "engines"}}
    writer.apply({"apiVersion": OLD[0], "kind": OLD[1], "metadata": old, "spec": {}}, field_manager="v03")
    lost = {"name": "lost", "annotations": {"kspec.dev/generated": "true"}}
    writer.apply({"apiVersion": OLD[0], "kind": OLD[1], "metadata": lost, "spec": {}}, field_manager="v03")
    client = {"service": {"namespace": "kspec-system", "name": "kspec-webhook-service", "path": "/validate"}}
    dead = {
        "name": "pod-validation.kspec.io",
        "clientConfig": client,
        "failurePolicy": "Fail",
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "namespaceSelector": {"matchLabels": {"kspec-test": "nowhere"}},
        "rules": [
            {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
        ],
    }
    head = {"apiVersion": REGISTRATION[0], "kind": REGISTRATION[1]}
    writer.apply(
        {**head, "metadata": {"name": "kspec-validating-webhook"}, "webhooks": [dead]}, field_manager="v03"
    )

    # One that cannot be read takes no other with it.
    odd: dict[str, Any] = {
        "name": "x",
        "reason": "r",
        "checks": ["kubernetes.version"],
        "expiresAt": "2027-01-01",
    }
    specs.put("odd", asked("webhook", policyExemptions=[{**odd, "timezone": "Mars/X"}]))

    # The webhook: registered with its failure policy only once it can be reached.
    specs.put("engines", asked("webhook", webhooks={"failurePolicy": "Fail"}))
    operator = start(
        "--leader-elect=false", f"--webhook-url={webhook.url}", f"--webhook-read-port={webhook.read_port}"
    )
    until(lambda: of_webhook("failurePolicy"), operator.said)
    specs.wait("engines", "True", "PolicyEnforced", operator.said)
    assert of_webhook("failurePolicy") == ["Fail"]
    assert specs.condition("engines", "DriftDetected")["status"] == "False", (
        "what the webhook wrote is not drift"
    )
    until(lambda: "denied by engines" in refused(), operator.said)  # the API server learns of it by a watch
    until(lambda: "'Mars/X' is not" in webhook.log.read_text())
    status = specs.get("engines")["status"]
    assert status["webhooks"] == {"active": True, "certificateReady": True}
    assert status["enforcement"]["engines"] == ["webhook"]
    assert [one["metadata"]["name"] for one in writer.list(*OLD)] == ["lost"], "what v0.3 left is gone"
    assert writer.find(*REGISTRATION, "kspec-validating-webhook") is None
    assert "lost" in operator.said(), "what belongs to no specification is named"

    specs.put("engines", asked("webhook", "audit", webhooks={"failurePolicy": "Fail"}))
    specs.wait("engines", "True", "PolicyEnforced", operator.said)
    assert of_webhook("failurePolicy") == ["Ignore"]
    until(lambda: refused() == "", operator.said)

    # Kyverno, played by the test: its policies wait until it says that they are in its webhook.
    specs.put("engines", asked("kyverno"))
    waits = specs.wait("engines", "False", "PolicyEnforced", operator.said)
    assert waits["reason"] == "PoliciesPending"
    assert "Kyverno has not processed it yet" in waits["message"]
    assert "policies of webhook stay until those of kyverno are in force" in waits["message"]
    (policy,) = there(KYVERNO)
    assert len(there(REGISTRATION)) == 1
    until(lambda: "denied by engines" in refused(), operator.said)  # the webhook serves it in its new mode
    heard = {"conditions": [{"type": "WebhookConfigured", "status": "True", "message": ""}]}
    writer.replace({**policy, "status": {"conditionStatus": heard}}, field_manager="t", subresource="status")
    specs.wait("engines", "True", "PolicyEnforced", operator.said)
    assert there(REGISTRATION) == [], "another engine is in force: what the first one needed is gone"

    # Two at once.
    specs.put("engines", asked("vap", webhooks={"enabled": True}))
    specs.wait("engines", "True", "PolicyEnforced", operator.said)
    assert [len(there(kind)) for kind in (VAP, REGISTRATION, KYVERNO)] == [1, 1, 0]
    webhook.kill()  # nobody answers: said in a moment, and not refused for it
    writer.delete("kspec.io/v1alpha1", "ClusterSpecification", "engines")
    until(lambda: writer.find("kspec.io/v1alpha1", "ClusterSpecification", "engines") is None, operator.said)
    assert [len(there(kind)) for kind in (VAP, REGISTRATION, KYVERNO)] == [0, 0, 0]
    writer.delete(*OLD, "lost")

    seen = specs.plane.requests_seen(since=since, user=DEPLOYED)
    assert [one for one in seen if one.status == 403] == []
    used = {(one.verb, f"{one.resource}/{one.subresource}".rstrip("/")) for one in seen}
    kinds = (
        "validatingpolicies",
        "clusterpolicies",
        "validatingwebhookconfigurations",
        "serviceaccounts/token",
    )
    assert granted(*kinds, "services/proxy") - used == BY_OTHERS
