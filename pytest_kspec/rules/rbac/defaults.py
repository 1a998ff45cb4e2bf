"""The bindings that an API server creates for itself, told apart from those that somebody made.

The label `kubernetes.io/bootstrapping: rbac-defaults` alone proves nothing: anyone who may write a binding
may set it, and the API server adds missing subjects to its bindings but never takes foreign ones away. So a
subject of a default binding counts as built in only if the label, the name, the role and the subject are
those that Kubernetes ships.

Subjects that stand for many people (system:authenticated, …) are in this table with the few things that their
default roles give; whatever else such a role was made to grant is not built in.
Source: Kubernetes, default roles and role bindings, v1.30 to v1.37.
"""

from __future__ import annotations

from pytest_kspec.rules.rbac.authorizer import Binding, PolicyRule, Subject

LABEL, VALUE = "kubernetes.io/bootstrapping", "rbac-defaults"

# The API server lets this group pass before it asks any authorizer: no binding changes what it may do.
SUPERUSERS = Subject("Group", "system:masters")

EVERYBODY = {
    Subject("Group", "system:authenticated"): "every authenticated user and service account",
    Subject("Group", "system:unauthenticated"): "anyone, without authentication",
    Subject("User", "system:anonymous"): "anyone, without authentication",
    Subject("Group", "system:serviceaccounts"): "every service account",
}

_MANAGER = Subject("User", "system:kube-controller-manager")
_SCHEDULER = Subject("User", "system:kube-scheduler")


def _account(name: str) -> Subject:
    return Subject("ServiceAccount", name, "kube-system")


_CLUSTER: dict[str, frozenset[Subject]] = {
    "cluster-admin": frozenset({SUPERUSERS}),
    "system:monitoring": frozenset({Subject("Group", "system:monitoring")}),
    "system:discovery": frozenset({Subject("Group", "system:authenticated")}),
    "system:basic-user": frozenset({Subject("Group", "system:authenticated")}),
    "system:public-info-viewer": frozenset(
        {Subject("Group", "system:authenticated"), Subject("Group", "system:unauthenticated")}
    ),
    "system:service-account-issuer-discovery": frozenset({Subject("Group", "system:serviceaccounts")}),
    "system:cluster-trust-bundle-discovery": frozenset({Subject("Group", "system:serviceaccounts")}),
    "system:node-proxier": frozenset({Subject("User", "system:kube-proxy")}),
    "system:kube-controller-manager": frozenset({_MANAGER}),
    "system:kube-scheduler": frozenset({_SCHEDULER}),
    "system:volume-scheduler": frozenset({_SCHEDULER}),
    "system:kube-dns": frozenset({_account("kube-dns")}),
}

# (namespace, binding name) → (role name, subjects)
_NAMESPACED: dict[tuple[str, str], tuple[str, frozenset[Subject]]] = {
    ("kube-system", "system::extension-apiserver-authentication-reader"): (
        "extension-apiserver-authentication-reader",
        frozenset({_MANAGER, _SCHEDULER}),
    ),
    ("kube-system", "system::leader-locking-kube-controller-manager"): (
        "system::leader-locking-kube-controller-manager",
        frozenset({_MANAGER, _account("kube-controller-manager"), _account("leader-election-controller")}),
    ),
    ("kube-system", "system::leader-locking-kube-scheduler"): (
        "system::leader-locking-kube-scheduler",
        frozenset({_SCHEDULER, _account("kube-scheduler")}),
    ),
    ("kube-public", "system:controller:bootstrap-signer"): (
        "system:controller:bootstrap-signer",
        frozenset({_account("bootstrap-signer")}),
    ),
}

_CONTROLLER = "system:controller:"

_PUBLIC_PATHS = frozenset(
    {
        *("/api", "/api/*", "/apis", "/apis/*", "/openapi", "/openapi/*", "/version", "/version/"),
        *("/healthz", "/healthz/*", "/livez", "/livez/*", "/readyz", "/readyz/*"),
        *("/.well-known/openid-configuration", "/.well-known/openid-configuration/"),
        *("/openid/v1/jwks", "/openid/v1/jwks/"),
    }
)
# (verbs, groups, resources)
_PUBLIC_RESOURCES = (
    (
        {"create"},
        {"authorization.k8s.io", "authentication.k8s.io"},
        {"selfsubjectaccessreviews", "selfsubjectrulesreviews", "selfsubjectreviews"},
    ),
    ({"get", "list", "watch"}, {"certificates.k8s.io"}, {"clustertrustbundles"}),
)


def is_built_in(binding: Binding, subject: Subject) -> bool:
    """Whether Kubernetes itself bound this subject here (or binding it changes nothing: system:masters)."""
    if subject == SUPERUSERS:
        return True
    if binding.resource.labels.get(LABEL) != VALUE:
        return False
    name = binding.resource.name
    kind, role, subjects = "ClusterRole", name, _CLUSTER.get(name, frozenset())
    if binding.namespace:
        kind = "Role"
        role, subjects = _NAMESPACED.get((binding.namespace, name), (name, frozenset()))
    if name.startswith(_CONTROLLER) and binding.namespace in ("", "kube-system"):
        subjects = frozenset({_account(name.removeprefix(_CONTROLLER))})
    return (binding.role_kind, binding.role_name) == (kind, role) and subject in subjects


def is_public_default(rule: PolicyRule) -> bool:
    """Whether the default roles of EVERYBODY give this: discovery, health, asking about oneself."""
    if rule.urls:
        return set(rule.verbs) <= {"get"} and set(rule.urls) <= _PUBLIC_PATHS and not rule.resources
    return any(
        set(rule.verbs) <= verbs and set(rule.groups) <= groups and set(rule.resources) <= resources
        for verbs, groups, resources in _PUBLIC_RESOURCES
    )
