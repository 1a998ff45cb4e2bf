"""What of an object decides, and what a decision says of it: labels, annotations, scopes, exemptions, numbers."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kspec.enforce.decide import MOST_LISTED, decide
from pytest_kspec.enforce.decision import Failure
from tests.enforce.test_decide import breaking
from tests.webhook.reviewing import NOW, container, forbid, pod, policies, policy, request

FRONT = {"namespaceScope": {"namespaceSelector": {"matchLabels": {"tier": "front"}}}}
ELSEWHERE = {"namespaceScope": {"includeNamespaces": ["other"]}}
PRIVILEGED = {"securityContext": {"privileged": True}}


def judge(obj: Any, *made: Any, old: Any = None, labels: dict[str, Any] | None = None) -> Any:
    return decide(request(obj, old), policies(*made), NOW, labels)


def with_metadata(obj: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return obj | {"metadata": obj["metadata"] | metadata}


def test_one_that_is_not_concerned_keeps_no_other_from_denying() -> None:
    away = policy(forbid("hostPID") | ELSEWHERE, name="away")
    here = policy(forbid("hostPID"), name="here")
    for made in ((away, here), (here, away)):
        decision = judge(pod(hostPID=True), *made)
        assert [found.policy.name for found in decision.found] == ["here"]
        assert not decision.allowed


@pytest.mark.parametrize("fails", ["Ignore", "Fail"])
def test_labels_that_are_not_known_are_a_failure_of_their_policy(fails: str) -> None:
    made = policy(forbid("hostPID") | FRONT, name="front", fails=fails)
    other = policy(forbid("hostPID"), "audit", name="audits")
    decision = judge(pod(hostPID=True), made, other)
    what = "the labels of the namespace shop are not known"
    assert decision.failures == (Failure(made, "", what, True, fails == "Fail"),)
    assert [found.policy.name for found in decision.found] == ["audits"]


def test_a_rule_that_broke_is_named_with_its_policy() -> None:
    made = breaking("enforce", "Fail")
    (failure,) = judge(pod(), made).failures
    what = f"{failure.requirement_id} failed with ZeroDivisionError"
    assert failure == Failure(made, made.rules[0].requirement.id, what, True, True)


def test_an_exemption_by_labels_covers_who_has_them() -> None:
    chosen = {"kind": "Pod", "labelSelector": {"app": "agent"}}
    exempt = {"policyExemptions": [{"name": "e", "reason": "r", "resources": [chosen]}]}
    made = policy(forbid("hostPID") | exempt)
    bad = pod(hostPID=True)
    assert judge(with_metadata(bad, labels={"app": "agent"}), made).allowed
    assert not judge(with_metadata(bad, labels={"app": "other"}), made).allowed
    assert not judge(bad, made).allowed


def test_what_only_annotations_say_is_examined() -> None:
    made = policy({"podSecurity": {"enforce": "baseline"}})
    good = pod()
    name = good["spec"]["containers"][0]["name"]
    noted = {f"container.apparmor.security.beta.kubernetes.io/{name}": "unconfined"}
    for _ in range(2):  # the second time, what rules say of the pod without them is known
        assert judge(good, made).allowed
        assert not judge(with_metadata(good, annotations=noted), made).allowed


@pytest.mark.parametrize("exempted", [False, True])
def test_of_many_violations_the_first_are_listed_and_the_others_counted(exempted: bool) -> None:
    many = MOST_LISTED + 3
    exempt = {"policyExemptions": [{"name": "e", "reason": "r", "namespaces": ["shop"]}]} if exempted else {}
    made = policy(forbid("securityContext.privileged", value=True) | exempt)
    decision = judge(
        pod(containers=[container(name=f"c{index}", **PRIVILEGED) for index in range(many)]), made
    )
    listed = decision.exempted if exempted else decision.found
    assert (len(listed), [found.more for found in listed if found.more]) == (MOST_LISTED, [3])
    assert listed[-1].more == 3
    assert listed[-1].finding.container == f"c{MOST_LISTED - 1}"
    assert decision.allowed is exempted
