"""What engines that take CEL have in common: which requests are meant, variables, the one validation of a policy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_kspec.enforce.cel.program import Program, program, shortened
from pytest_kspec.enforce.engines import Wanted
from pytest_kspec.enforce.plan import NotEnforceable
from pytest_kspec.kube.globs import is_literal
from pytest_kspec.kube.resources import SECURITY_ANNOTATION, SECURITY_PREFIXES
from pytest_kspec.rules.cel.places import PLACES, SERVICES, Place
from pytest_kspec.rules.cel.text import literal, matches_globs
from pytest_kspec.spec.operations import NamespaceScope
from pytest_kspec.spec.scope import NAME_LABEL


def programs(wanted: Wanted) -> tuple[list[Program], tuple[NotEnforceable, ...]]:
    """A program for each place of which something is asked, and what CEL cannot say, by requirement id."""
    found: list[Program] = []
    left: dict[str, NotEnforceable] = {}
    for place in PLACES:
        made, missing = program(wanted.plan, place, wanted.cluster_name)
        left |= {item.requirement_id: item for item in missing}
        if made.questions:
            found.append(made)
    return found, tuple(left[key] for key in sorted(left))


def variables(made: Program) -> list[dict[str, str]]:
    """Those of the program, and `violations`: the list of all texts."""
    found = [{"name": name, "expression": text} for name, text in made.variables]
    return [*found, {"name": "violations", "expression": _all_violations(made)}]


def match_constraints(place: Place, scope: NamespaceScope | None) -> dict[str, Any]:
    """`matchConstraints`: kinds of the place, in the namespaces that can be said by labels."""
    constraints: dict[str, Any] = {"resourceRules": _rules(place), "matchPolicy": "Equivalent"}
    selector = namespace_selector(scope)
    if selector:
        constraints["namespaceSelector"] = selector
    return constraints


def validation(wanted: Wanted) -> dict[str, Any]:
    """The one validation: nothing is violated; else a message that names all of it."""
    name = wanted.plan.spec.name
    text = f'{literal(f"{name} is violated: ")} + variables.violations.join("; ")'
    return {
        "expression": "variables.violations.size() == 0",
        "messageExpression": shortened(text),
        "message": f"{name} is violated",
        "reason": "Forbidden",
    }


def conditions(place: Place, scope: NamespaceScope | None) -> Iterator[dict[str, str]]:
    """What is about to go, and changes that leave the pod as it is, are none of ours: see `enforce.decide`."""
    yield {"name": "not-deleted", "expression": "!has(object.metadata.deletionTimestamp)"}
    if place == SERVICES:
        same = "object.spec == oldObject.spec"
    else:
        new, old = place.root, place.root.replace("object", "oldObject", 1)
        same = f"{new}.spec == {old}.spec && {_same_annotations(new, old)}"
    # Kyverno has an empty object where the API server has null.
    created = "oldObject == null || !has(oldObject.metadata)"
    yield {"name": "changed", "expression": f"{created} || !({same})"}
    for name, patterns, excluded in (
        ("included-namespaces", scope.include_namespaces if scope else [], False),
        ("no-excluded-namespaces", scope.exclude_namespaces if scope else [], True),
    ):
        if any(not is_literal(pattern) for pattern in patterns):
            test = matches_globs("request.namespace", patterns)
            yield {"name": name, "expression": f"!({test})" if excluded else test}


def _same_annotations(new: str, old: str) -> str:
    """Whether the annotations that rules read are equal: a network plugin writes its own to a running pod."""
    ours, theirs = (f"{pod}.?metadata.?annotations.orValue({{}})" for pod in (new, old))
    read = [f"k == {literal(SECURITY_ANNOTATION)}"]
    read += [f"k.startsWith({literal(prefix)})" for prefix in SECURITY_PREFIXES]
    other = f"!({' || '.join(read)})"
    return (
        f"{ours}.all(k, {other} || {theirs}[?k] == optional.of({ours}[k])) && "
        f"{theirs}.all(k, {other} || k in {ours})"
    )


def namespace_selector(scope: NamespaceScope | None) -> dict[str, Any]:
    """Names without wildcards, and labels; the API server looks at these before it evaluates anything."""
    if scope is None:
        return {}
    labels: dict[str, str] = {}
    expressions: list[dict[str, Any]] = []
    if scope.namespace_selector is not None:
        labels = dict(sorted(scope.namespace_selector.match_labels.items()))
        for requirement in scope.namespace_selector.match_expressions:
            expression: dict[str, Any] = {"key": requirement.key, "operator": requirement.operator}
            if requirement.values:
                expression["values"] = list(requirement.values)
            expressions.append(expression)
    for operator, patterns in (("In", scope.include_namespaces), ("NotIn", scope.exclude_namespaces)):
        if patterns and all(map(is_literal, patterns)):
            expressions.append({"key": NAME_LABEL, "operator": operator, "values": list(patterns)})
    found = {"matchLabels": labels} if labels else {}
    return found | ({"matchExpressions": expressions} if expressions else {})


def _all_violations(made: Program) -> str:
    parts = [
        f'({question.is_met} ? [] : ["[{question.requirement_id}] " + '
        f'variables.{question.variable}.join("; ")])'
        for question in made.questions
    ]
    return " + ".join(parts)


def _rules(place: Place) -> list[dict[str, Any]]:
    groups: dict[str, list[str]] = {}
    for kind in place.kinds:
        groups.setdefault(kind.group, []).extend(kind.resources)
    return [
        {
            "apiGroups": [group],
            "apiVersions": ["v1"],
            "operations": ["CREATE", "UPDATE"],
            "resources": resources,
        }
        for group, resources in groups.items()
    ]
