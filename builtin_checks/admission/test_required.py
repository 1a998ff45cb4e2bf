"""Admission objects that must exist: webhook configurations and admission policies.

Not counted, because it enforces nothing: a webhook configuration without webhooks, a policy without a
binding, and a ValidatingAdmissionPolicy whose bindings only warn or audit. A webhook with failurePolicy
Ignore counts, although it lets requests pass while it does not answer. Policies that the API server reads
from files are not visible through the API.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_kspec import (
    About,
    ClusterSpecification,
    Findings,
    Malformed,
    NotServed,
    Pattern,
    Requirement,
    Resource,
    ResourceLister,
    check,
)

ABOUT = About(
    restricts=(
        "{Validating,Mutating}WebhookConfiguration {metadata.name,webhooks};\n"
        "{Validating,Mutating}AdmissionPolicy metadata.name, with the bindings that name it"
    ),
    allowed=(
        "at least minCount objects of the type whose whole name matches namePattern (a regular "
        "expression; unset: any name) and that have an effect"
    ),
    source="the specification, admission.required; Kubernetes, admissionregistration.k8s.io/v1",
)

GROUP = "admissionregistration.k8s.io"


def requirements(spec: ClusterSpecification) -> Iterator[Requirement]:
    """One for each entry."""
    entries = spec.admission.required if spec.admission else ()
    return Requirement.each("admission.required", entries, _label)


def _label(entry: Any) -> str:
    pattern = (entry.name_pattern or "").strip()
    return f"{entry.type}/{pattern}" if pattern else str(entry.type)


@check(
    id="admission.required",
    title="Required admission webhooks and policies exist and are effective",
    severity="high",
    remediation="Install what registers these: an admission controller, or policies with their bindings. "
    "namePattern is a regular expression for the whole name: `kyverno-.*`, not `kyverno-*`.",
    about=ABOUT,
    not_admission="it is about missing objects; admission sees only objects that are created or changed",
    requirements=requirements,
    cluster_wide=True,
    reads=(f"{GROUP}/*",),
)
def test_required(requirement: Requirement, resources: ResourceLister, findings: Findings) -> None:
    """A rule that nothing enforces at admission holds until the next deployment."""
    entry = requirement.value
    pattern = Pattern(entry.name_pattern or ".*")
    try:
        objects = list(resources(entry.type, group=GROUP))
    except NotServed:
        objects = []
    matching = [item for item in objects if pattern.fullmatch(item.name)]
    idle = _without_effect(entry.type, matching, resources)
    counted = [item.name for item in matching if item.name not in idle]
    if len(counted) >= entry.min_count:
        return
    named = f" named {entry.name_pattern}" if entry.name_pattern else ""
    notes = [f"{name} {why}" for name, why in sorted(idle.items())]
    if not matching and (near := next((item.name for item in objects if pattern.search(item.name)), None)):
        notes.append(f"{near} matches only in part, but the whole name must match")
    findings.add(
        None,
        path=requirement.id,
        actual="; ".join([str(len(counted)), *notes]),
        expected=f"at least {entry.min_count} {entry.type}{named}",
        message=f"{len(counted)} of {entry.min_count} {entry.type}{named}"
        + "".join(f"; {note}" for note in notes),
    )


def _without_effect(kind: str, items: list[Resource], resources: ResourceLister) -> dict[str, str]:
    """Name → why it enforces nothing."""
    if kind.endswith("WebhookConfiguration"):
        return {item.name: "has no webhooks" for item in items if not _webhooks(item)}
    if not items:
        return {}
    actions: dict[str, set[str]] = {}
    for binding in resources(f"{kind}Binding", group=GROUP):
        policy = binding.spec.get("policyName")
        if isinstance(policy, str):
            listed = binding.spec.get("validationActions")
            actions.setdefault(policy, set()).update(listed if isinstance(listed, list) else ())
    idle = {}
    for item in items:
        if item.name not in actions:
            idle[item.name] = "has no binding"
        elif kind == "ValidatingAdmissionPolicy" and "Deny" not in actions[item.name]:
            idle[item.name] = (
                f"does not deny (its bindings: {', '.join(sorted(actions[item.name])) or 'no action'})"
            )
    return idle


def _webhooks(item: Resource) -> list[Any]:
    listed = item.raw.get("webhooks")
    if not isinstance(listed, list | None) or not all(isinstance(hook, dict) for hook in listed or ()):
        raise Malformed(f"{item.kind} {item.name}: webhooks is {listed!r:.60}, not a list of webhooks")
    return listed or []
