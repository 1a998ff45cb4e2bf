"""Kyverno: ValidatingPolicies of `policies.kyverno.io/v1`, with the same CEL as ValidatingAdmissionPolicies.

For Kyverno that does not serve them there are ClusterPolicies (`--kyverno-api clusterpolicy`, see
`kyverno_clusterpolicy`). Autogen is off: there are policies of our own for the controllers of pods, and generated ones
would report, and refuse, each twice. Kyverno has no bindings: outside of its active periods a specification has no
policies.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from pytest_kspec.enforce.cel.program import Program
from pytest_kspec.enforce.engines import Generated, InForce, Wanted, kyverno_clusterpolicy, matching
from pytest_kspec.enforce.modes import Mode
from pytest_kspec.enforce.names import metadata

if TYPE_CHECKING:
    import argparse

    from pytest_kspec.cluster.writing.write import Writer

NAME = "kyverno"
API_VERSION = "policies.kyverno.io/v1"
POLICY = "ValidatingPolicy"
KINDS = ((API_VERSION, POLICY), (kyverno_clusterpolicy.API_VERSION, kyverno_clusterpolicy.POLICY))
"""Both, so that a change of `--kyverno-api` removes what the other one made."""

IF_NOT_SERVED = (
    "Is Kyverno installed? If it has no ValidatingPolicy (policies.kyverno.io/v1): --kyverno-api clusterpolicy; "
    "where it has no ClusterPolicy: without that option."
)
APIS = ("validatingpolicy", "clusterpolicy")
ACTIONS = {Mode.AUDIT: ["Warn", "Audit"], Mode.ENFORCE: ["Deny"]}
IN_WEBHOOK = "WebhookConfigured"
"""The condition by which Kyverno says that admission requests come to a policy."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which of Kyverno's two APIs."""
    parser.add_argument(
        "--kyverno-api",
        choices=APIS,
        default=APIS[0],
        help="engine kyverno: clusterpolicy for a Kyverno without ValidatingPolicy v1 "
        "(default: validatingpolicy)",
    )


def generate(wanted: Wanted) -> Generated:
    """A policy for each place, while the specification is active."""
    if getattr(wanted.options, "kyverno_api", APIS[0]) == "clusterpolicy":
        return kyverno_clusterpolicy.generate(wanted, NAME)
    programs, left = matching.programs(wanted)
    return Generated(tuple(_policy(wanted, made) for made in programs if wanted.active), left)


def _policy(wanted: Wanted, made: Program) -> dict[str, Any]:
    return {
        "apiVersion": API_VERSION,
        "kind": POLICY,
        "metadata": metadata(
            wanted.plan.spec, made.place.name, engine=NAME, mode=wanted.mode, boundary=wanted.boundary
        ),
        "spec": {
            "validationActions": ACTIONS[wanted.mode],
            "failurePolicy": "Fail",
            "evaluation": {"admission": {"enabled": True}, "background": {"enabled": True}},
            "autogen": {
                "podControllers": {"controllers": []},
                "validatingAdmissionPolicy": {"enabled": False},
            },
            "matchConstraints": matching.match_constraints(made.place, wanted.scope),
            "matchConditions": list(matching.conditions(made.place, wanted.scope)),
            "variables": matching.variables(made),
            "validations": [matching.validation(wanted)],
        },
    }


def in_force(objects: Sequence[dict[str, Any]], writer: Writer) -> list[InForce]:
    """Policies with their actions, as far as Kyverno says that it has put them into its webhook."""
    found = []
    for item in objects:
        if item["kind"] != POLICY:
            found.append(kyverno_clusterpolicy.in_force(item))
            continue
        status = (item.get("status") or {}).get("conditionStatus") or {}
        conditions = {one.get("type"): one for one in status.get("conditions") or ()}
        heard = IN_WEBHOOK in conditions
        works = heard and conditions[IN_WEBHOOK].get("status") == "True"
        spec = item["spec"]
        actions = spec.get("validationActions") or []
        mode = next((str(mode) for mode, wanted in ACTIONS.items() if wanted[0] in actions), "")
        problems = [*_switched_off(spec), *_problems(conditions, heard)]
        if not _admission(spec):
            mode = ""
        found.append(
            InForce(POLICY, item["metadata"]["name"], mode if works else "", tuple(problems), not heard)
        )
    return found


def _admission(spec: dict[str, Any]) -> bool:
    admission = (spec.get("evaluation") or {}).get("admission") or {}
    return bool(admission.get("enabled", True))


def _switched_off(spec: dict[str, Any]) -> Iterator[str]:
    if not _admission(spec):
        yield "it is not evaluated at admission (evaluation.admission.enabled), which kspec does not write"


def _problems(conditions: dict[Any, dict[str, Any]], heard: bool) -> Iterator[str]:
    if not heard:
        yield "Kyverno has not processed it yet; is its admission controller running?"
    for name, condition in sorted(conditions.items(), key=lambda pair: str(pair[0])):
        if condition.get("status") == "False":
            yield f"{name}: {' '.join(str(condition.get('message', '')).split())[:300]}"
