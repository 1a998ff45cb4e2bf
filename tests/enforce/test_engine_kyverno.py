"""Engine kyverno: the same CEL as the API server's policies, in the shapes of Kyverno's two kinds."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.enforce.engines import Wanted, engine, kyverno, vap
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.reference.asked import everything
from pytest_kspec.spec.loading import spec_from_part

CHECKSET = load_checks()
NOW = datetime(2026, 6, 1, tzinfo=UTC)
CLUSTERPOLICY = argparse.Namespace(kyverno_api="clusterpolicy")
SCOPE = {
    "includeNamespaces": ["a", "b"],
    "excludeNamespaces": ["kube-*"],
    "namespaceSelector": {"matchLabels": {"env": "prod"}},
}


def wanted(part: Any, mode: Any = Mode.ENFORCE, options: Any = None, name: str = "demo") -> Wanted:
    plan = enforcement_plan(spec_from_part(part, name=name), CHECKSET, now=NOW)
    return Wanted(plan, mode, "c", options)


def whole(level: str) -> Any:
    spec = everything()[("restricted", "baseline").index(level)]
    return spec.model_dump(by_alias=True, exclude_unset=True)


def cel(manifest: Any) -> tuple[Any, Any, Any]:
    """What is evaluated: (conditions, variables, validations)."""
    spec = manifest["spec"]
    if manifest["kind"] == "ClusterPolicy":
        (rule,) = spec["rules"]
        inner = rule["validate"]["cel"]
        return rule["celPreconditions"], inner["variables"], inner["expressions"]
    return spec["matchConditions"], spec["variables"], spec["validations"]


@pytest.mark.parametrize("level", ["restricted", "baseline"])
@pytest.mark.parametrize("options", [None, CLUSTERPOLICY], ids=["validatingpolicy", "clusterpolicy"])
def test_the_cel_is_that_of_the_api_servers_policies(level: str, options: Any) -> None:
    asked = whole(level) | {"namespaceScope": SCOPE}
    theirs = [m for m in vap.generate(wanted(asked)).manifests if m["kind"] == vap.POLICY]
    made = kyverno.generate(wanted(asked, options=options))
    assert made.not_enforceable == ()
    assert [cel(item) for item in made.manifests] == [cel(item) for item in theirs]
    assert [item["metadata"]["name"] for item in made.manifests] == [i["metadata"]["name"] for i in theirs]
    assert {item["metadata"]["labels"]["kspec.io/engine"] for item in made.manifests} == {"kyverno"}


def test_a_validating_policy_matches_as_the_api_servers_does() -> None:
    asked = {"podSecurity": {"enforce": "baseline"}, "namespaceScope": SCOPE}
    theirs = vap.generate(wanted(asked)).manifests
    for made, other in zip(kyverno.generate(wanted(asked)).manifests, theirs, strict=False):
        assert made["spec"]["matchConstraints"] == other["spec"]["matchConstraints"]
        assert made["spec"]["failurePolicy"] == "Fail"


@pytest.mark.parametrize(
    ("mode", "actions", "action"),
    [(Mode.AUDIT, ["Warn", "Audit"], "Audit"), (Mode.ENFORCE, ["Deny"], "Enforce")],
)
def test_modes_are_actions(mode: Any, actions: list[str], action: str) -> None:
    asked = {"podSecurity": {"enforce": "baseline"}}
    for item in kyverno.generate(wanted(asked, mode)).manifests:
        assert item["spec"]["validationActions"] == actions
    for item in kyverno.generate(wanted(asked, mode, CLUSTERPOLICY)).manifests:
        assert item["spec"]["validationFailureAction"] == action


def test_kyverno_generates_nothing_of_its_own() -> None:
    asked = {"podSecurity": {"enforce": "baseline"}}
    for item in kyverno.generate(wanted(asked)).manifests:
        assert item["spec"]["autogen"] == {
            "podControllers": {"controllers": []},
            "validatingAdmissionPolicy": {"enabled": False},
        }
    for item in kyverno.generate(wanted(asked, options=CLUSTERPOLICY)).manifests:
        assert item["metadata"]["annotations"]["pod-policies.kyverno.io/autogen-controllers"] == "none"


def test_a_cluster_policy_names_kinds_and_subresources() -> None:
    asked = {"podSecurity": {"enforce": "baseline"}, "namespaceScope": SCOPE}
    found = {}
    for item in kyverno.generate(wanted(asked, options=CLUSTERPOLICY)).manifests:
        (rule,) = item["spec"]["rules"]
        ((resources,),) = [[one["resources"] for one in rule["match"]["any"]]]
        found[rule["name"]] = resources["kinds"]
        assert resources["operations"] == ["CREATE", "UPDATE"]
        assert resources["namespaceSelector"] == {
            "matchLabels": {"env": "prod"},
            "matchExpressions": [
                {"key": "kubernetes.io/metadata.name", "operator": "In", "values": ["a", "b"]}
            ],
        }
        # What has subresources Kyverno refuses for its background scan.
        assert item["spec"]["background"] is (rule["name"] != "pods")
    assert found["pods"] == ["v1/Pod", "v1/Pod/ephemeralcontainers", "v1/Pod/resize"]
    assert found["cronjobs"] == ["batch/v1/CronJob"]
    assert found["workloads"][:2] == ["v1/ReplicationController", "apps/v1/DaemonSet"]


@pytest.mark.parametrize("text", ["{{x}}.example.com", "a$(b)"])
def test_what_kyverno_would_replace_is_refused_with_the_reason(text: str) -> None:
    asked = {
        "workloads": {
            "containers": {"required": [{"key": "env.value", "value": text}]},
            "images": {"blockedRegistries": ["x.example.com"]},
        }
    }
    direct = kyverno.generate(wanted(asked))
    assert direct.not_enforceable == ()
    made = kyverno.generate(wanted(asked, options=CLUSTERPOLICY))
    (left,) = made.not_enforceable
    assert left.requirement_id.startswith("workloads.containers.required")
    assert "Kyverno would substitute" in left.reason
    assert made.manifests
    assert text not in str(made.manifests)
    assert "workloads.images.blockedRegistries" in str(made.manifests)


def test_out_of_its_active_time_there_are_no_policies() -> None:
    asked = {
        "podSecurity": {"enforce": "baseline"},
        "timeBasedActivation": {
            "enabled": True,
            "activePeriods": [{"startDate": "2026-07-01", "endDate": "2026-07-31"}],
        },
    }
    for options in (None, CLUSTERPOLICY):
        request = wanted(asked, options=options)
        assert not request.active
        assert kyverno.generate(request).manifests == ()
        assert request.boundary == datetime(2026, 7, 1, tzinfo=UTC)


def policy(kind: str, **spec: Any) -> dict[str, Any]:
    return {"kind": kind, "metadata": {"name": "p"}, "spec": spec}


def test_what_is_switched_off_is_not_in_force() -> None:
    good = {"type": "WebhookConfigured", "status": "True"}
    off = policy("ValidatingPolicy", validationActions=["Deny"], evaluation={"admission": {"enabled": False}})
    off["status"] = {"conditionStatus": {"conditions": [good]}}
    (found,) = kyverno.in_force([off], cast(Writer, None))
    assert (found.mode, found.pending) == ("", False)
    assert "evaluation.admission.enabled" in found.problems[0]

    off = policy("ClusterPolicy", validationFailureAction="Enforce", admission=False)
    off["status"] = {"ready": True}
    (found,) = kyverno.in_force([off], cast(Writer, None))
    assert (found.mode, found.pending) == ("", False)
    assert "spec.admission" in found.problems[0]


@pytest.mark.parametrize(
    ("status", "mode", "pending"),
    [({}, "", True), ({"ready": True}, "enforce", False), ({"ready": False}, "", False)],
)
def test_readiness_of_old_cluster_policies(status: dict[str, Any], mode: str, pending: bool) -> None:
    item = policy("ClusterPolicy", validationFailureAction="enforce") | {"status": status}
    (found,) = kyverno.in_force([item], cast(Writer, None))
    assert (found.mode, found.pending) == (mode, pending)


def test_it_is_an_engine() -> None:
    assert engine("kyverno") is kyverno
