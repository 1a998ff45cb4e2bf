"""What one request leads to: the same rules, exemptions, scope and times as in a scan, all policies together."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.enforce.decide import decide, not_evaluated
from pytest_kspec.enforce.decision import ALLOWED
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.plan import enforcement_plan
from pytest_kspec.enforce.policy import Policy
from pytest_kspec.enforce.preview import preview
from pytest_kspec.rules.base import Rule
from pytest_kspec.spec.loading import spec_from_part
from tests.webhook.reviewing import (
    CHECKSET,
    NOW,
    container,
    deployment,
    forbid,
    pod,
    policies,
    policy,
    request,
    require,
)

PRIVILEGED = {"securityContext": {"privileged": True}}
NO_HOST_NETWORK = forbid("hostNetwork")


def judge(
    obj: Any,
    *made: Any,
    old: Any = None,
    labels: dict[str, Any] | None = None,
    moment: Any = NOW,
    **options: Any,
) -> Any:
    return decide(request(obj, old, **options), policies(*made), moment, labels)


def ids(found: Any) -> list[Any]:
    return sorted({item.rule.requirement.id for item in found})


def test_a_forbidden_boolean_without_a_value_is_about_true_and_never_denies_its_absence() -> None:
    for spec, allowed in (({}, True), ({"hostNetwork": False}, True), ({"hostNetwork": True}, False)):
        assert judge(pod(**spec), policy(NO_HOST_NETWORK)).allowed is allowed
    false = policy(forbid("securityContext.privileged"))
    assert judge(pod(containers=[container(securityContext={"privileged": False})]), false).allowed
    assert not judge(pod(containers=[container(**PRIVILEGED)]), false).allowed


def test_a_policy_that_audits_never_hides_one_that_enforces_and_all_violations_are_in_one_answer() -> None:
    audit = policy(forbid("hostPID"), "audit", name="a-audit")
    enforce = policy(
        {
            "podSecurity": {"enforce": "baseline"},
            "workloads": {"images": {"requireDigests": True}},
        },
        name="b-enforce",
    )
    bad = pod(hostPID=True, containers=[container(**PRIVILEGED), container(name="two", **PRIVILEGED)])
    for order in ((audit, enforce), (enforce, audit)):
        decision = judge(bad, *order)
        assert not decision.allowed
        assert ids(decision.of(Mode.ENFORCE)) == [
            "podSecurity.standard[hostNamespaces]",
            "podSecurity.standard[privileged]",
            "workloads.images.requireDigests",
        ]
        assert len([f for f in decision.of(Mode.ENFORCE) if "privileged" in f.text]) == 2
        assert ids(decision.of(Mode.AUDIT)) == ["workloads.containers.forbidden[hostPID]"]
        for text in ("containers[app]", "containers[two]", "hostPID", "requireDigests"):
            assert text in decision.message
        assert decision.warnings == [
            "kspec: a-audit: spec.hostPID is true, must be unset or false [workloads.containers.forbidden[hostPID]]"
        ]


@pytest.mark.parametrize("where", ["initContainers", "ephemeralContainers", "containers"])
def test_every_list_of_containers_is_examined(where: str) -> None:
    lists = {"containers": [container()], where: [container(name="other", **PRIVILEGED)]}
    decision = judge(pod(**lists), policy({"podSecurity": {"enforce": "baseline"}}))
    assert [item.finding.path for item in decision.of(Mode.ENFORCE)] == [
        f"spec.{where}[other].securityContext.privileged"
    ]


def test_an_ephemeral_container_that_is_added_is_examined() -> None:
    old = pod()
    new = pod(ephemeralContainers=[container(name="debug", **PRIVILEGED)])
    decision = judge(
        new, policy({"podSecurity": {"enforce": "baseline"}}), old=old, subResource="ephemeralcontainers"
    )
    assert not decision.allowed


def test_a_container_that_takes_back_what_its_pod_promises_is_denied() -> None:
    needs = policy(require("securityContext.runAsNonRoot"))
    safe = {"securityContext": {"runAsNonRoot": True}}
    assert judge(pod(**safe), needs).allowed
    root = container(securityContext={"runAsNonRoot": False})
    assert not judge(pod(**safe, containers=[root]), needs).allowed


@pytest.mark.parametrize(
    "key",
    ["securityContext.readOnlyRootFilesystem", "resources.limits.cpu", "securityContext.capabilities.drop"],
)
def test_every_key_that_a_scan_knows_is_enforced(key: str) -> None:
    exists = {} if key.endswith("Filesystem") else {"exists": True}
    assert not judge(pod(), policy(require(key, **exists))).allowed


def test_registries_are_compared_as_references_and_not_as_text() -> None:
    blocked = policy({"workloads": {"images": {"blockedRegistries": ["docker.io", "gcr.io"]}}})
    for image, allowed in (
        ("nginx", False),
        ("gcr.io/app", False),
        ("gcr.io.evil/app", True),
        ("quay.io/a", True),
        ("x", False),
    ):
        assert judge(pod(containers=[container(image=image)]), blocked).allowed is allowed, image


def test_exemptions_of_pod_security_and_of_policies_hold_at_admission() -> None:
    levels = policy(
        {
            "podSecurity": {
                "enforce": "restricted",
                "exemptions": [{"namespace": "shop", "level": "privileged", "expiresAt": "2026-06-30"}],
            }
        }
    )
    bad = pod(containers=[container(**PRIVILEGED)])
    assert judge(bad, levels) is ALLOWED
    assert not judge(bad, levels, moment=NOW + timedelta(days=40)).allowed
    accepted = policy(
        NO_HOST_NETWORK
        | {
            "policyExemptions": [
                {"name": "router", "reason": "routes", "namespaces": ["shop"], "expiresAt": "2026-06-02"}
            ]
        }
    )
    decision = judge(pod(hostNetwork=True), accepted)
    assert decision.allowed
    assert [item.finding.exemption.name for item in decision.exempted] == ["router"]
    assert decision.warnings == []
    assert not judge(pod(hostNetwork=True), accepted, moment=NOW + timedelta(days=2)).allowed
    assert judge(pod(hostNetwork=True), accepted).allowed


def test_an_exemption_of_a_deployment_covers_its_pods_as_in_a_scan() -> None:
    part = NO_HOST_NETWORK | {
        "policyExemptions": [
            {"name": "web", "reason": "r", "resources": [{"kind": "Deployment", "name": "web"}]}
        ]
    }
    owned = pod(hostNetwork=True)
    owned["metadata"] |= {
        "labels": {"pod-template-hash": "5d4f"},
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d4f", "controller": True}
        ],
    }
    assert judge(deployment(pod(hostNetwork=True)["spec"]), policy(part)).allowed
    assert judge(owned, policy(part)).allowed
    assert not judge(pod(hostNetwork=True), policy(part)).allowed


def test_templates_of_controllers_are_examined_with_their_own_paths() -> None:
    decision = judge(deployment(pod(hostNetwork=True)["spec"]), policy(NO_HOST_NETWORK))
    assert [item.finding.path for item in decision.found] == ["spec.template.spec.hostNetwork"]
    cron = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": "n", "namespace": "shop"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": pod(hostNetwork=True)["spec"]}}}},
    }
    assert [item.finding.path for item in judge(cron, policy(NO_HOST_NETWORK)).found] == [
        "spec.jobTemplate.spec.template.spec.hostNetwork"
    ]


def test_services_are_examined() -> None:
    made = policy({"network": {"allowedServiceTypes": ["ClusterIP"], "disallowedPorts": [22]}})
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s", "namespace": "shop"},
        "spec": {"type": "NodePort", "ports": [{"port": 22}]},
    }
    decision = judge(service, made)
    assert ids(decision.found) == ["network.allowedServiceTypes", "network.disallowedPorts"]
    assert judge({**service, "spec": {"ports": [{"port": 80}]}}, made).allowed
    assert judge(service, made, old=service) is ALLOWED


def test_a_change_that_leaves_the_pod_as_it_is_passes_and_one_that_does_not_is_examined() -> None:
    made = policy(NO_HOST_NETWORK)
    old = pod(hostNetwork=True)
    labelled = {**old, "metadata": old["metadata"] | {"labels": {"a": "b"}, "annotations": {"x": "y"}}}
    assert judge(labelled, made, old=old) is ALLOWED
    shuffled = {**old, "spec": dict(reversed(old["spec"].items()))}
    assert judge(shuffled, made, old=old) is ALLOWED
    changed = pod(hostNetwork=True, containers=[container(image="x:2")])
    assert not judge(changed, made, old=old).allowed
    scaled = deployment(old["spec"])
    more = {**scaled, "spec": scaled["spec"] | {"replicas": 5}}
    assert judge(more, made, old=scaled) is ALLOWED


def test_what_is_marked_for_deletion_can_lose_its_finalizers_and_be_deleted() -> None:
    made = policy(NO_HOST_NETWORK)
    going = pod(hostNetwork=True, terminationGracePeriodSeconds=0)
    going["metadata"] |= {"deletionTimestamp": "2026-06-01T00:00:00Z", "finalizers": []}
    before = {**going, "metadata": going["metadata"] | {"finalizers": ["example.com/held"]}}
    before["spec"] = going["spec"] | {"terminationGracePeriodSeconds": 30}
    assert judge(going, made, old=before) is ALLOWED
    # Nobody but the API server marks what is stored: a mark that the old object does not have proves nothing.
    assert not judge(going, made, old=pod(hostNetwork=True)).allowed
    assert judge(None, made, old=pod(hostNetwork=True)) is ALLOWED


def test_monitor_says_nothing_and_a_specification_without_a_mode_monitors() -> None:
    for made in (policy(NO_HOST_NETWORK, "monitor"), policy(NO_HOST_NETWORK, None)):
        decision = judge(pod(hostNetwork=True), made)
        assert decision.allowed
        assert decision.warnings == []
        assert len(decision.of(Mode.MONITOR)) == 1
    spec = spec_from_part(NO_HOST_NETWORK | {"enforcement": {"enabled": True}})
    assert Policy(spec, CHECKSET, cluster="c").mode is Mode.MONITOR


def test_scope_by_name_and_by_labels() -> None:
    named = policy(NO_HOST_NETWORK | {"namespaceScope": {"excludeNamespaces": ["sh*"]}})
    assert judge(pod(hostNetwork=True), named).allowed
    selector = {"namespaceSelector": {"matchLabels": {"tier": "front"}}}
    labelled = policy(NO_HOST_NETWORK | {"namespaceScope": selector})
    assert judge(pod(hostNetwork=True), labelled, labels={"tier": "back"}).allowed
    assert not judge(pod(hostNetwork=True), labelled, labels={"tier": "front"}).allowed


@pytest.mark.parametrize(("fails", "allowed"), [("Ignore", True), ("Fail", False)])
def test_unknown_labels_of_a_namespace_are_an_error_and_never_a_pass(fails: str, allowed: bool) -> None:
    scope = {"namespaceScope": {"namespaceSelector": {"matchLabels": {"tier": "front"}}}}
    decision = judge(pod(hostNetwork=True), policy(NO_HOST_NETWORK | scope, fails=fails))
    assert decision.allowed is allowed
    assert decision.is_internal_error
    assert decision.failed_open is allowed
    assert judge(pod(), policy(NO_HOST_NETWORK | scope, fails=fails)) is ALLOWED


def test_a_specification_is_enforced_in_its_periods_only() -> None:
    part = {
        "timeBasedActivation": {
            "enabled": True,
            "activePeriods": [{"startTime": "22:00", "endTime": "06:00"}],
        }
    }
    made = policy(NO_HOST_NETWORK | part)
    assert judge(pod(hostNetwork=True), made).allowed
    assert not judge(pod(hostNetwork=True), made, moment=NOW + timedelta(hours=11)).allowed
    assert not judge(pod(hostNetwork=True), made, moment=NOW + timedelta(hours=17)).allowed


class Breaks:
    reason = "breaks"

    def evaluate(self, pod: dict[str, Any]) -> None:
        raise ZeroDivisionError("secret text of the object")


def breaking(mode: Any, fails: Any) -> Any:
    made = policy(NO_HOST_NETWORK, mode, fails=fails)
    plan = made._timed.plan
    rules = tuple(replace(rule, rule=cast(Rule, Breaks())) for rule in plan.rules)
    made._timed = replace(made._timed, plan=replace(plan, rules=rules))
    return made


@pytest.mark.parametrize(
    ("mode", "fails", "allowed"),
    [
        ("enforce", "Fail", False),
        ("enforce", "Ignore", True),
        ("audit", "Fail", True),
        ("monitor", "Fail", True),
    ],
)
def test_a_rule_that_breaks_denies_or_allows_as_the_specification_says(
    mode: str, fails: str, allowed: bool
) -> None:
    other = policy(forbid("hostPID"), "audit", name="other")
    decision = judge(pod(hostPID=True), breaking(mode, fails), other)
    assert decision.allowed is allowed
    assert decision.is_internal_error
    assert "secret" not in decision.message + str(decision.warnings)
    assert len(decision.of(Mode.AUDIT)) == 1, "the other rules are evaluated all the same"
    if mode == "enforce" and allowed:
        assert decision.failed_open
        assert any("not evaluated" in text for text in decision.warnings)


def test_what_kubernetes_does_not_allow_is_denied_by_who_enforces_and_is_not_our_fault() -> None:
    for wrong in (
        {**pod(), "spec": 5},
        pod(containers="x"),
        {**pod(), "metadata": {"labels": 5, "name": "a"}},
    ):
        denied = judge(wrong, policy(forbid("securityContext.privileged")))
        assert not denied.allowed
        assert not denied.is_internal_error
        assert judge(wrong, policy(forbid("securityContext.privileged"), "audit")).allowed


@pytest.mark.parametrize("containers", [None, [], "missing"])
def test_a_pod_without_containers_is_denied_by_who_enforces(containers: list[Any] | str | None) -> None:
    bare = pod(containers=containers)
    if containers == "missing":
        del bare["spec"]["containers"]
    said = {"None": "null", "[]": "empty"}.get(str(containers), "missing")
    for obj, path in ((bare, "spec"), (deployment(bare["spec"]), "spec.template.spec")):
        decision = judge(obj, policy(forbid("securityContext.privileged")))
        assert not decision.allowed
        assert not decision.is_internal_error
        assert [f.what for f in decision.failures] == [
            f"{path}.containers is {said}; Kubernetes requires a container there"
        ]
        assert judge(obj, policy(forbid("securityContext.privileged"), "audit")).allowed


def test_without_evaluation_each_policy_does_as_its_failure_policy_says() -> None:
    closed, open_ = policy(NO_HOST_NETWORK, fails="Fail"), policy(NO_HOST_NETWORK)
    asked = request(pod())
    assert not not_evaluated(asked, policies(open_, closed), NOW, None, "x", internal=True).allowed
    decision = not_evaluated(asked, policies(open_), NOW, None, "x", internal=True)
    assert decision.allowed
    assert decision.failed_open
    elsewhere = policy(
        NO_HOST_NETWORK | {"namespaceScope": {"includeNamespaces": ["other"]}}, fails="Fail", name="e"
    )
    assert not_evaluated(asked, policies(elsewhere), NOW, None, "x", internal=True).failures == ()
    audits = policy(NO_HOST_NETWORK, "audit", fails="Fail")
    assert not_evaluated(asked, policies(audits), NOW, None, "x", internal=True).allowed


def test_two_hundred_containers_are_all_named_within_the_length_of_an_answer() -> None:
    many = pod(containers=[container(name=f"c{i}", **PRIVILEGED) for i in range(200)])
    decision = judge(many, policy({"podSecurity": {"enforce": "restricted"}}))
    assert len([f for f in decision.found if f.finding.path.endswith("privileged")]) == 200


@pytest.mark.parametrize(
    ("broken", "path"),
    [
        ({"hostNetwork": "yes"}, "spec.template.spec.hostNetwork is text"),
        ({"containers": []}, "spec.template.spec.containers is "),
        ({"containers": None}, "spec.template.spec.containers is "),
    ],
)
def test_what_kubernetes_does_not_allow_is_named_by_its_path_in_the_template(
    broken: dict[str, Any], path: str
) -> None:
    obj = deployment(pod(**broken)["spec"])
    made = policy(NO_HOST_NETWORK)
    (failure,) = judge(obj, made).failures
    assert failure.what.startswith(path), failure.what
    shown = preview(
        enforcement_plan(made.spec, CHECKSET, now=NOW), Inventory(MemorySource([obj])), "prod"
    ).errors
    assert [line.startswith(f"Deployment shop/web: {path}") for line in shown] == [True], shown
