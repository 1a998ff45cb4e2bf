"""What a decision says in every part: who denies, why, about what; where nothing can be evaluated, too."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import msgspec
import pytest

from pytest_kspec.enforce.decide import LONGEST_VALUE, MOST_ITEMS, decide, not_evaluated, unreadable
from pytest_kspec.enforce.decision import ALLOWED, Decision, Failure, counted
from pytest_kspec.enforce.policy import Policy
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.rules.base import Rule, Violation
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
)

POD = ResourceRef("v1", "Pod", "shop", "web")
EXEMPT = {"name": "e", "reason": "r", "namespaces": ["shop"]}
EVENING = {
    "timeBasedActivation": {"enabled": True, "activePeriods": [{"startTime": "22:00", "endTime": "06:00"}]}
}
FRONT = {"namespaceScope": {"namespaceSelector": {"matchLabels": {"tier": "front"}}}}
ELSEWHERE = {"namespaceScope": {"includeNamespaces": ["other"]}}


def judge(obj: Any, *made: Any, old: Any = None, labels: dict[str, Any] | None = None) -> Any:
    return decide(request(obj, old), policies(*made), NOW, labels)


# -- one policy of several --------------------------------------------------------------------------------------


def test_each_policy_says_what_it_found_and_names_what_others_deny_with_its_own_denial() -> None:
    first, second = policy(forbid("hostPID"), name="first"), policy(forbid("hostIPC"), name="second")
    audits, content = (
        policy(forbid("hostPID"), "audit", name="audits"),
        policy(forbid("shareProcessNamespace"), name="c"),
    )
    decision = judge(pod(hostPID=True, hostIPC=True), first, second, audits, content)
    by = {made.name: decision.by(made) for made in (first, second, audits, content)}
    paths = {
        name: ([f.finding.path for f in said.found], [f.finding.path for f in said.others], said.allowed)
        for name, said in by.items()
    }
    assert paths == {
        "first": (["spec.hostPID"], ["spec.hostIPC"], False),
        "second": (["spec.hostIPC"], ["spec.hostPID"], False),
        "audits": (["spec.hostPID"], [], True),
        "c": ([], [], True),
    }
    assert {said.resource for said in by.values()} == {POD}


def test_what_an_exemption_covers_denies_by_no_policy_of_its_own() -> None:
    exempt = {"policyExemptions": [EXEMPT]}
    one, other = policy(forbid("hostPID") | exempt, name="one"), policy(forbid("hostPID"), name="other")
    decision = judge(pod(hostPID=True), one, other)
    assert (decision.allowed, decision.by(one).allowed, decision.by(other).allowed) == (False, True, False)
    assert len(decision.by(one).exempted) == 1


def test_an_exemption_covers_every_violation_of_its_container_and_none_of_another() -> None:
    exempt = {"policyExemptions": [{"name": "e", "reason": "r", "containers": ["side"]}]}
    made = policy(forbid("ports.hostPort", exists=True) | exempt)
    ports = [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 81}]
    side, app = container(name="side", ports=ports), container(name="app", ports=ports)
    alone = judge(pod(containers=[side]), made)
    assert (alone.allowed, len(alone.exempted)) == (True, 2)
    both = judge(pod(containers=[side, app]), made)
    assert not both.allowed
    shown = [(f.finding.container, f.finding.exemption is None) for f in both.found]
    assert shown == [("app", True), ("app", True), ("side", False), ("side", False)], (
        "what denies comes first"
    )


def test_an_exemption_holds_on_its_clusters_and_until_just_before_its_end() -> None:
    exempt = EXEMPT | {"clusters": ["prod"], "expiresAt": NOW.isoformat()}
    spec = forbid("hostPID") | {"policyExemptions": [exempt]}
    at = {}
    for cluster in ("prod", "test"):
        made = policies(policy(spec, cluster=cluster, at=NOW - timedelta(hours=1)))
        asked = request(pod(hostPID=True))
        at[cluster] = [decide(asked, made, NOW + timedelta(seconds=s)).allowed for s in (-1, 0, 1)]
    assert at == {"prod": [True, False, False], "test": [False, False, False]}


def test_exemptions_of_other_files_hold_beside_those_of_the_specification() -> None:
    more = policy({**forbid("hostPID"), "policyExemptions": [EXEMPT]}).spec.exemptions
    for added, allowed in ((more, True), ((), False)):
        made = Policy(policy(forbid("hostPID")).spec, CHECKSET, cluster="c", more_exemptions=added, now=NOW)
        assert judge(pod(hostPID=True), made).allowed is allowed


def test_an_object_exempts_itself_where_its_policy_allows_it_and_until_it_ends() -> None:
    allowed = {"annotationExemptions": {"checks": ["workloads.*"], "maxSeverity": "critical"}}
    bad = pod(hostPID=True)
    until = NOW + timedelta(days=1)
    note = {"kspec.io/exempt.workloads.containers.forbidden": f"agent (T-7); until={until.isoformat()}"}
    carrying = bad | {"metadata": bad["metadata"] | {"annotations": note}}
    made = policies(policy(forbid("hostPID") | allowed))
    moments = [NOW, until - timedelta(seconds=1), until]
    assert [decide(request(carrying), made, at).allowed for at in moments] == [True, True, False]
    assert not decide(request(bad), made, NOW).allowed
    assert not judge(carrying, policy(forbid("hostPID"))).allowed, "the policy does not allow it"
    for namespace, reason in (("other", "agent (T-7)"), ("shop", "r")):
        beside = {"policyExemptions": [EXEMPT | {"namespaces": [namespace]}]}
        (found,) = judge(carrying, policy(forbid("hostPID") | allowed | beside)).exempted
        assert found.finding.exemption is not None
        assert found.finding.exemption.reason == reason


def test_a_rule_that_broke_is_asked_again() -> None:
    """What it says of a pod is remembered, but not that it could not say anything."""
    made = policy(forbid("hostPID"), fails="Ignore")
    plan = made._timed.plan

    class BreaksOnce:
        reason = "breaks"
        asked = 0

        def evaluate(self, pod: Any) -> Any:
            self.asked += 1
            if self.asked == 1:
                raise ZeroDivisionError
            return cast(Rule, plan.rules[0].rule).evaluate(pod)

    rule = BreaksOnce()
    made._timed = replace(
        made._timed, plan=replace(plan, rules=(replace(plan.rules[0], rule=cast(Rule, rule)),))
    )
    known = policies(made)
    decisions = [decide(request(pod(hostPID=True)), known, NOW) for _ in range(3)]
    assert [decision.allowed for decision in decisions] == [True, False, False]
    assert rule.asked == 2


def test_an_object_of_a_kind_that_is_not_evaluated_is_of_the_kind_of_its_request() -> None:
    made = policies(policy(forbid("hostPID")))
    kind, resource = (
        {"group": "", "version": "v1"} | said for said in ({"kind": "ConfigMap"}, {"resource": "configmaps"})
    )
    hidden = request(pod(hostPID=True), kind=kind, resource=resource)
    assert not decide(hidden, made, NOW).allowed
    plain = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web", "namespace": "shop"}}
    assert decide(request(pod(), kind=kind, resource=resource, object=plain), made, NOW) is ALLOWED


def test_a_failure_is_said_by_its_policy_and_one_of_all_by_each() -> None:
    one, other = policy(forbid("hostPID"), name="one"), policy(forbid("hostPID"), name="other")
    own, every = Failure(one, "", "own", True, True), Failure(None, "", "every", True, False)
    decision = Decision(False, (), (own, every), POD)
    assert decision.by(one) == Decision(False, (), (own, every), POD)
    assert decision.by(other) == Decision(True, (), (every,), POD)


def test_violations_that_are_not_listed_are_counted() -> None:
    (found,) = judge(pod(hostPID=True), policy(forbid("hostPID"))).found
    assert counted([found, replace(found, more=3), replace(found, more=4)]) == 10


# -- nothing can be evaluated -----------------------------------------------------------------------------------


def test_every_policy_that_may_concern_a_request_fails_and_no_other_one() -> None:
    closed, open_ = policy(forbid("hostPID"), fails="Fail", name="closed"), policy(forbid("hostPID"))
    skipped = [policy(forbid("hostPID") | part, fails="Fail") for part in (ELSEWHERE, EVENING)]
    decision = not_evaluated(
        request(pod()), policies(*skipped, closed, open_), NOW, None, "why", internal=True
    )
    failures = (Failure(closed, "", "why", True, True), Failure(open_, "", "why", True, False))
    assert decision == Decision(False, (), failures, POD)
    (failure,) = not_evaluated(request(pod()), policies(open_), NOW, None, "why", internal=False).failures
    assert failure == Failure(open_, "", "why", False, False)


def test_the_object_of_a_decision_without_evaluation_is_that_of_the_request() -> None:
    decision = not_evaluated(request(deployment({})), policies(), NOW, None, "why", internal=True)
    assert decision == Decision(True, (), (), ResourceRef("apps/v1", "Deployment", "shop", "web"))


@pytest.mark.parametrize(
    ("part", "labels", "later", "concerned"),
    [
        (FRONT, None, 0, True),
        (FRONT, {"tier": "front"}, 0, True),
        (FRONT, {"tier": "back"}, 0, False),
        (EVENING, None, 0, False),
        (EVENING, None, 11, True),
        (ELSEWHERE, None, 0, False),
    ],
)
def test_labels_times_and_names_say_whether_a_policy_may_be_concerned(
    part: dict[str, Any], labels: dict[str, Any] | None, later: int, concerned: bool
) -> None:
    made = policy(forbid("hostPID") | part)
    moment = NOW + timedelta(hours=later)
    for of in (not_evaluated, unreadable):
        options = {"internal": False} if of is not_evaluated else {}
        decision = of(request(pod()), policies(made), moment, labels, "why", **options)
        assert [failure.policy for failure in decision.failures] == [made] * concerned
    assert decision.allowed is not concerned, "who enforces denies what cannot be read"


def test_labels_that_are_not_known_matter_only_where_the_name_is_in_scope() -> None:
    elsewhere = {"namespaceScope": FRONT["namespaceScope"] | ELSEWHERE["namespaceScope"]}
    made = policy(forbid("hostPID") | elsewhere, fails="Fail")
    assert judge(pod(hostPID=True), made) is ALLOWED
    here = {"namespaceScope": FRONT["namespaceScope"] | {"includeNamespaces": ["shop"]}}
    assert not judge(pod(hostPID=True), policy(forbid("hostPID") | here, fails="Fail")).allowed


def test_without_its_namespace_a_request_may_be_about_any() -> None:
    nowhere = msgspec.structs.replace(request(pod()), namespace="")
    for part in (ELSEWHERE, EVENING):
        made = policy(forbid("hostPID") | part)
        assert len(not_evaluated(nowhere, policies(made), NOW, None, "why", internal=False).failures) == 1
    # A kind that is not evaluated may have none.
    kind = msgspec.structs.replace(nowhere.kind, kind="PersistentVolume")
    other = msgspec.structs.replace(nowhere, kind=kind)
    assert not_evaluated(other, policies(made), NOW, None, "why", internal=False).failures == ()


def test_what_cannot_be_read_is_denied_by_who_enforces_whatever_its_failure_policy() -> None:
    enforces = [policy(forbid("hostPID"), fails=fails, name=fails) for fails in ("Fail", "Ignore")]
    audits = policy(forbid("hostPID"), "audit", fails="Fail", name="a")
    decision = unreadable(request(pod()), policies(*enforces, audits), NOW, None, "why")
    failures = tuple(Failure(made, "", "why", False, made is not audits) for made in (*enforces, audits))
    assert decision == Decision(False, (), failures, POD)
    assert unreadable(request(pod()), policies(audits), NOW, None, "why").allowed


# -- a change ---------------------------------------------------------------------------------------------------


def test_a_change_of_annotations_that_rules_read_is_examined() -> None:
    unconfined = "container.apparmor.security.beta.kubernetes.io/app"
    old = pod(hostPID=True)
    made = policy(forbid("hostPID"))

    def annotated(**annotations: str) -> dict[str, Any]:
        return {**old, "metadata": old["metadata"] | {"annotations": annotations}}

    assert judge(annotated(note="b"), made, old=annotated(note="a")) is ALLOWED
    assert judge(annotated(**{unconfined: "x"}), made, old=annotated(**{unconfined: "x"})) is ALLOWED
    assert not judge(annotated(**{unconfined: "x"}), made, old=annotated(**{unconfined: "y"})).allowed
    assert not judge(annotated(**{unconfined: "x"}), made, old=old).allowed


def test_a_service_without_a_spec_has_the_default_type() -> None:
    made = policy({"network": {"allowedServiceTypes": ["NodePort"]}})
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "shop"}}
    (found,) = judge(service, made).found
    assert (found.finding.path, found.finding.actual) == ("spec.type", None)


# -- what is shown of a value -----------------------------------------------------------------------------------


class Shows:
    reason = "shows"

    def __init__(self, actual: Any) -> None:
        self.actual = actual

    def evaluate(self, pod: Any) -> list[Violation]:
        return [Violation("spec.x", self.actual, "another value")]


def shown(actual: Any) -> Any:
    made = policy(forbid("hostPID"))
    plan = made._timed.plan
    rules = tuple(replace(rule, rule=Shows(actual)) for rule in plan.rules)
    made._timed = replace(made._timed, plan=replace(plan, rules=rules))
    (found,) = judge(pod(), made).found
    assert (found.finding.resource, found.finding.owner) == (POD, POD)
    return found.finding.actual


def test_small_values_are_shown_whole() -> None:
    for value in (None, 5, False, "text", ["a", {"b": [1, "c"]}], {"k": {"l": ["m"]}}):
        assert shown(value) == value


def test_of_large_values_as_much_is_shown_as_is_ever_read() -> None:
    text = "x " * LONGEST_VALUE
    cut = text[: LONGEST_VALUE - 1] + "…"
    assert shown(text) == cut
    assert shown([text] * 9) == [cut] * 2
    assert shown({f"k{i}": text for i in range(9)}) == {"k0": cut, "k1": cut}
    assert shown([[text], [text], [text], [text]]) == [[cut], [cut]]
    assert shown([text, "y", text, "z"]) == [cut, "y", cut]
    assert shown(list(range(MOST_ITEMS + 9))) == list(range(MOST_ITEMS))
    assert list(shown({str(i): i for i in range(MOST_ITEMS + 9)})) == [str(i) for i in range(MOST_ITEMS)]
