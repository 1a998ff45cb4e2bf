"""ValidatingAdmissionPolicy v1: the API server's own engine. Kubernetes 1.30 and later; nothing else to run.

A policy for each place that pods are in, and one for Services: an API server evaluates few policies faster than many.
A policy has one validation, with one message that names every violation: of several the API server reports the first
that fails, and kube-controller-manager type-checks all variables again for each. The mode is the binding's alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pytest_kspec.enforce.cel.program import Program
from pytest_kspec.enforce.engines import Generated, InForce, Wanted, matching
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.names import metadata

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.cluster.writing.write import Writer

NAME = "vap"
API_VERSION = "admissionregistration.k8s.io/v1"
POLICY = "ValidatingAdmissionPolicy"
BINDING = "ValidatingAdmissionPolicyBinding"
KINDS = ((API_VERSION, POLICY), (API_VERSION, BINDING))
"""In the order in which they are applied; removed in the other."""

IF_NOT_SERVED = "It needs Kubernetes 1.30 or later; see the other engines in 'kspec enforce --help'."
ACTIONS = {Mode.AUDIT: ["Warn", "Audit"], Mode.ENFORCE: ["Deny", "Audit"]}


def generate(wanted: Wanted) -> Generated:
    """Policies and, while the specification is active, their bindings."""
    programs, left = matching.programs(wanted)
    policies = [_policy(wanted, made) for made in programs]
    bindings = [_binding(wanted, policy["metadata"]) for policy in policies] if wanted.active else []
    return Generated((*policies, *bindings), left)


def _policy(wanted: Wanted, made: Program) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": POLICY,
        "metadata": metadata(
            wanted.plan.spec, made.place.name, engine=NAME, mode=wanted.mode, boundary=wanted.boundary
        ),
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": matching.match_constraints(made.place, wanted.scope),
            "matchConditions": list(matching.conditions(made.place, wanted.scope)),
            "variables": matching.variables(made),
            "validations": [matching.validation(wanted)],
        },
    }


def _binding(wanted: Wanted, policy: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": BINDING,
        "metadata": policy,
        "spec": {"policyName": policy["name"], "validationActions": ACTIONS[wanted.mode]},
    }


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
        problem = f"the policy {name} does not exist"
        found.append(InForce(BINDING, binding["metadata"]["name"], "", (problem,)))
    return found


def _is_pending(policy: dict[str, Any]) -> bool:
    """kube-controller-manager has not type-checked this generation."""
    seen = (policy.get("status") or {}).get("observedGeneration")
    return bool(seen != policy["metadata"].get("generation"))


def _problems(policy: dict[str, Any], binding: dict[str, Any] | None, pending: bool) -> Iterator[str]:
    if binding is None:
        yield "it has no binding, so it has no effect"
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
