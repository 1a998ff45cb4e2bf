"""Where a request can be made: within a namespace, so that a RoleBinding can grant it, or only for the whole
cluster.

SubjectAccessReview answers any question; these tables say which ones the API server asks. A resource that
they do not know counts as one of namespaces. Compared with the discovery of a real API server, and with
requests made to it, in tests/live/test_rbac_special_verbs.py.
"""

from __future__ import annotations

_RBAC = "rbac.authorization.k8s.io"

# Cluster-scoped resources of Kubernetes itself, and names that stand for no resource but are asked for like
# one: whom somebody impersonates, for which signer somebody approves.
CLUSTER_SCOPED = frozenset(
    {
        ("", "componentstatuses"),
        ("", "groups"),
        ("", "nodes"),
        ("", "persistentvolumes"),
        ("", "users"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("apiregistration.k8s.io", "apiservices"),
        ("authentication.k8s.io", "admissionReviewAPIGroups"),
        ("authentication.k8s.io", "groups"),
        ("authentication.k8s.io", "nodes"),
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authentication.k8s.io", "uids"),
        ("authentication.k8s.io", "userextras"),
        ("authentication.k8s.io", "users"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
        ("certificates.k8s.io", "certificatesigningrequests"),
        ("certificates.k8s.io", "clustertrustbundles"),
        ("certificates.k8s.io", "signers"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas"),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
        ("internal.apiserver.k8s.io", "storageversions"),
        ("metrics.k8s.io", "nodes"),
        ("networking.k8s.io", "ingressclasses"),
        ("networking.k8s.io", "ipaddresses"),
        ("networking.k8s.io", "servicecidrs"),
        ("node.k8s.io", "runtimeclasses"),
        ("policy", "podsecuritypolicies"),
        (_RBAC, "clusterrolebindings"),
        (_RBAC, "clusterroles"),
        ("resource.k8s.io", "deviceclasses"),
        ("resource.k8s.io", "devicetaintrules"),
        ("resource.k8s.io", "resourcepoolstatusrequests"),
        ("resource.k8s.io", "resourceslices"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("security.openshift.io", "securitycontextconstraints"),
        ("storage.k8s.io", "csidrivers"),
        ("storage.k8s.io", "csinodes"),
        ("storage.k8s.io", "storageclasses"),
        ("storage.k8s.io", "volumeattachments"),
        ("storage.k8s.io", "volumeattributesclasses"),
        ("storagemigration.k8s.io", "storageversionmigrations"),
    }
)
# Verbs on cluster-scoped resources that the API server asks for in the namespace where they take effect: a
# RoleBinding is created there, a pod runs there.
_ASKED_IN_NAMESPACE = {
    (_RBAC, "clusterroles"): frozenset({"bind"}),
    ("policy", "podsecuritypolicies"): frozenset({"use"}),
    ("security.openshift.io", "securitycontextconstraints"): frozenset({"use"}),
}
# The API server asks for these in the whole cluster, though the resource is in a namespace.
_ASKED_IN_CLUSTER = frozenset({("resource.k8s.io", "resourceclaims/binding")})
# A request for one Namespace is made within it; these are not about one. (`watch` is, by the path
# /api/v1/watch/namespaces/…)
_NOT_OF_ONE_NAMESPACE = frozenset({"create", "list", "deletecollection"})
_ON_BEHALF = "impersonate-on:"


def can_be_asked(verb: str, group: str, resource: str, *, in_namespace: bool, named: bool = False) -> bool:
    """Whether the API server ever asks for this, so that a rule which grants it grants something.

    group, resource, verb: `*` is any. resource: with its subresource. in_namespace: within a namespace, for a
    RoleBinding. named: the rule is limited by resourceNames.
    """
    if named and verb == "deletecollection":
        return False  # no such request has a name
    if not in_namespace:
        return True
    base = resource.partition("/")[0]
    if verb.startswith(_ON_BEHALF):
        verb = verb.rpartition(":")[2]
    if (group, base) in CLUSTER_SCOPED:
        asked = _ASKED_IN_NAMESPACE.get((group, base), frozenset())
        return base == resource and bool(asked) and (verb == "*" or verb in asked)
    if (group, resource) == ("", "namespaces"):
        return verb not in _NOT_OF_ONE_NAMESPACE
    return (group, resource) not in _ASKED_IN_CLUSTER
