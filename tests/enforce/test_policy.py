"""One specification as admission holds it: what it says at a moment and of a namespace, and when that changes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.policy import LabelsUnknown, Policy
from pytest_kspec.errors import SpecError
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.spec.exemption import Exemption
from pytest_kspec.spec.loading import spec_from_part
from tests.webhook.reviewing import CHECKSET, NOW, forbid, policy

POD = ResourceRef("v1", "Pod", "shop", "web")
FRONT = {"namespaceScope": {"namespaceSelector": {"matchLabels": {"tier": "front"}}}}
EVENING = {
    "timeBasedActivation": {"enabled": True, "activePeriods": [{"startTime": "22:00", "endTime": "06:00"}]}
}


def at(hours: float) -> datetime:
    return NOW + timedelta(hours=hours)


def ends(name: str, hours: float, **fields: Any) -> dict[str, Any]:
    return {"name": name, "reason": "r", "namespaces": ["shop"], "expiresAt": at(hours).isoformat(), **fields}


def exempted(made: Policy, index: int, moment: datetime) -> str | None:
    found = made.matcher(index, moment).match(POD, POD, {}, "")
    return found.name if found else None


def test_without_a_moment_it_is_made_for_the_present() -> None:
    before = datetime.now(UTC)
    made = Policy(policy(forbid("hostPID")).spec, CHECKSET, cluster="c")
    assert before <= made.plan.moment <= datetime.now(UTC)
    assert made.plan.moment.tzinfo is UTC


def test_its_mode_and_its_failure_policy_are_those_of_the_specification() -> None:
    spec = policy(forbid("hostPID"), "audit", fails="Fail").spec
    found = [
        Policy(spec, CHECKSET, cluster="c", now=NOW, mode=mode)
        for mode in (None, Mode.MONITOR, Mode.AUDIT, Mode.ENFORCE)
    ]
    assert [(made.mode, made.denies, made.fails_closed) for made in found] == [
        (Mode.AUDIT, False, True),
        (Mode.MONITOR, False, True),
        (Mode.AUDIT, False, True),
        (Mode.ENFORCE, True, True),
    ]
    bare = spec_from_part(forbid("hostPID"), "bare")
    made = Policy(bare, CHECKSET, cluster="c", now=NOW)
    assert (made.name, made.mode, made.denies, made.fails_closed) == ("bare", Mode.MONITOR, False, False)


def test_the_version_of_the_api_server_is_that_of_its_plan() -> None:
    spec = policy({"podSecurity": {"enforce": "restricted"}}).spec
    assert Policy(spec, CHECKSET, cluster="c", version="v1.30.2", now=NOW).plan.minor == 30


def test_exemptions_that_cover_every_check_together_are_refused() -> None:
    areas = sorted({id.partition(".")[0] for id in CHECKSET.entries})
    halves = [
        Exemption.model_validate({"name": name, "reason": "r", "checks": [f"{area}.*" for area in some]})
        for name, some in (("own", areas[:2]), ("more", areas[2:]))
    ]
    spec = policy(forbid("hostPID")).spec
    spec.exemptions.append(halves[0])
    assert Policy(spec, CHECKSET, cluster="c", now=NOW).rules
    with pytest.raises(SpecError, match=r"exemptions own, more: their checks together match every check"):
        Policy(spec, CHECKSET, cluster="c", more_exemptions=halves[1:], now=NOW)


def test_stamps_and_exemptions_change_where_one_ends_and_nowhere_else() -> None:
    level = {"namespace": "shop", "level": "baseline", "reason": "r", "expiresAt": at(3).isoformat()}
    part = {
        "podSecurity": {"enforce": "restricted", "exemptions": [level]},
        "policyExemptions": [ends("first", 1)],
    }
    more = [Exemption.model_validate(ends("second", 2))]
    made = Policy(policy(part).spec, CHECKSET, cluster="c", more_exemptions=more, now=NOW)
    moments = [at(hours) for hours in (0, 0.99, 1, 1.99, 2, 2.99, 3, 99_999)]
    stamps = [made.stamp(moment) for moment in moments]
    assert [stamps.index(stamp) for stamp in stamps] == [0, 0, 2, 2, 4, 4, 6, 6]
    assert all(stamps)
    assert made.stamp(moments[-1]) == stamps[-1]
    assert [exempted(made, 0, moment) for moment in moments] == ["first"] * 2 + ["second"] * 2 + [None] * 4
    assert exempted(made, 0, NOW) == "first", "a clock may be set back"
    assert made.stamp(NOW) == made.stamp(NOW)
    (restricted,) = [
        index for index, rule in enumerate(made.rules) if rule.requirement.id.endswith("[runAsNonRoot]")
    ]
    assert [made.holds(restricted, "shop", moment) for moment in moments] == [False] * 6 + [True] * 2
    assert made.holds(restricted, "other", NOW)
    assert not made.holds(restricted, "shop", at(2.99))


def test_while_it_is_not_active_it_has_no_stamp_and_concerns_nothing() -> None:
    made = policy(forbid("hostPID") | EVENING)
    assert [(made.stamp(at(hours)), made.applies("shop", {}, at(hours))) for hours in (0, 10, 18)] == [
        (0, False),
        (1, True),
        (0, False),
    ]


@pytest.mark.parametrize(
    ("scope", "namespace", "labels", "expected"),
    [
        ({}, "shop", None, True),
        ({}, "", None, True),
        (FRONT, "shop", {"tier": "front"}, True),
        (FRONT, "shop", {}, False),
        (FRONT, "shop", None, None),
        (FRONT, "", None, True),
        ({"namespaceScope": {"includeNamespaces": ["shop"]}}, "shop", None, True),
        ({"namespaceScope": {"includeNamespaces": ["shop"]}}, "other", None, False),
        ({"namespaceScope": {"excludeNamespaces": ["shop"], **FRONT["namespaceScope"]}}, "shop", None, False),
    ],
)
def test_whether_it_concerns_a_namespace(
    scope: dict[str, Any], namespace: str, labels: dict[str, str] | None, expected: bool | None
) -> None:
    made = policy(forbid("hostPID") | scope)
    assert made.needs_labels is ("namespaceSelector" in scope.get("namespaceScope", {}))
    if expected is None:
        with pytest.raises(LabelsUnknown):
            made.applies(namespace, labels, NOW)
    else:
        assert made.applies(namespace, labels, NOW) is expected


def test_objects_exempt_themselves_from_the_rules_that_allow_it() -> None:
    allowed = {
        "annotationExemptions": {"checks": ["podSecurity.standard[privileged]"], "maxSeverity": "critical"}
    }
    part = {"podSecurity": {"enforce": "baseline"}}
    made = policy(part | allowed)
    until = at(24)
    value = f"agreed; until={until.isoformat()}"
    taken = []
    for index, rule in enumerate(made.rules):
        key = f"kspec.io/exempt.{rule.requirement.id.replace('[', '.').removesuffix(']')}"
        matcher = made.annotated(index, at(23.9))
        assert matcher is None or matcher.match({key: value}, POD) is not None
        taken += [rule.requirement.id] if matcher is not None else []
        late = made.annotated(index, until)
        assert late is None or late.match({key: value}, POD) is None
    assert taken == ["podSecurity.standard[privileged]"]
    assert {policy(part).annotated(index, NOW) for index in range(len(made.rules))} == {None}
