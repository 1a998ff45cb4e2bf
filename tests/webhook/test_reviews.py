"""One review from bytes to bytes: whatever goes wrong the uid comes back, and everything said is counted."""

import asyncio
import logging
import re
import time
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_kspec.enforce.admission import NotAReview
from pytest_kspec.observe.table import BY_NAME
from pytest_kspec.webhook.breaker import Breaker, State
from pytest_kspec.webhook.metrics import Metrics
from pytest_kspec.webhook.reviews import Reviewer, is_open
from tests.enforce.test_decide import breaking
from tests.webhook.reviewing import NOW, body, forbid, pod, policies, policy, response

UID = "705ab4f5-6393-11e8-b7cc-42010a800002"
BAD = pod(hostNetwork=True)
RULE = forbid("hostNetwork")


class Kept(list[Any]):
    put = list.append


class Clock:
    now = 0.0

    def __call__(self) -> Any:
        return self.now


class Keeping(Reviewer):
    """One that keeps what it tells."""

    audit: Kept
    events: Kept


def reviewer(*made: Any, clock: Any = time.monotonic, **options: Any) -> Keeping:
    return Keeping(
        Metrics(),
        Breaker(clock),
        policies=policies(*made),
        audit=Kept(),
        events=Kept(),
        now=lambda: NOW,
        **options,
    )


def ask(made: Any, *args: Any, **options: Any) -> Any:
    return response(asyncio.run(made.review(body(*args, **options))))


def counted(made: Any, name: str, **labels: Any) -> Any:
    return made.metrics.registry.value(name, *(labels[label] for label in BY_NAME[name].labels)) or 0.0


def test_what_nobody_minds_is_allowed_and_leaves_no_record() -> None:
    made = reviewer(policy(RULE))
    assert ask(made, pod()) == {"uid": UID, "allowed": True}
    assert made.audit == []
    assert counted(made, "kspec_webhook_validation_results_total", result="allowed", mode="") == 1


def test_a_denial_is_answered_counted_audited_and_becomes_an_event() -> None:
    made = reviewer(policy(RULE))
    answer = ask(made, BAD)
    assert answer["uid"] == UID
    assert answer["allowed"] is False
    assert answer["status"]["code"] == 403
    assert "spec.hostNetwork is true" in answer["status"]["message"]
    assert answer["auditAnnotations"] == {"denied": "workloads.containers.forbidden[hostNetwork]"}
    (entry,) = made.audit
    assert made.events == [entry]
    assert (entry["action"], entry["user"], entry["resource"]["name"]) == ("denied", "alice", "web")
    assert counted(made, "kspec_policy_enforcement_actions_total", policy="strict", action="denied") == 1
    assert counted(made, "kspec_webhook_validation_results_total", result="denied", mode="enforce") == 1
    assert counted(made, "kspec_webhook_requests_total", result="success") == 1


def test_warnings_and_exemptions_are_audited_too() -> None:
    accepted = {"policyExemptions": [{"name": "e", "reason": "r", "approver": "bob", "namespaces": ["shop"]}]}
    made = reviewer(policy(RULE, "audit", name="a"), policy(RULE | accepted, name="b"))
    answer = ask(made, BAD)
    assert answer["allowed"] is True
    assert [text.partition(": ")[2][:2] for text in answer["warnings"]] == ["a:"]
    (entry,) = made.audit
    assert entry["action"] == "warned"
    assert [(v["policy"], v["action"]) for v in entry["violations"]] == [("a", "warned"), ("b", "exempted")]
    assert entry["violations"][1]["exemption"]["approver"] == "bob"
    assert counted(made, "kspec_policy_enforcement_actions_total", policy="b", action="exempted") == 1


def test_a_dry_run_is_answered_the_same_and_makes_no_event() -> None:
    made = reviewer(policy(RULE))
    assert ask(made, BAD, dryRun=True)["allowed"] is False
    assert made.events == []
    assert [entry["dryRun"] for entry in made.audit] == [True]


@pytest.mark.parametrize(("fails", "allowed"), [("Ignore", True), ("Fail", False)])
def test_a_rule_that_panics_is_answered_with_the_uid(fails: str, allowed: bool) -> None:
    made = reviewer(breaking("enforce", fails))
    answer = ask(made, pod())
    assert answer["uid"] == UID
    assert answer["allowed"] is allowed
    assert counted(made, "kspec_webhook_requests_total", result="error") == 1
    assert counted(made, "kspec_webhook_fail_open_total") == float(allowed)
    assert made.audit[0]["action"] == ("failed-open" if allowed else "denied")
    assert ("not evaluated" in str(answer.get("warnings"))) is allowed


