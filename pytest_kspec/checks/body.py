"""A rule as the whole body of a check: which fixtures it needs, and how it is evaluated with them.

A check that is its rule says it once, so that a scan, which runs the body, and admission, which reads the rule, cannot
disagree.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from pytest_kspec.kube.resources import Resource, Workload
from pytest_kspec.rules.base import Rule, ServiceRule
from pytest_kspec.rules.pods.podsecurity import PodSecurityControl
from pytest_kspec.spec.requirement import Requirement

RuleOfCheck: TypeAlias = Rule | ServiceRule | PodSecurityControl | Callable[[Requirement], Rule | ServiceRule]
"""What `@check(rule=…)` takes: a rule, one by level and version, or a function that makes one of a requirement."""


class Collector(Protocol):
    """The fixture `findings`, as far as a rule needs it (`pytest_kspec.Findings`)."""

    def apply(self, rule: Rule, workloads: Sequence[Workload]) -> None:
        """Evaluate a rule on pods."""
        ...

    def apply_to_services(self, rule: ServiceRule, services: Sequence[Resource]) -> None:
        """Evaluate a rule on Services."""
        ...


_SERVICES = "services"
_WORKLOADS = "workloads"


def made_rule(rule: object, requirement: Requirement) -> Rule | ServiceRule:
    """The rule itself, or what it makes of the requirement. Raises TypeError for what is no rule."""
    if not isinstance(rule, Rule | ServiceRule) and callable(rule):
        rule = rule(requirement)
    if not isinstance(rule, Rule | ServiceRule):
        raise TypeError(f"its rule is of type {type(rule).__name__}, which is not a rule.")
    return rule


def body_of(rule: RuleOfCheck, func: Callable[..., None]) -> Callable[..., None]:
    """A function that evaluates the rule, with name, docstring and marks of `func`.

    It asks for the fixtures that the rule needs, and no others: who may list Services only can scan them.
    Raises TypeError where the kind of rule is not known without a requirement.
    """
    names: tuple[str, ...]
    run: Callable[..., None]
    if isinstance(rule, PodSecurityControl):
        names = (_WORKLOADS, "spec", "cluster", "findings")
        run = functools.partial(_apply_control, rule)
    else:
        names = ("requirement", *_examined(rule), "findings")
        run = functools.partial(_apply, rule)

    @functools.wraps(func)
    def body(**given: Any) -> None:
        run(**given)

    parameters = [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in names]
    body.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # read by inspect.signature
    return body


def _apply_control(control: PodSecurityControl, findings: Collector, **given: Any) -> None:
    for rule, concerned in control.select(**given):
        findings.apply(rule, concerned)


def _apply(rule: RuleOfCheck, requirement: Requirement, findings: Collector, **given: Any) -> None:
    made = made_rule(rule, requirement)
    if _needs(made) != tuple(given):
        raise TypeError(f"{type(made).__name__} is not the kind of rule that its function promises.")
    if isinstance(made, Rule):
        findings.apply(made, given[_WORKLOADS])
    if isinstance(made, ServiceRule):
        findings.apply_to_services(made, given[_SERVICES])


def _examined(rule: object) -> tuple[str, ...]:
    if isinstance(rule, Rule | ServiceRule):
        return _needs(rule)
    returned: Any = None
    if callable(rule):
        try:
            returned = typing.get_type_hints(rule).get("return")
        except NameError as error:
            raise TypeError(
                f"its rule's return annotation refers to a name that is not imported at run time: {error}."
            ) from error
    if not (names := _needs(returned)):
        raise TypeError(
            "its rule is neither a rule nor a function whose return annotation is a class of rules."
        )
    return names


def _needs(rule: object) -> tuple[str, ...]:
    """By instance or class."""
    pods, services = hasattr(rule, "evaluate"), hasattr(rule, "evaluate_service")
    return (_WORKLOADS,) * pods + (_SERVICES,) * services
