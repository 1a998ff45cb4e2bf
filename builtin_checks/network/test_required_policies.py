"""NetworkPolicies that must exist in each namespace.

Only the name is compared. A `namespaces` entry without wildcards that names no namespace of the cluster is a
finding: the policy cannot be there either. Of manifests, every namespace counts that some object is in.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_kspec import (
    About,
    Cluster,
    ClusterSpecification,
    Findings,
    Globs,
    Namespaces,
    NetworkPolicies,
    Requirement,
    check,
)

ABOUT = About(
    restricts="NetworkPolicy metadata.name, in each namespace (or in those that `namespaces` covers)",
    allowed="the name is there",
    source="the specification, network.requiredPolicies; CIS Kubernetes Benchmark 1.10, 5.3.2",
)


def requirements(spec: ClusterSpecification) -> Iterator[Requirement]:
    """One for each entry."""
    entries = spec.network.required_policies if spec.network else ()
    return Requirement.each("network.requiredPolicies", entries, lambda entry: entry.name)


@check(
    id="network.requiredPolicies",
    title="Required NetworkPolicies exist in every namespace",
    severity="medium",
    remediation="Create the NetworkPolicy in the namespace, or restrict the entry with `namespaces`.",
    about=ABOUT,
    not_admission="it is about a missing object; admission sees only objects that are created or changed",
    requirements=requirements,
    reads=("Namespace",),
)
def test_required_policies(
    requirement: Requirement,
    cluster: Cluster,
    namespaces: Namespaces,
    network_policies: NetworkPolicies,
    findings: Findings,
) -> None:
    """A NetworkPolicy protects the pods of its own namespace only."""
    name = requirement.value.name
    chosen = Globs(requirement.value.namespaces)
    holders = {policy.namespace for policy in network_policies if policy.name == name}
    covered = [namespace for namespace in namespaces if chosen.match(namespace.name)]
    for namespace in covered:
        if namespace.name not in holders:
            findings.add(
                namespace,
                path=f"networkPolicies[{name}]",
                expected=f"NetworkPolicy {name}",
                message=f"NetworkPolicy {name} is missing",
            )
    present = {namespace.name for namespace in cluster.list("Namespace", "").items}
    for wanted in requirement.value.namespaces:
        if "*" not in wanted and "?" not in wanted and wanted not in present:
            findings.add(
                None,
                path=f"namespaces[{wanted}]",
                expected=f"namespace {wanted} with NetworkPolicy {name}",
                message=f"namespace {wanted}, which must have NetworkPolicy {name}, "
                + ("is in no file" if cluster.source == "manifests" else "does not exist"),
            )
    if namespaces and not covered:
        # Else a misspelt pattern would read as "every namespace has it".
        findings.skip(f"no namespace matches {', '.join(requirement.value.namespaces)}")
