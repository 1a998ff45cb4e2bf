"""What is remembered for objects that are alike never shows: not another's uid, object, exemption, time or policy."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.enforce import admission
from pytest_kspec.enforce.admission import AnyRequest, NotAReview, read_review, subject
from pytest_kspec.enforce.decide import REMEMBERED_DECISIONS, Policies
from pytest_kspec.errors import Malformed
from pytest_kspec.webhook.judging import judge
from tests.webhook.reviewing import CONTAINER, NOW, body, deployment, forbid, pod, policies, policy, request

BAD: dict[str, Any] = {"hostNetwork": True, "hostPID": True}
BOTH = {"workloads": {"containers": {"forbidden": [{"key": "hostNetwork"}, {"key": "hostPID"}]}}}


def named(name: str, namespace: str = "shop", **spec: Any) -> dict[str, Any]:
    made = pod(**spec)
    return {**made, "metadata": {"name": name, "namespace": namespace}}


def exempt(**more: Any) -> dict[str, Any]:
    return {"policyExemptions": [{"name": "agreed", "reason": "a test", **more}]}


NOTE = "kspec.io/exempt.workloads.containers.forbidden"


def noted(obj: dict[str, Any]) -> dict[str, Any]:
    """It exempts itself, where its policy allows that."""
    return {**obj, "metadata": obj["metadata"] | {"annotations": {NOTE: "agreed; until=2026-06-02"}}}


OBJECTS = [
    noted(named("exempts-itself", **BAD)),
    named("a", **BAD),
    named("b", **BAD),
    named("a", "other", **BAD),
    named("c", hostPID=True),
    named("fine"),
    deployment({"containers": [CONTAINER], **BAD}),
    deployment({"containers": [CONTAINER], "hostPID": "yes"}),
]
AT_NIGHT = {
    "timeBasedActivation": {"enabled": True, "activePeriods": [{"startTime": "22:00", "endTime": "06:00"}]}
}
NOTED = {"annotationExemptions": {"checks": ["workloads.*"], "maxSeverity": "critical"}}
MADE = {
    "one": lambda: [policy(BOTH)],
    "one that warns, one that denies": lambda: [policy(BOTH, "audit", name="a"), policy(BOTH, name="b")],
    "exempted by name": lambda: [policy(BOTH | exempt(resources=[{"kind": "Pod", "name": "b"}]))],
    "exempted by namespace": lambda: [policy(BOTH | exempt(namespaces=["other"]))],
    "exempted by annotations": lambda: [policy(BOTH | NOTED)],
    "exempted by annotations and by name": lambda: [
        policy(BOTH | NOTED | exempt(resources=[{"kind": "Pod", "name": "b"}]))
    ],
    "out of scope": lambda: [policy(BOTH | {"namespaceScope": {"excludeNamespaces": ["other"]}})],
    "for some time": lambda: [policy(BOTH | exempt(namespaces=["shop"], expiresAt="2026-06-02"))],
    "at some times": lambda: [policy(BOTH | AT_NIGHT)],
}
MOMENTS = [NOW, NOW + timedelta(hours=11), NOW + timedelta(days=2), NOW]


@pytest.mark.parametrize("name", MADE)
def test_what_was_said_before_changes_nothing(name: str) -> None:
    """Each is said as by policies that were never asked before."""
    known = policies(*MADE[name]())
    for number, moment in enumerate(MOMENTS):
        for turn, obj in enumerate([*OBJECTS, *OBJECTS]):
            for only in ("", *known.by_id):
                asked = request(obj, uid=f"{number}-{turn}", userInfo={"username": f"user-{turn}"})
                fresh = policies(*MADE[name]())
                assert judge(asked, known, only, moment, None) == judge(asked, fresh, only, moment, None)


def test_pods_of_one_template_are_told_the_same_without_another_look(monkeypatch: pytest.MonkeyPatch) -> None:
    made = policies(policy(BOTH))
    first = judge(request(named("a", **BAD)), made, "", NOW, None)
    assert first.record is not None
    monkeypatch.setattr("pytest_kspec.webhook.judging.weigh", None)
    second = judge(request(named("b", **BAD), uid="another"), made, "", NOW, None)
    assert second.record is not None
    assert json.loads(second.answer)["response"].pop("uid") == "another"
    assert second.record["resource"]["name"] == "b"
    assert second.record["violations"] == first.record["violations"]


def test_what_is_remembered_is_bounded() -> None:
    made = Policies([policy(BOTH)])
    for number in range(REMEMBERED_DECISIONS + 5):
        judge(request(named("a", f"ns-{number}", **BAD)), made, "", NOW, None)
    assert len(made._alike) == REMEMBERED_DECISIONS
    long = CONTAINER | {"securityContext": {"privileged": True}}
    many = [long | {"name": f"{'c' * 200}{number}"} for number in range(150)]
    made = Policies([policy(forbid("securityContext.privileged"))])
    judge(request(named("a", containers=many)), made, "", NOW, None)
    assert not made._alike


# -- a pod that is created is read in one pass ---------------------------------------------------------------------

SMALL = st.sampled_from(
    [None, "", "x", "Pod", "v1", "shop", 0, True, [], {}, {"a": "b"}, {"a": 1}, ["a"], {"name": "web"}]
)
PLACES = st.sampled_from(
    [
        ("kind",),
        ("apiVersion",),
        ("request", "uid"),
        ("request", "kind"),
        ("request", "kind", "kind"),
        ("request", "kind", "version"),
        ("request", "operation"),
        ("request", "name"),
        ("request", "namespace"),
        ("request", "dryRun"),
        ("request", "userInfo"),
        ("request", "object"),
        ("request", "oldObject"),
        ("request", "object", "kind"),
        ("request", "object", "apiVersion"),
        ("request", "object", "spec"),
        ("request", "object", "metadata"),
        ("request", "object", "metadata", "name"),
        ("request", "object", "metadata", "namespace"),
        ("request", "object", "metadata", "labels"),
        ("request", "object", "metadata", "annotations"),
        ("request", "object", "metadata", "ownerReferences"),
        ("request", "object", "metadata", "deletionTimestamp"),
    ]
)


def read(content: bytes) -> object:
    """All that is read of a review, or what is wrong with it."""
    try:
        asked = read_review(content)
        seen: object = subject(asked, asked.new) if asked.new is not None else None
    except (NotAReview, Malformed) as error:
        return str(error)
    return [
        getattr(asked, name) for name in ("uid", "kind", "operation", "name", "dry_run", "user_info")
    ], seen


@given(st.lists(st.tuples(PLACES, SMALL), max_size=2))
def test_a_pod_that_is_created_is_read_the_same_in_one_pass_and_in_two(
    changes: list[tuple[tuple[str, ...], Any]],
) -> None:
    review = json.loads(body(pod()))
    for path, value in changes:
        holder = review
        for key in path[:-1]:
            holder = holder.get(key) if isinstance(holder, dict) else None
        if isinstance(holder, dict):
            holder[path[-1]] = value
    content = msgspec.json.encode(review)
    one_pass = read(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(admission, "_of_pod", lambda _body: None)
        assert read(content) == one_pass


def test_a_pod_that_an_api_server_creates_is_read_in_one_pass() -> None:
    assert not isinstance(read_review(body(pod())), AnyRequest)
    assert isinstance(read_review(body(pod(), pod())), AnyRequest)
    assert isinstance(read_review(body(deployment({}))), AnyRequest)
