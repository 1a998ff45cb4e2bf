"""Fields that containers and pods must, or must not, have.

What counts is what holds when the pod runs. A container without a value has its pod's where Kubernetes lets
it inherit (resources; of securityContext runAsNonRoot, runAsUser, runAsGroup, seccompProfile, seLinuxOptions,
appArmorProfile, windowsOptions), and else the default: allowPrivilegeEscalation is true when unset, requests
are the limits. `exists` is about the field being written, by the author or by the API server. A path through
a list (ports.name) is about each item that there is: a container without ports meets it, and `ports` with
`exists: true` asks for one. Amounts are compared as Kubernetes reads them (1Gi is 1024Mi), numbers of seconds
also with durations (5m). Fields that a kind of container cannot carry (ephemeral ones: resources, ports,
probes; init containers that are not sidecars: probes, lifecycle) or that the pod's operating system refuses
are not asked of it.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_kspec import About, ClusterSpecification, ForbiddenField, RequiredField, Requirement, check

ABOUT = About(
    restricts=(
        "spec.{containers,initContainers,ephemeralContainers}[*].<key>, or spec.<key> for a field of the pod"
    ),
    allowed=(
        "required: the value (of several, one), within min and max, matching pattern, of a list nothing "
        "but what is allowed, or one of the alternatives of anyOf; with orUnset, unset too; where "
        "there is no value, true for a boolean and anything for other fields. forbidden: anything but "
        "that; where there is no value, unset or false for a boolean, unset for others"
    ),
    source=("the specification, workloads.containers; Kubernetes API v1.37, core/v1 Container and PodSpec"),
)


def entries(spec: ClusterSpecification, name: str) -> Iterator[Requirement]:
    """One for each entry."""
    containers = spec.workloads.containers if spec.workloads else None
    listed = getattr(containers, name, None) or ()
    return Requirement.each(f"workloads.containers.{name}", listed, lambda entry: entry.key)


def required(spec: ClusterSpecification) -> Iterator[Requirement]:
    """Entries of workloads.containers.required."""
    return entries(spec, "required")


def forbidden(spec: ClusterSpecification) -> Iterator[Requirement]:
    """Entries of workloads.containers.forbidden."""
    return entries(spec, "forbidden")


def required_rule(requirement: Requirement) -> RequiredField:
    """The rule that an entry of workloads.containers.required asks for."""
    return RequiredField.of(requirement.value)


def forbidden_rule(requirement: Requirement) -> ForbiddenField:
    """The rule that an entry of workloads.containers.forbidden asks for."""
    return ForbiddenField.of(requirement.value)


@check(
    id="workloads.containers.required",
    title="Every container and pod has the required field",
    severity="high",
    remediation="Set the field in the pod template, or exempt the workload with a reason and an end date.",
    about=ABOUT,
    requirements=required,
    rule=required_rule,
)
def test_required() -> None:
    """A hardening setting protects only if every container has it, also init and ephemeral containers."""


@check(
    id="workloads.containers.forbidden",
    title="No container or pod has the forbidden field",
    severity="high",
    remediation="Remove it from the pod template, or exempt the workload with a reason and an end date.",
    about=ABOUT,
    requirements=forbidden,
    rule=forbidden_rule,
)
def test_forbidden() -> None:
    """One container with the setting is enough to reach the node or its neighbours."""
