"""Namespaces of manifests that no Namespace object is there for: they exist, and their labels are unknown."""

import json
from pathlib import Path
from typing import Any

import pytest

from builtin_checks.network.test_default_deny import test_default_deny as default_deny
from builtin_checks.network.test_required_policies import test_required_policies as required_policies
from builtin_checks.pod_security.test_namespace_labels import test_enforce as enforce
from builtin_checks.rbac.test_forbidden_rules import test_forbidden_rules as forbidden_rules
from builtin_checks.workloads.test_containers import test_forbidden as forbidden
from pytest_kspec import check
from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.errors import NotApplicable, SourceUnavailable
from pytest_kspec.results.result import CheckResult
from pytest_kspec.testing import evaluate
from tests.checks.objects import namespace, obj, policy

UNKNOWN = (
    "the labels of namespace shop are not known: no file contains the Namespace object. "
    "Add the object to the manifests."
)
LABELLED = namespace("billing") | {
    "metadata": {"name": "billing", "labels": {"pod-security.kubernetes.io/enforce": "restricted"}}
}
SERVICE = obj("v1", "Service", "web", "shop", spec={})


def told(result: CheckResult) -> tuple[str, str, list[str]]:
    return result.verdict.value, result.reason, [f"{f.resource}: {f.message}" for f in result.findings]


def run(check: Any, spec: Any, *objects: Any) -> Any:
    (result,) = evaluate(check, objects=objects, spec=spec, kind="manifests")
    return told(result)


def test_namespaces_are_those_that_objects_are_in(tmp_path: Path) -> None:
    (tmp_path / "all.yaml").write_text(
        "kind: Service\napiVersion: v1\nmetadata: {name: web, namespace: shop}\n---\n"
        "kind: ConfigMap\napiVersion: v1\nmetadata: {name: no-namespace}\n---\n"
        "kind: ClusterRole\napiVersion: rbac.authorization.k8s.io/v1\nmetadata: {name: reader}\n---\n"
        "kind: ClusterIssuer\napiVersion: cert-manager.io/v1\nmetadata: {name: acme}\n---\n"
        "kind: Certificate\napiVersion: cert-manager.io/v1\nmetadata: {name: tls, namespace: certs}\n---\n"
        "kind: Workflow\napiVersion: argoproj.io/v1alpha1\nmetadata: {generateName: w-}\n---\n"
        "kind: Namespace\napiVersion: v1\nmetadata: {name: labelled, labels: {a: b}}\n---\n"
        "kind: List\napiVersion: v1\nitems:\n"
        "- {kind: Role, apiVersion: rbac.authorization.k8s.io/v1, metadata: {generateName: r-, namespace: listed}}\n"
    )
    (tmp_path / "pods.json").write_text(
        '{"kind":"PodList","apiVersion":"v1","items":[{"metadata":{"name":"p","namespace":"pods"},"spec":{}}]}'
    )
    inventory = Inventory(open_source(str(tmp_path)))
    assert [item.name for item in inventory.list("Namespace")] == [
        "certs", "default", "labelled", "listed", "pods", "shop",
    ]  # fmt: skip
    assert inventory.namespace_labels == {"labelled": {"a": "b"}}
    assert inventory.unlabelled_namespaces == ("certs", "default", "listed", "pods", "shop")


