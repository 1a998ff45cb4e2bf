"""What a decision says to the user: why it is denied, by whom, and what is a warning only."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pytest_kspec.enforce.decide import decide
from pytest_kspec.enforce.decision import Decision, Failure, Found
from pytest_kspec.enforce.policy import Policy
from tests.webhook.reviewing import NOW, forbid, pod, policies, policy, request

ENFORCES, AUDITS, MONITORS = (
    policy(forbid("hostPID"), mode, name=name)
    for mode, name in (("enforce", "z-enforces"), ("audit", "audits"), ("monitor", "monitors"))
)
OTHER = policy(forbid("hostIPC"), name="a-other")
EXEMPTS = policy(
    forbid("hostPID") | {"policyExemptions": [{"name": "e", "reason": "r", "namespaces": ["shop"]}]},
    "audit",
    name="exempts",
)
PID = "spec.hostPID is true, must be unset or false [workloads.containers.forbidden[hostPID]]"
IPC = "spec.hostIPC is true, must be unset or false [workloads.containers.forbidden[hostIPC]]"


def judged(*made: Policy) -> Decision:
    return decide(request(pod(hostPID=True, hostIPC=True)), policies(*made), NOW)


def failing(made: Policy | None, *, denies: bool = False, internal: bool = False) -> Failure:
    return Failure(made, "", f"{made.name if made else 'all'} broke", internal, denies)


def of(*failures: Failure, allowed: bool = True) -> Decision:
    return Decision(allowed, (), failures)


def listing(decision: Decision, *more: int) -> tuple[Found, ...]:
    return tuple(replace(item, more=number) for item, number in zip(decision.found, more, strict=True))


def test_a_denial_names_who_denies_and_every_violation() -> None:
    assert judged(ENFORCES, AUDITS).message == f"denied by z-enforces: 1 violation: {PID}"
    both = judged(ENFORCES, AUDITS, OTHER, EXEMPTS, MONITORS)
    assert both.message == f"denied by a-other, z-enforces: 2 violations: {PID}; {IPC}"
    assert both.by(OTHER).message == f"denied by a-other, z-enforces: 2 violations: {IPC}; {PID}"
    assert [item.text for item in both.found] == [PID, PID, IPC, PID, PID]


def test_a_denial_counts_what_it_does_not_list() -> None:
    found = judged(ENFORCES, OTHER)
    more = replace(found, found=listing(found, 3, 0))
    assert more.message == f"denied by a-other, z-enforces: 5 violations: {PID}; {IPC}"


def test_a_denial_ends_with_what_could_not_be_evaluated_and_denies() -> None:
    found = judged(ENFORCES, OTHER)
    failures = (failing(AUDITS), failing(OTHER, denies=True), failing(None, denies=True))
    assert replace(found, failures=failures).message == (
        f"denied by a-other, z-enforces: 2 violations: {PID}; {IPC}; a-other broke; all broke"
    )
    alone = of(failing(AUDITS), failing(OTHER, denies=True), failing(ENFORCES, denies=True), allowed=False)
    assert alone.message == "denied by a-other, z-enforces: a-other broke; z-enforces broke"
    assert of(failing(AUDITS), failing(None, denies=True), allowed=False).message == "denied: all broke"


def test_violations_of_policies_that_audit_and_what_was_not_evaluated_are_warnings() -> None:
    found = judged(ENFORCES, AUDITS, EXEMPTS, MONITORS)
    failures = (
        failing(OTHER, denies=True),
        failing(ENFORCES),
        failing(AUDITS),
        failing(MONITORS),
        failing(None),
    )
    assert replace(found, failures=failures).warnings == [
        f"kspec: audits: {PID}",
        "kspec: z-enforces: not evaluated: z-enforces broke",
        "kspec: audits: not evaluated: audits broke",
        "kspec: not evaluated: all broke",
    ]


def test_warnings_that_are_not_listed_are_those_of_policies_that_audit() -> None:
    found = judged(ENFORCES, AUDITS, EXEMPTS, MONITORS)
    assert replace(found, found=listing(found, 1, 20, 300, 4000)).more_warnings == 20


@pytest.mark.parametrize(
    ("failures", "allowed", "expected"),
    [
        ([], True, False),
        ([failing(ENFORCES)], True, True),
        ([failing(None)], True, True),
        ([failing(AUDITS), failing(MONITORS)], True, False),
        ([failing(AUDITS), failing(ENFORCES)], True, True),
        ([failing(ENFORCES, denies=True)], False, False),
    ],
)
def test_it_failed_open_where_one_that_enforces_could_not_be_evaluated(
    failures: Any, allowed: bool, expected: bool
) -> None:
    assert of(*failures, allowed=allowed).failed_open is expected


def test_one_internal_failure_is_an_internal_error() -> None:
    assert not of().is_internal_error
    assert not of(failing(ENFORCES), failing(None)).is_internal_error
    assert of(failing(ENFORCES), failing(AUDITS, internal=True)).is_internal_error
