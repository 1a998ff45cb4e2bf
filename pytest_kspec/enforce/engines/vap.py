"""ValidatingAdmissionPolicy v1: the API server's own engine. Kubernetes 1.30 and later; nothing else to run.

A policy for each place that pods are in, and one for Services: an API server evaluates few policies faster than many.
A policy has one validation, with one message that names every violation: of several the API server reports the first
that fails, and kube-controller-manager type-checks all variables again for each. The mode is the binding's alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pytest_kspec.cluster.shapes import SECURITY_ANNOTATION, SECURITY_PREFIXES
from pytest_kspec.enforce.cel.places import PLACES, SERVICES, Place
from pytest_kspec.enforce.cel.program import Program, program, shortened
from pytest_kspec.enforce.cel.text import literal, matches_globs
from pytest_kspec.enforce.engines import Generated, InForce, Wanted
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.names import metadata
from pytest_kspec.enforce.plan import NotEnforceable
from pytest_kspec.model.globs import is_literal
from pytest_kspec.model.scope import NAME_LABEL
from pytest_kspec.model.spec_operator import NamespaceScope

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.cluster.write import Writer

NAME = "vap"
API_VERSION = "admissionregistration.k8s.io/v1"
POLICY = "ValidatingAdmissionPolicy"
BINDING = "ValidatingAdmissionPolicyBinding"
KINDS = ((API_VERSION, POLICY), (API_VERSION, BINDING))
"""In the order in which they are applied; removed in the other."""

ACTIONS = {Mode.AUDIT: ["Warn", "Audit"], Mode.ENFORCE: ["Deny", "Audit"]}


def generate(wanted: Wanted) -> Generated:
    """Policies and, while the specification is active, their bindings."""
    policies: list[dict[str, Any]] = []
    left: dict[str, NotEnforceable] = {}
    for place in PLACES:
        made, missing = program(wanted.plan, place, wanted.cluster_name)
        left |= {item.requirement_id: item for item in missing}
        if made.questions:
            policies.append(_policy(wanted, made))
    bindings = [_binding(wanted, policy["metadata"]) for policy in policies] if wanted.active else []
    return Generated((*policies, *bindings), tuple(left[key] for key in sorted(left)))


def _policy(wanted: Wanted, made: Program) -> dict[str, Any]:
    place = made.place
    variables = [{"name": name, "expression": text} for name, text in made.variables]
    variables.append({"name": "violations", "expression": _all_violations(made)})
    constraints: dict[str, Any] = {"resourceRules": _rules(place), "matchPolicy": "Equivalent"}
    scope = wanted.scope
    selector = _namespace_selector(scope)
    if selector:
        constraints["namespaceSelector"] = selector
    return {
        "apiVersion": API_VERSION,
        "kind": POLICY,
        "metadata": metadata(
            wanted.plan.spec, place.name, engine=NAME, mode=wanted.mode, boundary=wanted.boundary
        ),
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": constraints,
            "matchConditions": list(_conditions(place, scope)),
            "variables": variables,
            "validations": [_validation(wanted)],
        },
    }


def _all_violations(made: Program) -> str:
    parts = [
        f'({question.is_met} ? [] : ["[{question.requirement_id}] " + '
        f'variables.{question.variable}.join("; ")])'
        for question in made.questions
    ]
    return " + ".join(parts)


def _validation(wanted: Wanted) -> dict[str, Any]:
    name = wanted.plan.spec.name
    text = f'{literal(f"{name} is violated: ")} + variables.violations.join("; ")'
    return {
        "expression": "variables.violations.size() == 0",
        "messageExpression": shortened(text),
        "message": f"{name} is violated",
        "reason": "Forbidden",
    }


def _binding(wanted: Wanted, policy: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": BINDING,
        "metadata": policy,
        "spec": {"policyName": policy["name"], "validationActions": ACTIONS[wanted.mode]},
    }


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


def _conditions(place: Place, scope: NamespaceScope | None) -> Iterator[dict[str, str]]:
    """What is about to go, and changes that leave the pod as it is, are none of ours: see `enforce.decide`."""
    yield {"name": "not-deleted", "expression": "!has(object.metadata.deletionTimestamp)"}
    if place == SERVICES:
        same = "object.spec == oldObject.spec"
    else:
        new, old = place.root, place.root.replace("object", "oldObject", 1)
        same = f"{new}.spec == {old}.spec && {_same_annotations(new, old)}"
    yield {"name": "changed", "expression": f"oldObject == null || !({same})"}
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


def _namespace_selector(scope: NamespaceScope | None) -> dict[str, Any]:
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """None of its own."""


def in_force(objects: Sequence[dict[str, Any]], writer: Writer) -> list[InForce]:
    """Policies with the actions of their bindings, and why one may not do what it should."""
    bindings: dict[str, dict[str, Any]] = {}
    for item in objects:
        if item["kind"] == BINDING:
            bindings[item["spec"].get("policyName", "")] = item
    found = []
    for policy in objects:
        if policy["kind"] != POLICY:
            continue
        name = policy["metadata"]["name"]
        binding = bindings.pop(name, None)
        actions = binding["spec"].get("validationActions", []) if binding else []
        mode = next((str(mode) for mode, wanted in ACTIONS.items() if wanted[0] in actions), "")
        pending = _is_pending(policy)
        found.append(InForce(POLICY, name, mode, tuple(_problems(policy, binding, pending)), pending))
    for name, binding in sorted(bindings.items()):
        problem = f"there is no policy {name}"
        found.append(InForce(BINDING, binding["metadata"]["name"], "", (problem,)))
    return found


def _is_pending(policy: dict[str, Any]) -> bool:
    """kube-controller-manager has not type-checked this generation."""
    seen = (policy.get("status") or {}).get("observedGeneration")
    return bool(seen != policy["metadata"].get("generation"))


def _problems(policy: dict[str, Any], binding: dict[str, Any] | None, pending: bool) -> Iterator[str]:
    if binding is None:
        yield "it has no binding, so it does nothing"
    elif binding["spec"].get("matchResources"):
        yield "its binding is limited to some resources (matchResources), which kspec does not write"
    status = policy.get("status") or {}
    if pending:
        yield "its CEL is not type-checked yet; is kube-controller-manager running?"
    for warning in (status.get("typeChecking") or {}).get("expressionWarnings") or ():
        text = " ".join(str(warning.get("warning", "")).split())
        yield f"type checker, {warning.get('fieldRef', '')}: {text[:300]}"
    for condition in status.get("conditions") or ():
        if condition.get("status") == "False":
            yield f"{condition.get('type', '')}: {condition.get('message', '')}"