def test_objects_that_hold_pods_are_in_a_namespace_even_if_none_is_written(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(
        "kind: Rollout\napiVersion: argoproj.io/v1alpha1\nmetadata: {name: web}\nspec: {}\n---\n"
        "kind: ClusterWorkflowTemplate\napiVersion: argoproj.io/v1alpha1\nmetadata: {name: all}\nspec: {}\n"
    )
    inventory = Inventory(open_source(str(tmp_path)))
    assert [item.name for item in inventory.list("Namespace")] == ["default"]
    assert [str(item.ref) for item in inventory.list("Rollout")] == ["Rollout default/web"]
    assert [str(item.ref) for item in inventory.list("ClusterWorkflowTemplate")] == [
        "ClusterWorkflowTemplate all"
    ]


def test_default_deny_is_evaluated_by_the_policies_in_the_files() -> None:
    spec = {"network": {"defaultDeny": True}}
    assert run(default_deny, spec, SERVICE) == (
        "fail",
        "",
        [
            f"Namespace shop: no default deny for {word}: no NetworkPolicy for {word}"
            for word in ("egress", "ingress")
        ],
    )
    denied = policy("deny", "shop", policyTypes=["Ingress", "Egress"])
    assert run(default_deny, spec, SERVICE, denied) == ("pass", "", [])


def test_a_required_policy_is_found_where_only_it_names_the_namespace() -> None:
    spec = {"network": {"requiredPolicies": [{"name": "deny", "namespaces": ["shop", "billing"]}]}}
    assert run(required_policies, spec, policy("deny", "shop")) == (
        "fail",
        "",
        ["cluster: namespace billing, which must have NetworkPolicy deny, is in no file"],
    )
    everywhere = {"network": {"requiredPolicies": [{"name": "deny"}]}}
    assert run(required_policies, everywhere, SERVICE, policy("deny", "billing")) == (
        "fail",
        "",
        ["Namespace shop: NetworkPolicy deny is missing"],
    )


def test_labels_that_no_file_shows_do_not_pass() -> None:
    spec = {"podSecurity": {"enforce": "baseline"}}
    assert run(enforce, spec, LABELLED) == ("pass", "", [])
    assert run(enforce, spec, SERVICE) == ("skip", UNKNOWN, [])
    assert run(enforce, spec, SERVICE, LABELLED) == ("skip", UNKNOWN, [])
    verdict, _, found = run(enforce, spec, SERVICE, namespace("open"))
    assert (verdict, [text.partition(":")[0] for text in found]) == ("fail", ["Namespace open"])


def test_a_check_that_reads_such_labels_does_not_pass() -> None:
    @check(id="team.owner", title="t", severity="low", remediation="r", key="kubernetes.minVersion")
    def owned(namespaces: Any, findings: Any) -> None:
        """Somebody answers for it."""
        for item in namespaces:
            if item.annotations.get("public") == "yes":
                findings.add(item, message="public")

    (result,) = evaluate(owned, objects=[SERVICE], kind="manifests")
    assert told(result) == ("skip", UNKNOWN, [])
    (item,) = Inventory(open_source_of(SERVICE)).list("Namespace")
    for name in ("labels", "annotations", "raw", "spec"):
        with pytest.raises(NotApplicable):
            getattr(item, name)


def test_an_exemption_by_label_does_not_cover_it() -> None:
    spec = {
        "network": {"defaultDeny": True},
        "policyExemptions": [
            {
                "name": "by-label",
                "checks": ["network.defaultDeny"],
                "resources": [{"kind": "Namespace", "labelSelector": {"a": "b"}}],
                "reason": "r",
            },
            {
                "name": "by-name",
                "checks": ["network.defaultDeny"],
                "resources": [{"kind": "Namespace", "name": "billing"}],
                "reason": "r",
            },
        ],
    }
    objects = [SERVICE, obj("v1", "Service", "web", "billing", spec={})]
    (result,) = evaluate(default_deny, objects=objects, spec=spec, kind="manifests")
    assert [(str(f.resource), f.exemption is None) for f in result.findings] == [
        ("Namespace billing", False),
        ("Namespace billing", False),
        ("Namespace shop", True),
        ("Namespace shop", True),
    ]


def test_annotations_that_nobody_knows_exempt_nothing() -> None:
    allowed = {"annotationExemptions": {"checks": ["network.*", "workloads.*"], "maxSeverity": "critical"}}
    found = run(default_deny, {"network": {"defaultDeny": True}, **allowed}, SERVICE)
    assert (found[0], len(found[2])) == ("fail", 2)
    containers = [{"name": "app", "image": "x", "securityContext": {"privileged": True}}]
    prometheus = obj("monitoring.coreos.com/v1", "Prometheus", "it", "shop", spec={"containers": containers})
    asked = {"containers": {"forbidden": [{"key": "securityContext.privileged", "value": True}]}}
    found = run(forbidden, {"workloads": asked, **allowed}, prometheus)
    assert (found[0], len(found[2])) == ("fail", 1)


def open_source_of(*objects: Any) -> MemorySource:
    return MemorySource(objects, kind="manifests")


def test_what_is_in_no_namespace_is_not_put_into_one_by_its_file(tmp_path: Path) -> None:
    """An API server takes `metadata.namespace` away: what binds in the whole cluster is never out of scope."""
    kinds: dict[str, Any] = {
        "ClusterRole": {"rules": [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]},
        "ClusterRoleBinding": {
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "it"},
            "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "jane"}],
        },
    }
    objects = [obj("rbac.authorization.k8s.io/v1", kind, "it", "out", **rest) for kind, rest in kinds.items()]
    objects.append(obj("v1", "Namespace", "open", "out"))
    spec = {
        "rbac": {"forbiddenRules": [{"apiGroup": "", "resource": "secrets", "verbs": ["get"]}]},
        "podSecurity": {"enforce": "baseline"},
        "namespaceScope": {"excludeNamespaces": ["out"]},
        "policyExemptions": [{"name": "out", "reason": "r", "namespaces": ["out"]}],
    }
    (tmp_path / "x.yaml").write_text("\n---\n".join(json.dumps(one) for one in objects))
    for asked, found in ((forbidden_rules, "ClusterRoleBinding it"), (enforce, "Namespace open")):
        (result,) = evaluate(asked, objects=objects, spec=spec, kind="manifests")
        assert [(str(f.resource), f.exemption) for f in result.findings] == [(found, None)]
    inventory = Inventory(open_source(str(tmp_path)))
    assert [str(one.ref) for kind in (*kinds, "Namespace") for one in inventory.list(kind)] == [
        "ClusterRole it",
        "ClusterRoleBinding it",
        "Namespace open",
    ]
    (tmp_path / "y.yaml").write_text(json.dumps(obj("v1", "Namespace", "open", "elsewhere")))
    with pytest.raises(SourceUnavailable, match="Namespace open is defined twice"):
        Inventory(open_source(str(tmp_path))).list("Namespace")
