"""Every class of mistake in exemptions and in times, with its exact line."""

from __future__ import annotations

import json

import pytest

from pytest_kspec.spec.loading import spec_from_part
from tests.spec.refused import exemption_problems, part_problems


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("resources: [{}]", "s.yaml:2:36: policyExemptions[0].resources[0]: an empty selector would match"
        " every"
         " object; name a kind, name, namespace or labelSelector."),
        ("approver: me", "s.yaml:2:3: policyExemptions[0]: this would exempt everything:"
         " name checks, namespaces, resources or containers."),
        ("clusters: [dev]", "s.yaml:2:3: policyExemptions[0]: this would exempt everything:"
         " name checks, namespaces, resources or containers."),
        ("checks: ['*'], namespaces: ['**']", "s.yaml:2:3: policyExemptions[0]: its patterns match every name,"
         " so this would exempt everything:"
         " name checks, namespaces, resources or containers."),
        ("resources: [{kind: ClusterRole, namespace: a}]", "s.yaml:2:36: policyExemptions[0].resources[0]:"
         " a ClusterRole has no namespace, so this can never match."),
        ("resources: [{kind: Namespace, namespace: a}]", "s.yaml:2:36: policyExemptions[0].resources[0]:"
         " a Namespace has no namespace, so this can never match. Select it by name."),
        ("resources: [{kind: deployment}]", "s.yaml:2:43: policyExemptions[0].resources[0].kind:"
        " 'deployment' is not a"
         " kind; kinds are written as in manifests, without wildcards. Did you mean 'Deployment'?"),
        ("namespaces: [a, b-*], resources: [{namespace: c}]", "s.yaml:2:58: policyExemptions[0].resources[0]:"
         " 'c' is in none of the namespaces, so it can never match."),
        ("namespaces: [a], resources: [{namespace: 'b-*'}]", "s.yaml:2:53: policyExemptions[0].resources[0]:"
         " 'b-*' is in none of the namespaces, so it can never match."),
        ("namespaces: [a], resources: [{kind: Node}]", "s.yaml:2:53: policyExemptions[0].resources[0]:"
         " a Node is in none of the namespaces, so it can never match."),
        ("namespaces: [Prod]", "s.yaml:2:37: policyExemptions[0].namespaces[0]: 'Prod' is not a valid namespace"
         " name, so it can never match. Did you mean 'prod'?"),
        ("namespaces: [a_b]", "s.yaml:2:37: policyExemptions[0].namespaces[0]: 'a_b' is not a valid namespace"
         " name, so it can never match."),
        ("resources: [{namespace: 'x y'}]", "s.yaml:2:48: policyExemptions[0].resources[0].namespace: 'x y'"
         " is not a valid namespace name, so it can never match."),
        ("resources: [{kind: Pod, name: shop/web}]", "s.yaml:2:54: policyExemptions[0].resources[0].name:"
         " 'shop/web' is not a valid object name, so it can never match."),
        ("containers: ['*', app/x]", "s.yaml:2:42: policyExemptions[0].containers[1]: 'app/x' is not a valid container"
         " name, so it can never match."),
        ("resources: [{labelSelector: {'bad key!': x}}]", "s.yaml:2:37:"
         " policyExemptions[0].resources[0].labelSelector: 'bad key!' is not a valid label key, so it can"
         " never match."),
        ("resources: [{labelSelector: {app: '-'}}]", "s.yaml:2:37:"
         " policyExemptions[0].resources[0].labelSelector: '-' is not a valid label value, so it can never"
         " match."),
        ("containers: [app], resources: [{kind: Service}]", "s.yaml:2:3: policyExemptions[0]:"
         " Service has no containers, so this can never match."),
        ("checks: [a.b], expiresAt: 2027-02-29", "s.yaml:2:50: policyExemptions[0].expiresAt:"
        " '2027-02-29' is not a"
         " date; write 2027-03-31, 2027-03-31T18:00:00 or 2027-03-31T18:00:00+02:00."),
        ("checks: [a.b], timezone: UTC", "s.yaml:2:3: policyExemptions[0]: timezone has no effect without"
        " expiresAt."),
        ("checks: [a.b], expiresAt: '2027-01-01T00:00:00Z', timezone: UTC", "s.yaml:2:3: policyExemptions[0]:"
         " expiresAt has a UTC offset, so timezone has no effect: remove one of them."),
        ("checks: [a.b], expiresAt: 2027-01-01, timezone: Europe/Berln", "s.yaml:2:72:"
         " policyExemptions[0].timezone: 'Europe/Berln' is not an IANA time zone such as Europe/Berlin."
         " Did you mean 'Europe/Berlin'?"),
    ],
)  # fmt: skip
def test_exemption(keys: str, expected: str) -> None:
    assert exemption_problems(keys) == [expected]


