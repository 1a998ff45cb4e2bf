"""Which finding of a check carries a fix: those of what is kept somewhere."""

from __future__ import annotations

from typing import Any

from pytest_kspec import FieldRule, check
from pytest_kspec.results.exemptions import Exemption
from pytest_kspec.results.finding import Finding
from pytest_kspec.testing import evaluate

RULE = FieldRule(field="hostNetwork", over="pod", allowed=(None, False), reason="host network")
LABEL = {"metadata": {"labels": {"team": "unknown"}}}


@check(id="acme.network", title="Rule", severity="low", remediation="Remove it.", rule=RULE)
def by_rule(workloads: Any, findings: Any) -> None:
    """A rule."""
    findings.apply(RULE, workloads)


@check(id="acme.team", title="Own", severity="low", remediation="Name it.")
def by_hand(workloads: Any, findings: Any) -> None:
    """A fix of the author's own."""
    for workload in workloads:
        findings.add(workload, path="metadata.labels.team", expected="a team", fix=LABEL)


def pod(name: str, owner: str = "", kind: str = "ReplicaSet") -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": name, "namespace": "shop"}
    if owner:
        ref = {"apiVersion": "apps/v1", "kind": kind, "name": owner, "controller": True, "uid": owner}
        metadata["ownerReferences"] = [ref]
    spec = {"hostNetwork": True, "containers": [{"name": "app", "image": "x"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def controller(kind: str, name: str, **more: Any) -> dict[str, Any]:
    template = {"metadata": {"labels": {"app": name}}, "spec": {**pod("x")["spec"], **more}}
    spec: dict[str, Any] = {"template": template}
    if kind == "CronJob":
        spec = {"jobTemplate": {"spec": spec}}
    return {
        "apiVersion": "batch/v1" if kind == "CronJob" else "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "shop", "uid": name},
        "spec": spec,
    }


def found(check: Any, *objects: dict[str, Any], **more: Any) -> list[Finding]:
    (result,) = evaluate(check, objects=objects, **more)
    return list(result.findings)


OFF = {"spec": {"hostNetwork": False}}


def test_a_bare_pod_has_one_for_its_manifest() -> None:
    assert [f.fix for f in found(by_rule, pod("bare"))] == [OFF]


def test_a_template_has_one_also_when_its_pods_are_found() -> None:
    (finding,) = found(by_rule, controller("ReplicaSet", "web"), pod("web-1", "web"), pod("web-2", "web"))
    assert (finding.resource.kind, finding.count) == ("ReplicaSet", 2)
    assert finding.fix == {"spec": {"template": OFF}}
    (finding,) = found(by_rule, controller("CronJob", "nightly"))
    assert finding.fix == {"spec": {"jobTemplate": {"spec": {"template": OFF}}}}


def test_pods_of_what_is_not_seen_have_none() -> None:
    assert [f.fix for f in found(by_rule, pod("p", "r", "Rollout"))] == [None]
    assert [f.fix for f in found(by_hand, pod("p", "r", "Rollout"))] == [None]


def test_pods_older_than_their_template_have_none() -> None:
    (finding,) = found(by_rule, controller("ReplicaSet", "web", hostNetwork=False), pod("web-1", "web"))
    assert (finding.resource.kind, finding.fix) == ("Pod", None)


def test_what_is_exempted_is_accepted() -> None:
    accepted = Exemption(name="a", reason="r", namespaces=["shop"])
    for one in (by_rule, by_hand):
        (finding,) = found(one, pod("bare"), exemptions=[accepted])
        assert (finding.exemption is not None, finding.fix) == (True, None)


def test_a_check_may_give_its_own() -> None:
    assert [f.fix for f in found(by_hand, pod("bare"))] == [LABEL]
    assert found(by_hand, pod("bare"))[0].to_wire()["fix"] == LABEL
