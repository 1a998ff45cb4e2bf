"""ClusterPolicies (`kyverno.io/v1`, `validate.cel`) for a Kyverno that does not serve ValidatingPolicies.

Kyverno 1.11 and later evaluate the same CEL there; the kind is deprecated since 1.17 and goes away. Kyverno replaces
`{{ … }}` and `$( … )` in all texts of a ClusterPolicy before anything is evaluated, so what contains these is refused
here, never changed behind our back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pytest_kspec.enforce.cel.program import Program
from pytest_kspec.enforce.engines import Generated, InForce, Wanted, matching
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.names import metadata
from pytest_kspec.enforce.plan import NotEnforceable
from pytest_kspec.rules.cel.places import Place

API_VERSION = "kyverno.io/v1"
POLICY = "ClusterPolicy"
ACTIONS = {Mode.AUDIT: "Audit", Mode.ENFORCE: "Enforce"}
NO_AUTOGEN = {"pod-policies.kyverno.io/autogen-controllers": "none"}
_SUBSTITUTED = re.compile(r"\{\{|\$\(")
_REASON = "it contains {{ or $(, which Kyverno would substitute in a ClusterPolicy"


def generate(wanted: Wanted, engine: str) -> Generated:
    """A policy of one rule for each place, while the specification is active. engine: for labels."""
    programs, left = matching.programs(wanted)
    missing = {item.requirement_id: item for item in left}
    policies = []
    for made in programs:
        kept, refused = _literal(made, wanted)
        missing |= {item.requirement_id: item for item in refused}
        if kept.questions and wanted.active:
            policies.append(_policy(wanted, kept, engine))
    return Generated(tuple(policies), tuple(missing[key] for key in sorted(missing)))


def _literal(made: Program, wanted: Wanted) -> tuple[Program, list[NotEnforceable]]:
    """The program without questions that use a text which Kyverno would change."""
    tainted: set[str] = set()
    for name, text in made.variables:  # each only uses those before it
        uses = set(re.findall(r"variables\.(\w+)", text))
        if _SUBSTITUTED.search(text) or uses & tainted:
            tainted.add(name)
    everything = bool(_SUBSTITUTED.search(str([*matching.conditions(made.place, wanted.scope)])))
    everything = everything or bool(_SUBSTITUTED.search(wanted.plan.spec.name))
    bad = [
        q
        for q in made.questions
        if everything or q.variable in tainted or _SUBSTITUTED.search(q.requirement_id)
    ]
    gone = {question.variable for question in bad} | tainted
    kept = replace(
        made,
        variables=tuple(pair for pair in made.variables if pair[0] not in gone),
        questions=tuple(question for question in made.questions if question not in bad),
    )
    locations = {rule.requirement.id: rule.requirement.location for rule in wanted.plan.rules}
    refused = [NotEnforceable(q.requirement_id, _REASON, locations[q.requirement_id]) for q in bad]
    return kept, refused


def _policy(wanted: Wanted, made: Program, engine: str) -> dict[str, Any]:
    about = metadata(
        wanted.plan.spec, made.place.name, engine=engine, mode=wanted.mode, boundary=wanted.boundary
    )
    about["annotations"] = {**about["annotations"], **NO_AUTOGEN}
    kinds = list(_kinds(made.place))
    resources: dict[str, Any] = {"kinds": kinds, "operations": ["CREATE", "UPDATE"]}
    selector = matching.namespace_selector(wanted.scope)
    if selector:
        resources["namespaceSelector"] = selector
    check = matching.validation(wanted)
    return {
        "apiVersion": API_VERSION,
        "kind": POLICY,
        "metadata": about,
        "spec": {
            "validationFailureAction": ACTIONS[wanted.mode],
            "failurePolicy": "Fail",
            # Kyverno refuses a policy with subresources that is also for its background scan.
            "background": not any(
                "/" in resource for kind in made.place.kinds for resource in kind.resources
            ),
            "rules": [
                {
                    "name": made.place.name,
                    "match": {"any": [{"resources": resources}]},
                    "celPreconditions": list(matching.conditions(made.place, wanted.scope)),
                    "validate": {"cel": {"variables": matching.variables(made), "expressions": [check]}},
                }
            ],
        },
    }


def _kinds(place: Place) -> Iterator[str]:
    for kind in place.kinds:
        prefix = f"{kind.group}/{kind.version}/" if kind.group else f"{kind.version}/"
        for resource in kind.resources:
            _, _, subresource = resource.partition("/")
            yield f"{prefix}{kind.kind}" + (f"/{subresource}" if subresource else "")


def in_force(item: dict[str, Any]) -> InForce:
    """What one ClusterPolicy does, as Kyverno says."""
    spec, status = item["spec"], item.get("status") or {}
    ready = {one.get("type"): one for one in status.get("conditions") or ()}.get("Ready")
    heard = ready is not None or "ready" in status
    works = ready.get("status") == "True" if ready is not None else bool(status.get("ready"))
    action = str(spec.get("validationFailureAction", "Audit")).lower()
    mode = next((str(mode) for mode, wanted in ACTIONS.items() if wanted.lower() == action), "")
    problems = []
    if spec.get("admission") is False:
        mode = ""
        problems.append("it is not evaluated at admission (spec.admission), which kspec does not write")
    if not heard:
        problems.append("Kyverno has not processed it yet; is its admission controller running?")
    elif not works:
        message = (ready or {}).get("message", "")
        problems.append(f"Ready: {' '.join(str(message).split())[:300]}")
    return InForce(POLICY, item["metadata"]["name"], mode if works else "", tuple(problems), not heard)
