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
    allowed=("one subject is granted every verb of the entry, in the whole cluster or in one namespace"),
    source="the specification, rbac.minimumRules; Kubernetes, RBAC authorizer and default roles",
)


def requirements(spec: ClusterSpecification) -> Iterator[Requirement]:
    """One for each entry."""
    entries = spec.rbac.minimum_rules if spec.rbac else ()
    return Requirement.each(
        "rbac.minimumRules", entries, lambda e: Permission.of(e.api_group, e.resource, e.verbs).label
    )


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
    grants = read_grants(rbac, complete=cluster.source != "manifests")
    satisfied, closest = minimum_holder(grants, permission)
    if satisfied:
        return
    for resource, problem in grants.problems:
        findings.error(problem, resource)
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
