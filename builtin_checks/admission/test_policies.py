"""Kyverno policies that must exist, be ready and enforce.

Where the CRDs of Kyverno are not served there is no policy, which is a finding; where they may not be listed
it is an error. A policy of one namespace counts for minCount, not as a required one. Mutating and generating
policies have no action. Manifests have no status: readiness is not examined there.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_kspec import (
    About,
    Cluster,
    ClusterSpecification,
    Findings,
    Malformed,
    NotServed,
    Requirement,
    Resource,
    ResourceLister,
    check,
)

ABOUT = About(
    restricts=(
        "kyverno.io ClusterPolicy, Policy; policies.kyverno.io ValidatingPolicy, ImageValidatingPolicy, "
        "MutatingPolicy, GeneratingPolicy and their Namespaced… kinds: metadata.name, action, readiness"
    ),
    allowed=(
        "admission.policies.minCount: at least so many policies are ready; requiredPolicies: of that name, for the "
        "whole cluster, ready, applied at admission, and denying what it finds (Enforce, Deny)"
    ),
    source="the specification, admission.policies; Kyverno, kyverno.io/v1 and policies.kyverno.io/v1",
)

LEGACY, CURRENT = "kyverno.io", "policies.kyverno.io"
_DENYING = ("ValidatingPolicy", "ImageValidatingPolicy")
_KINDS = (*_DENYING, "MutatingPolicy", "GeneratingPolicy")
KINDS = (
    (LEGACY, "ClusterPolicy"),
    (LEGACY, "Policy"),
    *((CURRENT, kind) for kind in _KINDS),
    *((CURRENT, f"Namespaced{kind}") for kind in _KINDS),
)
_FIX = (
    "Install Kyverno and the policy; set its action to Enforce (ClusterPolicy) or Deny (ValidatingPolicy), "
    "and look at its status where it is not ready."
)


def count_requirement(spec: ClusterSpecification) -> Iterator[Requirement]:
    """At most one."""
    policies = spec.admission.policies if spec.admission else None
    if policies is not None and policies.min_count:
        key = "admission.policies.minCount"
        yield Requirement(key, key, policies.min_count)


def requirements(spec: ClusterSpecification) -> Iterator[Requirement]:
    """One for each required policy."""
    policies = spec.admission.policies if spec.admission else None
    entries = policies.required_policies if policies else ()
    return Requirement.each("admission.policies.requiredPolicies", entries, lambda entry: entry.name)


@check(
    id="admission.policies.minCount",
    title="Enough Kyverno policies exist and are ready",
    severity="medium",
    remediation=_FIX,
    about=ABOUT,
    not_admission="it is about missing objects; admission sees only objects that are created or changed",
    requirements=count_requirement,
    cluster_wide=True,
    reads=("kyverno.io/*", "policies.kyverno.io/*"),
)
def test_policy_count(
    requirement: Requirement, resources: ResourceLister, cluster: Cluster, findings: Findings
) -> None:
    """A policy that is not ready is not applied: it only looks as if something were enforced."""
    policies = _policies(resources)
    if policies is None:
        _nothing_served(findings, requirement.id)
        return
    idle = [p.name for p in policies if cluster.source != "manifests" and not is_ready(p)]
    ready = len(policies) - len(idle)
    if ready < requirement.value:
        waiting = f"; not ready: {', '.join(sorted(idle))}" if idle else ""
        findings.add(
            None,
            path=requirement.id,
            actual=f"{ready}{waiting}",
            expected=f"at least {requirement.value} Kyverno policies that are ready",
            message=f"{ready} of {requirement.value} Kyverno policies exist and are ready{waiting}",
        )


@check(
    id="admission.policies.requiredPolicies",
    title="Required Kyverno policies exist, are ready and enforce",
    severity="high",
    remediation=_FIX,
    about=ABOUT,
    not_admission="it is about missing objects; admission sees only objects that are created or changed",
    requirements=requirements,
    cluster_wide=True,
    reads=("kyverno.io/*", "policies.kyverno.io/*"),
)
def test_required_policies(
    requirement: Requirement, resources: ResourceLister, cluster: Cluster, findings: Findings
) -> None:
    """A required policy that is absent, not ready or only audits denies nothing."""
    name = requirement.value.name
    policies = _policies(resources)
    if policies is None:
        _nothing_served(findings, requirement.id)
        return
    named = [policy for policy in policies if policy.name == name]
    everywhere = [policy for policy in named if not policy.namespace]
    if not everywhere:
        where = ", ".join(sorted({policy.namespace for policy in named}))
        findings.add(
            None,
            path=requirement.id,
            actual=f"for namespace {where} only" if named else None,
            expected=f"Kyverno policy {name} for the whole cluster",
            message=f"Kyverno policy {name} "
            + (f"exists in namespace {where} only" if named else "is missing"),
        )
    faults = {policy: list(_faults(policy, cluster.source != "manifests")) for policy in everywhere}
    if all(faults.values()):
        # One of several kinds of this name is enough; where none is, each says why.
        for policy, found in faults.items():
            for path, actual, expected, message in found:
                findings.add(policy, path=path, actual=actual, expected=expected, message=message)


def _policies(resources: ResourceLister) -> list[Resource] | None:
    """All policies, or None where the cluster serves none of the kinds."""
    served, found = False, []
    for group, kind in KINDS:
        try:
            found += list(resources(kind, group=group))
            served = True
        except NotServed:
            continue
    return found if served else None


def _nothing_served(findings: Findings, path: str) -> None:
    findings.add(
        None,
        path=path,
        expected="Kyverno policies",
        message=f"the cluster serves no policy of Kyverno ({LEGACY}, {CURRENT}): nothing is enforced",
    )


def is_ready(policy: Resource) -> bool:
    """What the policy's status says; a policy without a status is not ready."""
    status = _map(policy.raw, "status")
    conditions = status.get("conditions")
    for condition in conditions if isinstance(conditions, list) else ():
        if isinstance(condition, dict) and condition.get("type") == "Ready":
            return condition.get("status") == "True"
    return status.get("ready") is True or _map(status, "conditionStatus").get("ready") is True