class NoLabels:
    async def of(self, namespace: str) -> None:
        raise RuntimeError(f"secret of {namespace}")


@pytest.mark.parametrize(("fails", "allowed"), [("Ignore", True), ("Fail", False)])
def test_what_breaks_outside_of_rules_is_answered_too(
    fails: str, allowed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    scope = {"namespaceScope": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}
    made = reviewer(policy(RULE | scope, fails=fails), labels=NoLabels())
    answer = ask(made, BAD)
    assert (answer["uid"], answer["allowed"]) == (UID, allowed)
    assert "RuntimeError at" in caplog.text
    assert "labels of the namespace shop: RuntimeError at" in caplog.text
    assert "secret" not in caplog.text


class Labels:
    def __init__(self) -> None:
        self.asked: list[str] = []

    async def of(self, namespace: str) -> dict[str, str]:
        self.asked.append(namespace)
        return {"a": "b" if namespace == "shop" else "c"}


def test_the_labels_of_its_namespace_decide_who_is_concerned() -> None:
    scope = {"namespaceScope": {"namespaceSelector": {"matchLabels": {"a": "b"}}}}
    known = Labels()
    made = reviewer(policy(RULE | scope, fails="Fail"), labels=known)
    elsewhere = BAD | {"metadata": BAD["metadata"] | {"namespace": "other"}}
    assert [ask(made, bad)["allowed"] for bad in (BAD, elsewhere)] == [False, True]
    assert known.asked == ["shop", "other"]
    assert counted(made, "kspec_webhook_requests_total", result="success") == 2
    asks_nobody = reviewer(policy(RULE), labels=known)
    assert ask(asks_nobody, BAD)["allowed"] is False
    assert known.asked == ["shop", "other"]


@pytest.mark.parametrize(("fails", "allowed"), [("Ignore", True), ("Fail", False)])
def test_an_open_breaker_answers_as_the_specification_says_and_closes_again(
    fails: str, allowed: bool
) -> None:
    clock = Clock()
    made = reviewer(breaking("enforce", fails), clock=clock)
    for _ in range(10):
        ask(made, pod())
    assert made.breaker.state is State.OPEN
    good = policies(policy(RULE, fails=fails))
    made.policies = good
    answer = ask(made, pod())
    assert (answer["uid"], answer["allowed"]) == (UID, allowed)
    assert counted(made, "kspec_webhook_requests_total", result="circuit_breaker_tripped") == 1
    assert counted(made, "kspec_webhook_fail_open_total") == (11 if allowed else 0)
    assert "breaker" in made.audit[-1]["failures"][0]["what"]
    if allowed:
        assert "breaker" in answer["warnings"][0]
    clock.now += 300
    for _ in range(5):
        assert ask(made, pod())["allowed"] is True
    assert made.breaker.state is State.CLOSED
    assert ask(made, BAD)["allowed"] is False


GARBAGE = [
    b"",
    b"{",
    b"[]",
    b"null",
    b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1"}',
    b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":null}',
    b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1","request":{"uid":"","kind":{}}}',
    b'{"kind":"AdmissionReview","apiVersion":"admission.k8s.io/v1beta1","request":{"uid":"1","kind":{}}}',
    b"\xff\xfe",
    b"[" * 100_000,
]


def test_behind_an_open_breaker_the_policy_that_is_asked_for_decides_alone() -> None:
    clock = Clock()
    made = reviewer(breaking("enforce", "Fail"), clock=clock)
    assert is_open(made.breaker) == 0.0
    for _ in range(10):
        ask(made, pod())
    assert is_open(made.breaker) == 1.0
    opens = policy(RULE, fails="Ignore", name="opens")
    made.policies = policies(policy(RULE, fails="Fail", name="closes"), opens)
    for only, allowed in (("", False), ("closes", False), ("opens", True)):
        assert response(made.at_once(body(pod()), only))["allowed"] is allowed
    assert response(asyncio.run(made.review(body(pod()), opens)))["allowed"] is True
    clock.now += 300
    assert is_open(made.breaker) == 0.0, "some are evaluated again, to see"


def test_denials_alone_are_told_to_who_listens_to_them_and_no_dry_run() -> None:
    for mode, options, told in (("enforce", {}, 1), ("enforce", {"dryRun": True}, 0), ("audit", {}, 0)):
        denied: list[Any] = []
        made = reviewer(policy(RULE, mode), denied=denied.append)
        ask(made, BAD, **options)
        assert (len(denied), len(made.audit)) == (told, 1)


def test_what_has_to_be_waited_for_is_not_answered_at_once() -> None:
    """Without the labels of its namespace, a review would be decided by the failure policy."""
    front = {"namespaceScope": {"namespaceSelector": {"matchLabels": {"tier": "front"}}}}
    assert reviewer(policy(RULE)).answers_at_once(10)
    assert reviewer(policy(RULE), labels=Kept()).answers_at_once(10)
    assert not reviewer(policy(RULE | front), labels=Kept()).answers_at_once(10)
    assert reviewer(policy(RULE | front)).answers_at_once(10), "there is no one to ask"
    large = reviewer(policy(RULE), large=SimpleNamespace(above=100))
    assert [large.answers_at_once(size) for size in (100, 101)] == [True, False]
    large.policies = None
    assert not large.answers_at_once(10)


def test_the_policy_that_is_asked_for_decides_alone() -> None:
    """Each registration names its own: it does not deny for another one's sake."""
    made = reviewer(policy(RULE, name="first"), policy(forbid("hostPID"), name="second"))
    for only, allowed in (("", False), ("first", False), ("second", True)):
        assert response(made.at_once(body(BAD), only))["allowed"] is allowed
        said = asyncio.run(made.review(body(BAD), made.policy(only)))
        assert response(said)["allowed"] is allowed


def test_before_there_are_policies_none_has_a_name() -> None:
    made = reviewer()
    assert made.policy("strict") is None
    made.policies = None
    assert made.policy("strict") is None
    strict = policy(RULE)
    made.policies = policies(strict)
    assert made.policy("strict") is strict


def test_garbage_of_clients_is_refused_counted_and_cannot_open_the_breaker() -> None:
    made = reviewer(policy(RULE))
    for _ in range(50):
        for junk in GARBAGE:
            with pytest.raises(NotAReview):
                asyncio.run(made.review(junk))
    wrong = pod(containers=5)
    for _ in range(50):
        assert ask(made, wrong)["allowed"] is False
    assert made.breaker.state is State.CLOSED
    assert made.breaker.error_rate == 0
    assert counted(made, "kspec_webhook_requests_total", result="bad_request") == 50 * len(GARBAGE)


def test_excluded_namespaces_are_allowed_and_none_is_excluded_by_its_name_alone() -> None:
    system = {**BAD, "metadata": {"name": "a", "namespace": "kube-system"}}
    assert ask(reviewer(policy(RULE)), system)["allowed"] is False
    made = reviewer(policy(RULE), excluded=frozenset({"kube-system"}))
    for answer in (ask(made, system), response(made.at_once(body(system), ""))):
        assert answer == {"uid": UID, "allowed": True}
    assert made.audit == []
    assert made.breaker.evaluations == 0
    assert counted(made, "kspec_webhook_requests_total", result="success") == 2
    assert response(made.at_once(body(BAD), ""))["allowed"] is False
    assert made.breaker.evaluations == 1


def test_what_failed_open_is_logged_and_every_review_is_timed(caplog: pytest.LogCaptureFixture) -> None:
    made = reviewer(breaking("enforce", "Ignore"))
    with caplog.at_level(logging.WARNING, "kspec.webhook"):
        ask(made, pod())
        made.at_once(body(pod()), "")
    why = "workloads.containers.forbidden[hostNetwork] failed with ZeroDivisionError"
    said = ("kspec.webhook", logging.WARNING, f"review {UID}: failed open: {why}")
    assert [one for one in caplog.record_tuples if one[0] == "kspec.webhook"] == [said, said]
    (seconds,) = re.findall(
        r'^kspec_webhook_request_duration_seconds_sum\{result="error"\} (\S+)$',
        made.metrics.registry.text().decode(),
        re.MULTILINE,
    )
    assert 0 < float(seconds) < 30


def test_many_warnings_are_cut_and_counted() -> None:
    many = pod(containers=[{"name": f"c{i}", "image": "x"} for i in range(30)])
    made = reviewer(policy({"workloads": {"images": {"requireDigests": True}}}, "audit"))
    warnings = ask(made, many)["warnings"]
    assert len(warnings) == 16
    assert warnings[-1] == "kspec: and 15 more"
    assert sum(len(text.encode()) for text in warnings) < 4096
