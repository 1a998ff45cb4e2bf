"""Exemptions that objects carry themselves: what they say, what allows them, what is refused and said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.errors import SpecError
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.kube.resources import Resource
from pytest_kspec.results.annotated import (
    LONGEST_REASON,
    MAX_NOTES,
    Refused,
    annotation_of,
    annotations_of,
    matcher,
    notes,
    read,
)
from pytest_kspec.results.finding import AppliedExemption
from pytest_kspec.results.verdict import Severity
from pytest_kspec.spec.exemption import AnnotationExemptions
from pytest_kspec.spec.loading import spec_from_part

NOW = datetime(2027, 1, 15, 12, tzinfo=UTC)
WEB = ResourceRef("apps/v1", "Deployment", "shop", "web")
ID = "podSecurity.standard[privileged]"
KEY = "kspec.io/exempt.podSecurity.standard.privileged"
GOOD = "moving to another image (T-1); until=2027-02-01"


def allow(**keys: Any) -> AnnotationExemptions:
    return AnnotationExemptions.model_validate(
        {"checks": ["podSecurity.*"], "maxSeverity": "critical", **keys}
    )


def matched(
    annotations: dict[str, str], severity: Severity = Severity.HIGH, owner: ResourceRef = WEB, **keys: Any
) -> Any:
    found = matcher(allow(**keys), ID, severity, NOW)
    return found and found.match(annotations, owner)


def test_what_an_annotation_says() -> None:
    assert matched({KEY: GOOD}) == AppliedExemption(
        f"annotation {KEY} of Deployment shop/web",
        "moving to another image (T-1)",
        "",
        "2027-02-01T23:59:59+00:00",
    )
    assert matched({"kspec.io/exempt.podSecurity.standard": GOOD}), "the check is that of all its parts"
    assert not matched({"kspec.io/exempt.podSecurity": GOOD})
    assert not matched({"kspec.io/exempt.podSecurity.standard.hostPorts": GOOD})


@pytest.mark.parametrize(
    ("requirement", "key"),
    [
        ("workloads.images.requireDigests", "workloads.images.requireDigests"),
        ("podSecurity.standard[privileged]", "podSecurity.standard.privileged"),
        ("rbac.forbiddenRules[core/secrets]", "rbac.forbiddenRules.core_secrets"),
        ("rbac.forbiddenRules[*/*]", "rbac.forbiddenRules"),
    ],
)
def test_ids_as_keys(requirement: str, key: str) -> None:
    assert annotation_of(requirement) == f"kspec.io/exempt.{key}"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("", "does not end in"),
        ("a reason", "does not end in"),
        ("a reason; until 2027-02-01", "does not end in"),
        ("a reason; until=2027-02-01; more", "does not end in"),
        ("until=2027-02-01", "gives no reason"),
        (" ; until=2027-02-01", "gives no reason"),
        ("\u200b \u2800-; until=2027-02-01", "gives no reason"),
        ("r; until=soon", "'soon' is not a date"),
        ("r; until=", "'' is not a date"),
        ("r; until=2027-02-30", "is not a date"),
        ("r; until=2027-01-14", "ended at 2027-01-14T23:59:59"),
        ("r; until=2027-01-15T11:59:59Z", "ended at"),
        ("r; until=2099-01-01", "at most 90 days are allowed"),
        ("r; until=2027-04-16", "at most 90 days are allowed"),
        ("r; until=2027-04-15T23:59:59-10:00", "at most 90 days are allowed"),
        ("x" * (LONGEST_REASON + 1) + "; until=2027-02-01", "more than 500 characters"),
    ],
)
def test_what_is_refused(value: str, why: str) -> None:
    with pytest.raises(Refused, match=why):
        read(value, allow(), NOW)
    assert matched({KEY: value}) is None


def test_bounds_of_the_specification() -> None:
    assert matched({KEY: "r; until=2027-04-15"})
    assert matched({KEY: "r; until=2027-04-15T23:59:59Z"})
    assert matched({KEY: "r; until=2027-04-16T09:00:00+14:00"})
    assert not matched({KEY: "r; until=2027-04-17"})
    assert matched({KEY: "r; until=2027-04-17"}, maxDays=100)
    assert matched({KEY: "; until=2027-02-01"}, requireReason=False)
    assert matched({KEY: "until=2027-02-01"}, requireReason=False)
    assert not matched({KEY: GOOD}, maxSeverity="medium")
    assert matched({KEY: GOOD}, Severity.MEDIUM, maxSeverity="medium")
    assert not matched({KEY: GOOD}, checks=["rbac.*"])
    assert not matched({KEY: GOOD}, namespaces=["team-*"])
    assert matched({KEY: GOOD}, namespaces=["sho?"])
    assert not matched({KEY: GOOD}, owner=ResourceRef("v1", "Node", "", "n"), namespaces=["*"])
    assert matcher(None, ID, Severity.LOW, NOW) is None


def test_the_defaults_are_narrow() -> None:
    made = AnnotationExemptions.model_validate({"checks": ["a.b"]})
    assert (made.max_days, made.require_reason, made.max_severity) == (90, True, "medium")


@given(st.text(max_size=60))
def test_whatever_it_says_is_read_or_refused(value: str) -> None:
    for text in (value, f"{value}; until=2027-02-01", f"r; until={value}"):
        try:
            found = read(text, allow(requireReason=False), NOW)
        except Refused:
            continue
        assert found.expires > NOW
        assert found.reason == " ".join(found.reason.split())


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("{}", "annotationExemptions.checks: required key is missing"),
        ("{checks: []}", "annotationExemptions.checks"),
        ("{checks: ['*']}", "its patterns match every name"),
        ("{checks: ['*.?*']}", "its patterns match every name"),
        ("{checks: [a.b], maxDays: 0}", "annotationExemptions.maxDays"),
        ("{checks: [a.b], maxDays: 1000}", "annotationExemptions.maxDays"),
        ("{checks: [a.b], maxSeverity: none}", "annotationExemptions.maxSeverity"),
        ("{checks: [a.b], reason: x}", "annotationExemptions.reason: unknown key"),
    ],
)
def test_what_a_specification_cannot_allow(keys: str, problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_from_part(f"annotationExemptions: {keys}")
    assert problem in str(caught.value)


def service(**annotations: str) -> Resource:
    metadata = {"name": "s", "namespace": "shop", "annotations": annotations}
    return Resource("v1", "Service", {"metadata": metadata})


def said(
    value: str, key: str = KEY, allowed: AnnotationExemptions | None = None, severity: str = "high"
) -> str:
    (line,) = notes([service(**{key: value})], allowed, {ID: Severity(severity)}, NOW) or ("",)
    return line


def test_what_has_no_effect_is_said() -> None:
    def why(allowed: AnnotationExemptions | None, value: str = GOOD, key: str = KEY) -> str:
        line = said(value, key, allowed)
        assert not line or line.startswith(f"Service shop/s: {key} has no effect: ")
        return line.partition(" has no effect: ")[2]

    assert why(None) == "the specification does not allow it (annotationExemptions)."
    assert why(allow()) == ""
    assert why(allow(), "x") == "it does not end in '; until=YYYY-MM-DD'."
    assert why(allow(checks=["rbac.*"])) == "the specification does not allow it for this check."
    assert why(allow(maxSeverity="low")) == "the check is of severity high, but at most low is allowed."
    assert why(allow(namespaces=["a"])) == "the specification does not allow it in this namespace."
    assert why(allow(), key="kspec.io/exempt.podsecurity") == "no requirement has this name."


def test_pods_templates_and_services_carry_exemptions_and_nothing_else() -> None:
    role = Resource(
        "rbac.authorization.k8s.io/v1", "Role", {"metadata": {"name": "r", "annotations": {KEY: GOOD}}}
    )
    assert annotations_of(role) == {}
    assert annotations_of(service(**{KEY: GOOD})) == {KEY: GOOD}


def test_what_is_said_is_one_line_and_bounded() -> None:
    line = said("x", "kspec.io/exempt.\x1b[2J\n::error::", allow())
    assert line.isprintable()
    many = [service(**{f"kspec.io/exempt.{n}": "x"}) for n in range(MAX_NOTES + 7)]
    lines = notes(many, allow(), {}, NOW)
    assert len(lines) == MAX_NOTES + 1
    assert lines[-1] == "and 7 more such annotations"
