"""Policies evaluated without an API server (`tests/rules/celruntime`): what they say of one object."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from pytest_kspec.enforce.cel.program import Program, program
from pytest_kspec.enforce.plan import EnforcementPlan, enforcement_plan
from pytest_kspec.plan.checkset import load_checks
from pytest_kspec.rules.cel.places import Place
from pytest_kspec.spec.loading import spec_from_part
from tests.rules.celruntime import path_of, place_of, sentences, values

CHECKSET = load_checks()
NOW = datetime(2026, 6, 1, tzinfo=UTC)
CLUSTER = "c"


def planned(part: Any, name: str, version: str = "", exemptions: Any = ()) -> EnforcementPlan:
    """The plan of a specification. name: one for each."""
    loaded = spec_from_part(part, name=name)
    loaded.exemptions.extend(exemptions)
    return enforcement_plan(loaded, CHECKSET, version=version, now=NOW)


def said(plan: EnforcementPlan, obj: dict[str, Any]) -> dict[str, list[str]]:
    """Requirement id → sentences about violations, of those that have some."""
    made = _program(plan, place_of(obj))
    found = values(made.variables, obj)
    return {
        question.requirement_id: sentences(found[question.variable])
        for question in made.questions
        if found[question.variable]
    }


def refused(plan: EnforcementPlan, obj: dict[str, Any]) -> set[tuple[str, str]]:
    """(requirement id, path) of all that is said."""
    return {(id, path_of(text)) for id, texts in said(plan, obj).items() for text in texts}


_PROGRAMS: dict[tuple[int, str], tuple[EnforcementPlan, Program]] = {}


def _program(plan: EnforcementPlan, place: Place) -> Program:
    key = (id(plan), place.name)
    if key not in _PROGRAMS:
        made, left = program(plan, place, CLUSTER)
        assert not left, left
        _PROGRAMS[key] = (plan, made)  # with the plan, so that its id stays its own
    return _PROGRAMS[key][1]