def _condition(policy: Resource) -> str:
    """What the policy's status says for itself."""
    status = _map(policy.raw, "status")
    for found in (*_maps(status, "conditions"), *_maps(_map(status, "conditionStatus"), "conditions")):
        if found.get("status") != "True":
            said = found.get("message") or found.get("reason")
            return f"{found.get('type')} is {found.get('status')}" + (f": {said}" if said else "")
    return "not ready" if status else "no status"


def _faults(policy: Resource, with_status: bool) -> Iterator[tuple[str, Any, str, str]]:
    """(path, actual, expected, message) of everything that keeps the policy from denying."""
    if with_status and not is_ready(policy):
        yield "status", _condition(policy), "ready", "the policy is not ready"
    if policy.kind.removeprefix("Namespaced") in _KINDS:
        evaluation = _map(policy.spec, "evaluation")
        if not _flag(_map(evaluation, "admission"), "enabled"):
            yield (
                "spec.evaluation.admission.enabled",
                False,
                "unset or true",
                "not applied at admission",
            )
        mode = evaluation.get("mode")
        if mode not in (None, "", "Kubernetes"):
            yield (
                "spec.evaluation.mode",
                mode,
                "Kubernetes",
                f"the policy is for {mode} payloads",
            )
        actions = policy.spec.get("validationActions")
        if not isinstance(actions, list | None):
            raise Malformed(f"validationActions is {actions!r:.60}, not a list")
        if policy.kind in _DENYING and actions and "Deny" not in actions:
            said = ", ".join(map(str, actions))
            yield "spec.validationActions", actions, "Deny", f"the policy does not deny: {said}"
        if policy.kind in _DENYING and not _maps(policy.spec, "validations"):
            yield "spec.validations", None, "at least one validation", "the policy has no validations"
        return
    if not _flag(policy.spec, "admission"):
        yield "spec.admission", False, "unset or true", "not applied at admission"
    if not _maps(policy.spec, "rules"):
        yield "spec.rules", None, "at least one rule", "the policy has no rules"
    yield from _audits(policy.spec)


def _audits(spec: Mapping[str, Any]) -> Iterator[tuple[str, Any, str, str]]:
    """Rules that only audit. A rule's own action wins over the policy's, whose default is Audit."""
    general = _text(spec, "validationFailureAction")
    audited = False
    for index, rule in enumerate(_maps(spec, "rules")):
        name = rule.get("name") or index
        parts = [("validate", found)] if (found := _map(rule, "validate")) else []
        parts += [(f"verifyImages[{i}]", part) for i, part in enumerate(_maps(rule, "verifyImages"))]
        for field, part in parts:
            own = _text(part, "failureAction")
            if str(own or general or "Audit").lower() != "enforce":
                path = f"spec.rules[{name}].{field}.failureAction" if own else "spec.validationFailureAction"
                if own or not audited:
                    yield path, own or general, "Enforce", f"rule {name} only audits"
                audited = audited or not own
            yield from _overrides(part, "failureActionOverrides", f"spec.rules[{name}].{field}.")
    yield from _overrides(spec, "validationFailureActionOverrides", "spec.")


def _overrides(raw: Mapping[str, Any], key: str, prefix: str) -> Iterator[tuple[str, Any, str, str]]:
    for index, override in enumerate(_maps(raw, key)):
        action = _text(override, "action")
        if str(action or "").lower() == "audit":
            where = override.get("namespaces")
            names = ", ".join(map(str, where)) if isinstance(where, list) else "selected namespaces"
            yield f"{prefix}{key}[{index}].action", action, "Enforce", f"the policy only audits in {names}"


def _flag(raw: Mapping[str, Any], key: str) -> bool:
    """A switch that is on where it is not set."""
    value = raw.get(key)
    if not isinstance(value, bool | None):
        raise Malformed(f"{key} is {value!r:.60}, neither true nor false")
    return value is not False


def _text(raw: Mapping[str, Any], key: str) -> str | None:
    value = raw.get(key)
    if not isinstance(value, str | None):
        raise Malformed(f"{key} is {value!r:.60}, not text")
    return value


def _map(raw: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key)
    if not isinstance(value, dict | None):
        raise Malformed(f"{key} is {value!r:.60}, not an object")
    return value or {}


def _maps(raw: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    value = raw.get(key)
    if not isinstance(value, list | None) or not all(isinstance(entry, dict) for entry in value or ()):
        raise Malformed(f"{key} is {value!r:.60}, not a list of objects")
    return value or []
