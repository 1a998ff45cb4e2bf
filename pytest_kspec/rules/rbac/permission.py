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

Both count only what can be asked for where the binding holds: see `rbac_scopes`. Forbidden, verb
`impersonate`: the constrained forms (`impersonate:user-info`, …) too, since each of them lets somebody act as
somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from pytest_kspec.rules.rbac.authorizer import AccessRequest, PolicyRule, allows, resource_matches
from pytest_kspec.rules.rbac.scopes import can_be_asked

_IMPERSONATE = "impersonate"
_EXTRAS = "userextras"


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
    def label(self) -> str:
        """For requirement ids: `core/secrets`, `apps/deployments`, `path/metrics`."""
        return f"path{self.resource}" if self.is_path else f"{self.group or 'core'}/{self.resource}"

    def __str__(self) -> str:
        verbs = ", ".join(self.verbs) or "any verb"
        if self.is_path:
            return f"{verbs} on {self.resource}"
        return f"{verbs} on {self.resource} ({self.group or 'core'})"

    def forbidden_in(self, rule: PolicyRule, *, in_namespace: bool) -> tuple[str, ...]:
        """Which of the forbidden verbs the rule grants: of `verbs`, or of the rule's own where `verbs` is
        empty.

        in_namespace: a RoleBinding binds the rule, so that it grants only what is asked within a namespace.
        A rule limited by resourceNames grants them on those names, so that it counts.
        """
        if self.is_path:
            if in_namespace or not any(_overlap(self.resource, url) for url in rule.urls):
                return ()
            return tuple(dict.fromkeys(self._granted(rule)))
        common = tuple(self._common(rule))
        return tuple(
            dict.fromkeys(
                verb
                for verb in self._granted(rule)
                if any(
                    can_be_asked(verb, group, resource, in_namespace=in_namespace, named=bool(rule.names))
                    for group, resource in common
                )
            )
        )

    def covered_by(self, rule: PolicyRule, *, in_namespace: bool) -> set[str]:
        """Which of the required verbs (`*` where there are none) the rule grants on every object."""
        if self.is_path:
            if in_namespace:
                return set()
            requests = {verb: AccessRequest(verb, path=self.resource) for verb in self.wanted}
        else:
            resource, _, subresource = self.resource.partition("/")
            requests = {
                verb: AccessRequest(verb, self.group, resource, subresource)
                for verb in self.wanted
                # Everything is not held where only `bind` is asked.
                if can_be_asked(
                    "get" if verb == "*" else verb, self.group, self.resource, in_namespace=in_namespace
                )
            }
            rule = rule._replace(resources=tuple(_meaning(rule.resources)))
        return {verb for verb, request in requests.items() if allows(rule, request)}

    @property
    def wanted(self) -> tuple[str, ...]:
        """The verbs that a minimum rule asks for."""
        return self.verbs or ("*",)

    def _granted(self, rule: PolicyRule) -> Iterator[str]:
        """The forbidden verbs among those of the rule, whatever they are granted on."""
        if not self.verbs:
            yield from rule.verbs
        for verb in self.verbs:
            if verb == "*":
                whole = "*" in rule.groups or self.group in rule.groups
                if "*" in rule.verbs and (self.resource != "*" or (whole and "*" in rule.resources)):
                    yield verb
            elif "*" in rule.verbs or verb in rule.verbs:
                yield verb
            elif verb == _IMPERSONATE:
                yield from (other for other in rule.verbs if other.startswith(f"{_IMPERSONATE}:"))

    def _common(self, rule: PolicyRule) -> Iterator[tuple[str, str]]:
        """(group, resource) that are both forbidden and granted; either may hold a wildcard."""
        for group in rule.groups if self.group == "*" else (self.group,):
            if group in rule.groups or "*" in rule.groups:
                for resource in self._common_resources(rule):
                    yield group, resource

    def _common_resources(self, rule: PolicyRule) -> Iterator[str]:
        resource, _, subresource = self.resource.partition("/")
        for granted in _meaning(rule.resources):
            base, _, below = granted.partition("/")
            if self.resource == "*":
                yield granted
            elif granted == "*":
                yield self.resource
            elif subresource == "*":
                if below and (resource == "*" or base in (resource, "*")):
                    yield granted if base != "*" else f"{resource}/{below}"
            elif resource == "*":
                if below == subresource:
                    yield granted
            elif resource_matches((granted,), resource, subresource):
                yield self.resource


def _meaning(resources: Iterable[str]) -> Iterator[str]:
    """Without `pods/*`, which no request ever matches: the API server knows only `*` and `*/exec`.

    It does ask for `userextras/*`, when many extra values are to be impersonated.
    """
    for resource in resources:
        base, _, below = resource.partition("/")
        if below != "*":
            yield resource
        elif base in ("*", _EXTRAS):
            yield f"{_EXTRAS}/*"


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
