"""What checks say of themselves: what they restrict, where that is from, and why admission cannot see it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kspec import About, FieldRule, Findings, check
from pytest_kspec.checks.authoring import ATTRIBUTE
from pytest_kspec.checks.check import Check
from pytest_kspec.errors import CheckError
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.reference import checkdoc

RULE = FieldRule(field="hostNetwork", over="pod", allowed=(None, False), reason="host network")
ABOUT = About(restricts="spec.host*\nspec.other", allowed="unset", source="our handbook, 3.1")
BUILT_IN = load_checks().checks


def made(**given: Any) -> Check:
    @check(id="acme.it", title="T", severity="low", remediation="R.", **given)
    def test_it(findings: Findings) -> None:
        """Why."""
        findings.skip("nothing")

    found = getattr(test_it, ATTRIBUTE)
    assert isinstance(found, Check)
    return found


@pytest.mark.parametrize("one", BUILT_IN, ids=[one.id for one in BUILT_IN])
def test_every_built_in_check_states_its_source_and_what_admission_sees(one: Check) -> None:
    assert one.about is not None
    assert all(text and text == text.strip() for _, text in one.about.facts)
    assert (one.rule is None) == bool(one.not_admission)


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"about": "spec.hostNetwork"}, "about must be an About, not str"),
        ({"not_admission": "a\nb"}, "not_admission must be one line"),
        ({"not_admission": None}, "not_admission must be one line"),
        ({"not_admission": "no", "rule": RULE}, "give either rule or not_admission"),
    ],
)
def test_what_cannot_be(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(CheckError, match=problem):
        made(**given)


def test_the_reference_shows_both() -> None:
    page = checkdoc.render([made(about=ABOUT, not_admission="nobody creates it")])
    assert r"* Restricted field: spec.host\* spec.other" in page
    assert "* Allowed values: unset" in page
    assert "* Source: our handbook, 3.1" in page
    assert "* Not enforced at admission: nobody creates it" in page
