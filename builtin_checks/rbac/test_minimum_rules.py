"""Access that somebody must have been granted.

All bindings of a subject count together. What would be true on every cluster does not count: default
bindings, the cluster's own users and groups (`system:` names), the roles cluster-admin and `system:…`. Nor do
rules limited by resourceNames, nor roles without a binding. `*` in an entry is everything there: only such a
grant covers it. A RoleBinding counts for what can be requested in a namespace, as for rbac.forbiddenRules. Who is
a member of which group is known to the authenticator, not to RBAC: grants of a user and of a group add up
only at the API server.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytest_kspec import (
    About,
    Cluster,
    ClusterSpecification,
    Findings,
    Permission,
    Rbac,
    Requirement,
    check,
    minimum_holder,
    read_grants,
)

ABOUT = About(
    restricts=(
        "RoleBinding and ClusterRoleBinding {roleRef,subjects}, with the rules of the role that they bind"
    ),
    allowed=("some one subject is granted every verb of the entry, in the whole cluster or in one namespace"),
    source="the specification, rbac.minimumRules; Kubernetes, RBAC authorizer and default roles",
)


def requirements(spec: ClusterSpecification) -> Iterator[Requirement]:
    """One for each entry."""
    seen: dict[str, int] = {}
    for index, entry in enumerate(spec.rbac.minimum_rules if spec.rbac else ()):
        label = Permission.of(entry.api_group, entry.resource, entry.verbs).label
        seen[label] = seen.get(label, 0) + 1
        again = f"#{seen[label]}" if seen[label] > 1 else ""
        yield Requirement(f"rbac.minimumRules[{label}{again}]", f"rbac.minimumRules[{index}]", entry)


@check(
    id="rbac.minimumRules",
    title="Required access is granted to at least one subject",
    severity="medium",
    remediation="Create a Role or ClusterRole with these verbs and bind it to the subjects that need it.",
    about=ABOUT,
    not_admission="it depends on all roles and bindings; a request contains one of them",
    requirements=requirements,
    reads=(),
)
def test_minimum_rules(requirement: Requirement, rbac: Rbac, cluster: Cluster, findings: Findings) -> None:
    """Without roles for daily work, the work is done as cluster-admin."""
    entry = requirement.value
    permission = Permission.of(entry.api_group, entry.resource, entry.verbs)
    complete = cluster.source != "manifests"
    grants = read_grants(rbac, complete=complete)
    satisfied, closest = minimum_holder(grants, permission)
    if satisfied:
        return
    for resource, problem in grants.problems:
        findings.error(problem, resource)
    for binding in grants.bindings:
        if not complete and binding.subjects and grants.rules(binding) is None:
            what = (
                f"{binding.role_kind} {binding.role_name} is not in the manifests, "
                f"so the access that it grants is not known"
            )
            findings.error(what, binding.resource)
    actual = None
    if closest is not None and closest.verbs:
        where = f"in namespace {closest.scope}" if closest.scope else "in the whole cluster"
        actual = (
            f"{closest.subject}: only {', '.join(v for v in permission.wanted if v in closest.verbs)} {where}"
        )
    findings.add(
        None,
        path=requirement.id,
        actual=actual,
        expected=f"a subject that is granted {permission}",
        message=f"no subject is granted {permission}" + (f"; closest is {actual}" if actual else ""),
    )