def test_an_exemption_needs_a_reason() -> None:
    assert part_problems(
        "policyExemptions: [{name: a, reason: '  ', checks: [a.b]}, {name: b, checks: [a.b]}]"
    ) == [
        "s.yaml:1:38: policyExemptions[0].reason: must not be empty.",
        "s.yaml:1:60: policyExemptions[1].reason: required key is missing.",
    ]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (
            "enabled: true",
            "s.yaml:1:1: timeBasedActivation: enabled without activePeriods or schedule would never be active.",
        ),
        (
            "activePeriods: [{daysOfWeek: [wednesday]}]",
            "s.yaml:1:53: timeBasedActivation.activePeriods[0].daysOfWeek[0]: 'wednesday' is not allowed;"
            " allowed:"
            " Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday. Did you mean 'Wednesday'?",
        ),
        (
            "activePeriods: [{startTime: 9:00, endTime: 17:00}]",
            "s.yaml:1:51: timeBasedActivation.activePeriods[0].startTime: '9:00' is not a time of day;"
            " write HH:MM from 00:00 to 23:59. Did you mean '09:00'?",
        ),
        (
            "activePeriods: [{startTime: 09:00}]",
            "s.yaml:1:39: timeBasedActivation.activePeriods[0]: startTime and endTime must be set together.",
        ),
        (
            "activePeriods: [{startTime: 09:00, endTime: 09:00}]",
            "s.yaml:1:39: timeBasedActivation.activePeriods[0]:"
            " startTime and endTime are equal, so the period is empty.",
        ),
        (
            "activePeriods: [{}]",
            "s.yaml:1:39: timeBasedActivation.activePeriods[0]:"
            " an empty period has no effect: set times, days or dates.",
        ),
        (
            "timezone: Mars/Olympus",
            "s.yaml:1:33: timeBasedActivation.timezone:"
            " 'Mars/Olympus' is not an IANA time zone such as Europe/Berlin.",
        ),
        (
            "schedule: 0 9 * *",
            "s.yaml:1:33: timeBasedActivation.schedule: '0 9 * *' is not a cron schedule:"
            " it has 4 fields instead of 5.",
        ),
    ],
)
def test_time_windows_that_could_never_be_active_are_errors(keys: str, expected: str) -> None:
    """The predecessor took them, and the policy was silently never enforced."""
    assert part_problems(f"timeBasedActivation: {{{keys}}}") == [expected]


def test_a_period_over_midnight_is_valid() -> None:
    loaded = spec_from_part(
        "timeBasedActivation: {enabled: true, activePeriods: [{startTime: 22:00, endTime: 06:00}]}"
    )
    assert loaded.get("timeBasedActivation.activePeriods[0].endTime") == "06:00"


@pytest.mark.parametrize("key", ["reason", "approver"])
@pytest.mark.parametrize("text", ["-", "...", "\u200b", "\u2800"])
def test_a_reason_says_something(key: str, text: str) -> None:
    """As the reason of an annotation. What is invisible is blank in every report."""
    keys = {"name": "x", "reason": "r", "approver": "me", "checks": ["workloads.*"], key: text}
    (problem,) = part_problems(f"policyExemptions: [{json.dumps(keys)}]\n")
    assert problem.endswith(f"policyExemptions[0].{key}: it contains no letter and no digit.")
