"""What a specification asks of the objects of one place, as variables and problems: engines put it into manifests."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pytest_kspec.checks.check import Check
from pytest_kspec.enforce.cel import exemptions as exempting
from pytest_kspec.enforce.plan import EnforcedRule, EnforcementPlan, NotEnforceable
from pytest_kspec.results.annotated import may_exempt
from pytest_kspec.rules.cel.builder import CelBuilder, problems
from pytest_kspec.rules.cel.places import SERVICES, Place
from pytest_kspec.rules.cel.text import NotExpressible, any_of, concat, parenthesised
from pytest_kspec.rules.pods.imagerule_cel import images_variable

_VARIABLE = re.compile(r"variables\.([A-Za-z_][A-Za-z0-9_]*)")
_LONGEST_MESSAGE = 2500
"""Characters of a message; the API server drops one of more than 5 KiB."""


@dataclass(frozen=True, slots=True)
class Question:
    """One requirement of one place. variable: name of the variable that holds its problems, a list of texts."""

    requirement_id: str
    check: Check
    variable: str

    @property
    def is_met(self) -> str:
        """CEL: true where nothing is violated."""
        return f"variables.{self.variable}.size() == 0"


@dataclass(frozen=True, slots=True)
class Program:
    """variables: (name, CEL) in order, only those that are used; questions: sorted by requirement id."""

    place: Place
    variables: tuple[tuple[str, str], ...]
    questions: tuple[Question, ...]


def program(
    plan: EnforcementPlan, place: Place, cluster: str | None = None
) -> tuple[Program, list[NotEnforceable]]:
    """What the plan asks there, and what CEL cannot say of it. cluster: its name, None if it is not known."""
    target = "services" if place == SERVICES else "pods"
    asked: dict[str, list[EnforcedRule]] = {}
    for rule in plan.rules:
        if rule.target == target:
            asked.setdefault(rule.requirement.id, []).append(rule)
    variables = {**exempting.SUBJECT, **place.variables}
    if target == "pods":
        variables["images"] = images_variable(place)
    if plan.level:
        variables["level"] = exempting.level_variable(plan)
    questions: list[Question] = []
    left: list[NotEnforceable] = []
    for requirement_id, rules in sorted(asked.items()):
        try:
            text = _requirement(plan, rules, place, cluster, variables)
        except NotExpressible as error:
            left.append(NotEnforceable(requirement_id, str(error), rules[0].requirement.location))
            continue
        name = _unused(requirement_id, variables)
        variables[name] = text
        questions.append(Question(requirement_id, rules[0].check, name))
    return Program(place, _used(variables, {q.variable for q in questions}), tuple(questions)), left


def shortened(text: str) -> str:
    """CEL of a text without line breaks and of a bounded length, as messages must be."""
    line = f'({text}).replace("\\n", " ").replace("\\r", " ")'
    cut = f't.size() > {_LONGEST_MESSAGE} ? t.substring(0, {_LONGEST_MESSAGE}) + "…" : t'
    return f"[{line}].map(t, {cut})[0]"


def _requirement(
    plan: EnforcementPlan,
    rules: list[EnforcedRule],
    place: Place,
    cluster: str | None,
    variables: dict[str, str],
) -> str:
    first = rules[0]
    if may_exempt(plan.spec.spec.annotation_exemptions, first.requirement.id, first.check.severity):
        raise NotExpressible(
            "annotations may exempt from it until a date (annotationExemptions), and CEL cannot read the time; "
            "the webhook does it"
        )
    whole: list[str] = []
    by_container: list[tuple[str, str]] = []
    chosen = {id(exemption) for exemption in exempting.chosen(plan, first.requirement.id, cluster)}
    for index, exemption in enumerate(plan.exemptions):
        if id(exemption) not in chosen:
            continue
        condition = exempting.object_condition(exemption)
        name = f"exempt{index}"
        if condition != "true":
            variables[name] = condition
            condition = f"variables.{name}"
        if exemption.containers:
            by_container.append((condition, str(index)))
        else:
            whole.append(condition)

    def exempt(name: str) -> str:
        found = []
        for condition, index in by_container:
            named = exempting.container_condition(plan.exemptions[int(index)], name)
            found.append(named if condition == "true" else f"{condition} && {parenthesised(named)}")
        return any_of(found) if found else ""

    parts = []
    for rule in rules:
        text = problems(rule.rule, CelBuilder(place, exempt))
        if rule.levels:
            text = f"{exempting.in_levels(rule.levels)} ? ({text}) : []"
        parts.append(text)
    text = concat(parts)
    return f"{any_of(whole)} ? [] : ({text})" if whole else text


def _unused(requirement_id: str, variables: dict[str, str]) -> str:
    base = re.sub(r"[^A-Za-z0-9]+", "_", requirement_id).strip("_")
    name, number = base, 2
    while name in variables:
        name, number = f"{base}_{number}", number + 1
    return name


def _used(variables: dict[str, str], wanted: set[str]) -> tuple[tuple[str, str], ...]:
    """Those that are needed for `wanted`, in the order in which each only uses those before it."""
    needed: set[str] = set()
    todo = set(wanted)
    while todo:
        name = todo.pop()
        needed.add(name)
        todo |= set(_VARIABLE.findall(variables[name])) & set(variables) - needed
    first = [name for name in variables if name in needed and name not in wanted]
    questions = [name for name in variables if name in wanted]
    return tuple((name, variables[name]) for name in (*first, *questions))
