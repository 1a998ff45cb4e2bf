"""Access that nobody may be granted, apart from Kubernetes itself.

What counts is what is granted: a role without a binding and a binding without a role grant nothing. Wildcards
of a role are read as the API server reads them. In an entry, verb `*` is the grant of every verb
(`*`/`*`/`*`: of everything); beside named verbs resource `*` is any resource and group `*` any group; a
resource that starts with `/` is a path. A rule limited by resourceNames is a finding that says so.

What a RoleBinding grants is what can be requested in a namespace: of `clusterroles` that is `bind`, of `users` nothing,
of `namespaces` neither `create` nor `list`. Resources of API groups that Kubernetes does not have count as
those of a namespace. `impersonate` is also each constrained form (`impersonate:user-info`, …); `pods/exec`,
`pods/attach` and `pods/portforward` need both `get` and `create` in an entry, since before Kubernetes 1.35 a
WebSocket needs `get` alone.

Told apart are subjects of the API server's own bindings (label kubernetes.io/bootstrapping and name, role and
subject as shipped) and the group system:masters, which no binding restricts. A subject added to such a
binding is a finding. The verbs escalate, bind and impersonate lead to every other one; they are found where
an entry names them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytest_kspec import (
    About,
    Cluster,
    ClusterSpecification,
    Findings,
    Permission,
    Rbac,
    Requirement,
    check,
    forbidden_holdings,
    read_grants,
)

ABOUT = About(
    restricts=(
        "RoleBinding and ClusterRoleBinding {roleRef,subjects}, with the rules of the role that they "
        "bind: {apiGroups,resources,resourceNames,nonResourceURLs,verbs}, aggregated ones included"
    ),
    allowed="no rule that grants any verb of the entry",
    source=(
        "the specification, rbac.forbiddenRules; Kubernetes, RBAC authorizer and default roles;\n"
        "CIS Kubernetes Benchmark 1.10, 5.1.1 to 5.1.8"
    ),
)


def requirements(spec: ClusterSpecification) -> Iterator[Requirement]:
    """One for each entry."""
    entries = spec.rbac.forbidden_rules if spec.rbac else ()
    return Requirement.each(
        "rbac.forbiddenRules", entries, lambda e: Permission.of(e.api_group, e.resource, e.verbs).label
    )


@check(
    id="rbac.forbiddenRules",
    title="Forbidden access is not granted to anyone",
    severity="high",
    remediation="Remove the subject from the binding, bind it to a role that grants only what it needs, "
    "or exempt the binding with a reason and an end date.",
    about=ABOUT,
    not_admission="it depends on all roles and bindings; a request contains one of them",
    requirements=requirements,
    reads=(),
)
def test_forbidden_rules(requirement: Requirement, rbac: Rbac, cluster: Cluster, findings: Findings) -> None:
    """A subject with such access can read every Secret or grant itself anything: it controls the cluster."""
    entry = requirement.value
    permission = Permission.of(entry.api_group, entry.resource, entry.verbs)
    grants = read_grants(rbac, complete=cluster.source != "manifests")
    for resource, problem in grants.problems:
        findings.error(problem, resource)
    for holding in forbidden_holdings(grants, permission):
        who = f"{holding.subject} ({holding.everybody})" if holding.everybody else str(holding.subject)
        rules = [_written(granted, holding.binding.role_name) for granted in holding.rules]
        more = f" and {len(rules) - 1} more" if len(rules) > 1 else ""
        findings.add(
            holding.binding.resource,
            path=f"subjects[{holding.position}]",
            actual=f"{who} by {'; '.join(rules)}",
            expected=f"no grant of {permission}",
            message=f"{who} is granted {', '.join(holding.verbs)} {holding.scope} by {rules[0]}{more}",
        )


def _written(granted: Any, bound: str) -> str:
    through = f" (aggregated into {bound})" if granted.role_name != bound else ""
    return f"{granted.role_kind} {granted.role_name} rules[{granted.position}]{through}: {granted.rule}"
