"""Who holds a permission: the roles, bindings and built-in subjects of one cluster put together."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from pytest_kspec.kube.bootstraproles import bootstrap_roles
from pytest_kspec.rules.rbac.authorizer import Binding, GrantedRule, Grants, Subject
from pytest_kspec.rules.rbac.defaults import EVERYBODY, is_built_in, is_public_default
from pytest_kspec.rules.rbac.permission import Permission

# Groups of Kubernetes that stand for ordinary users and accounts; other `system:` names are the cluster's own
# parts.
_PEOPLE = ("system:authenticated", "system:unauthenticated", "system:serviceaccounts")


# (kind of role, its namespace, its name, whether a RoleBinding binds it)
_RoleInScope = tuple[str, str, str, bool]


class Holding(NamedTuple):
    """A subject that a binding gives a permission to.

    position: of the subject in the binding. rules: those that grant it. verbs: the forbidden verbs among
    them.
    """

    binding: Binding
    position: int
    subject: Subject
    rules: tuple[GrantedRule, ...]
    verbs: tuple[str, ...]

    @property
    def everybody(self) -> str:
        """Whom the subject stands for, where that is everybody ("every authenticated user …"), else ""."""
        return EVERYBODY.get(self.subject, "")

    @property
    def scope(self) -> str:
        """Where it holds."""
        return f"in namespace {self.binding.namespace}" if self.binding.namespace else "in the whole cluster"


class Closest(NamedTuple):
    """The subject that holds most of a permission. scope: a namespace, or "" for the whole cluster."""

    subject: Subject
    scope: str
    verbs: frozenset[str]


def forbidden_holdings(grants: Grants, permission: Permission) -> Iterator[Holding]:
    """Each subject to which a user, not Kubernetes itself, gave any of the verbs of this permission.

    Subjects of default bindings are told apart (see `rbac_defaults`); everybody's defaults only as far as
    they go.
    """
    granting: dict[_RoleInScope, tuple[tuple[GrantedRule, tuple[str, ...]], ...]] = {}
    for binding in grants.bindings:
        key = _role_in_scope(binding)
        if key not in granting:
            found = (
                (granted, permission.forbidden_in(granted.rule, in_namespace=bool(binding.namespace)))
                for granted in grants.rules(binding) or ()
            )
            granting[key] = tuple((granted, verbs) for granted, verbs in found if verbs)
        if not granting[key]:
            continue
        for position, subject in enumerate(binding.subjects):
            hits = granting[key]
            if is_built_in(binding, subject):
                if subject not in EVERYBODY:
                    continue
                hits = tuple(hit for hit in hits if not is_public_default(hit[0].rule))
            if hits:
                verbs = tuple(dict.fromkeys(verb for _, verbs in hits for verb in verbs))
                yield Holding(binding, position, subject, tuple(granted for granted, _ in hits), verbs)


def minimum_holder(grants: Grants, permission: Permission) -> tuple[bool, Closest | None]:
    """Whether some one subject holds all of this permission, and who comes closest.

    All of its bindings count together, those for the whole cluster in each namespace too. These do not count:
    default bindings, the cluster's own parts (`system:` names), rules limited by resourceNames, and the roles
    `cluster-admin` and `system:…`: they would make every minimum true on every cluster, whatever was set up
    for it.
    """
    wanted = frozenset(permission.wanted)
    covered: dict[_RoleInScope, frozenset[str]] = {}
    held: dict[Subject, dict[str, frozenset[str]]] = {}
    for binding in grants.bindings:
        if _general(binding):
            continue
        key = _role_in_scope(binding)
        if key not in covered:
            covered[key] = frozenset().union(
                *(
                    permission.covered_by(granted.rule, in_namespace=bool(binding.namespace))
                    for granted in grants.rules(binding) or ()
                )
            )
        if covered[key]:
            for subject in binding.subjects:
                if not is_built_in(binding, subject) and not _of_the_cluster(subject):
                    scopes = held.setdefault(subject, {})
                    scopes[binding.namespace] = scopes.get(binding.namespace, frozenset()) | covered[key]
    closest = None
    for subject, scopes in sorted(held.items()):
        everywhere = scopes.get("", frozenset())
        for scope, verbs in sorted(scopes.items()):
            together = (verbs | everywhere) & wanted
            if closest is None or len(together) > len(closest.verbs):
                closest = Closest(subject, scope, together)
    return closest is not None and closest.verbs == wanted, closest


def _role_in_scope(binding: Binding) -> _RoleInScope:
    namespace = binding.namespace if binding.role_kind == "Role" else ""
    return binding.role_kind, namespace, binding.role_name, bool(binding.namespace)


def _general(binding: Binding) -> bool:
    return binding.role_kind == "ClusterRole" and (
        binding.role_name == "cluster-admin" or binding.role_name.startswith("system:")
    )


def _of_the_cluster(subject: Subject) -> bool:
    return (
        subject.kind != "ServiceAccount"
        and subject.name.startswith("system:")
        and not subject.name.startswith((*_PEOPLE, "system:serviceaccount:"))
    )


def read_grants(rbac: Any, *, complete: bool = True) -> Grants:
    """Read the fixture `rbac`.

    complete: False for manifests, which need not hold the roles of every API server. A binding to another role that
    they do not hold is among `Grants.problems`.
    """
    cluster_roles, roles = list(rbac.cluster_roles), list(rbac.roles)
    if not complete:
        known = {(role.kind, role.namespace, role.name) for role in (*cluster_roles, *roles)}
        for role in bootstrap_roles():
            if (role.kind, role.namespace, role.name) not in known:
                (roles if role.kind == "Role" else cluster_roles).append(role)
    grants = Grants(
        cluster_roles=cluster_roles,
        roles=roles,
        cluster_role_bindings=rbac.cluster_role_bindings,
        role_bindings=rbac.role_bindings,
    )
    for binding in grants.bindings if not complete else ():
        if binding.subjects and grants.rules(binding) is None:
            bound = f"{binding.role_kind} {binding.role_name}"
            what = f"{bound} is not in the manifests, so the access that it grants is not known"
            grants.problems.append((binding.resource, what))
    return grants
