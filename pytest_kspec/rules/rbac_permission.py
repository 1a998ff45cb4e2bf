"""A permission as a specification writes it ({apiGroup, resource, verbs}), compared with rules of roles.

Forbidden and minimum read `*` differently, each on its safe side:

* minimum: `*` is everything; only a rule that grants everything there covers it, as for `kubectl auth can-i
  '*' '*'`.
* forbidden, verb `*`: the grant of every verb. Beside it, resource `*` is the grant of every resource, and
  group `*` with resource `*` the grant of every group: `*`/`*`/`*` is found where a rule says so itself, not
  in each role.
* forbidden, named verbs or none (none: any verb): resource `*` is any resource of the group, group `*` any
  group.
* forbidden, a named resource: group `*` is any group.

A resource that starts with `/` is a path (nonResourceURLs); the group is of no meaning then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pytest_kspec.rules.rbac import AccessRequest, PolicyRule, allows, resource_matches

# Cluster-scoped resources of Kubernetes itself. Requests for them have no namespace, so that no RoleBinding
# applies. (`namespaces` is not one of them: a request for one namespace is made within it.)
CLUSTER_SCOPED = frozenset(
    {
        ("", "nodes"),
        ("", "persistentvolumes"),
        ("", "componentstatuses"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "mutatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicies"),
        ("admissionregistration.k8s.io", "validatingadmissionpolicybindings"),
        ("admissionregistration.k8s.io", "validatingwebhookconfigurations"),
        ("apiextensions.k8s.io", "customresourcedefinitions"),
        ("apiregistration.k8s.io", "apiservices"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
        ("certificates.k8s.io", "certificatesigningrequests"),
        ("certificates.k8s.io", "signers"),
        ("flowcontrol.apiserver.k8s.io", "flowschemas"),
        ("flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations"),
        ("networking.k8s.io", "ingressclasses"),
        ("node.k8s.io", "runtimeclasses"),
        ("rbac.authorization.k8s.io", "clusterrolebindings"),
        ("rbac.authorization.k8s.io", "clusterroles"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("storage.k8s.io", "csidrivers"),
        ("storage.k8s.io", "csinodes"),
        ("storage.k8s.io", "storageclasses"),
        ("storage.k8s.io", "volumeattachments"),
    }
)


class Permission(NamedTuple):
    """What a specification forbids or requires. verbs may be empty."""

    group: str
    resource: str
    verbs: tuple[str, ...]

    @classmethod
    def of(cls, group: str | None, resource: str, verbs: Iterable[str] | None) -> Permission:
        """Unset group is the core group."""
        return cls(group or "", resource, tuple(verbs or ()))

    @property
    def is_path(self) -> bool:
        """Whether it is about a path, not a resource."""
        return self.resource.startswith("/")

    @property
    def cluster_only(self) -> bool:
        """Whether only a ClusterRoleBinding can grant it."""
        return self.is_path or (self.group, self.resource.partition("/")[0]) in CLUSTER_SCOPED

    @property
    def label(self) -> str:
        """For requirement ids: `core/secrets`, `apps/deployments`, `path/metrics`; without spaces."""
        text = f"path{self.resource}" if self.is_path else f"{self.group or 'core'}/{self.resource}"
        return "_".join(text.split()).replace("::", ":")

    def __str__(self) -> str:
        verbs = ", ".join(self.verbs) or "any verb"
        if self.is_path:
            return f"{verbs} on {self.resource}"
        return f"{verbs} on {self.resource} ({self.group or 'core'})"

    def forbidden_in(self, rule: PolicyRule) -> tuple[str, ...]:
        """Which of the forbidden verbs the rule grants: of `verbs`, or of the rule's own where `verbs` is
        empty.

        A rule limited by resourceNames grants them on those names, so that it counts.
        """
        if not self.verbs:
            return rule.verbs if self._touches(rule) else ()
        return tuple(verb for verb in self.verbs if self._granted(verb, rule))

    def covered_by(self, rule: PolicyRule) -> set[str]:
        """Which of the required verbs (`*` where there are none) the rule grants on every object."""
        if self.is_path:
            requests = {verb: AccessRequest(verb, path=self.resource) for verb in self.wanted}
        else:
            resource, _, subresource = self.resource.partition("/")
            requests = {verb: AccessRequest(verb, self.group, resource, subresource) for verb in self.wanted}
        return {verb for verb, request in requests.items() if allows(rule, request)}

    @property
    def wanted(self) -> tuple[str, ...]:
        """The verbs that a minimum rule asks for."""
        return self.verbs or ("*",)

    def _granted(self, verb: str, rule: PolicyRule) -> bool:
        if verb != "*":
            return ("*" in rule.verbs or verb in rule.verbs) and self._touches(rule)
        if "*" not in rule.verbs:
            return False
        if self.resource == "*":
            return "*" in rule.resources and ("*" in rule.groups or self.group in rule.groups)
        return self._touches(rule)

    def _touches(self, rule: PolicyRule) -> bool:
        if self.is_path:
            return any(_overlap(self.resource, url) for url in rule.urls)
        if self.group == "*":
            if not rule.groups:
                return False
        elif not ("*" in rule.groups or self.group in rule.groups):
            return False
        resource, _, subresource = self.resource.partition("/")
        if self.resource == "*":
            return bool(rule.resources)
        if resource == "*":
            return any(r == "*" or r.endswith(f"/{subresource}") for r in rule.resources)
        if subresource == "*":
            return any(r == "*" or r.startswith((f"{resource}/", "*/")) for r in rule.resources)
        return resource_matches(rule.resources, resource, subresource)


def _overlap(forbidden: str, granted: str) -> bool:
    """Whether two paths, each with an optional `*` at its end, have a path in common."""
    if forbidden.endswith("*"):
        prefix = forbidden.rstrip("*")
        if granted.endswith("*"):
            other = granted.rstrip("*")
            return prefix.startswith(other) or other.startswith(prefix)
        return granted.startswith(prefix)
    return granted in ("*", forbidden) or (
        granted.endswith("*") and forbidden.startswith(granted.rstrip("*"))
    )
