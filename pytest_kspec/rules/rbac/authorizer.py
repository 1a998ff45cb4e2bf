"""What RBAC grants, to whom: the decision of the API server's RBAC authorizer, as pure functions over raw
objects.

A role that nobody is bound to grants nothing; a binding to a role that does not exist grants nothing; rules
only add. `allows` decides one rule, `Grants.decide` a request of a user, and both answer as
SubjectAccessReview does (tests/live/test_rbac_referee.py). Two things are not RBAC and not here: the group
system:masters, which the API server lets pass before it asks any authorizer, and other authorizers (Node,
Webhook, ABAC).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from pytest_kspec.errors import Malformed
from pytest_kspec.kube.resources import Resource
from pytest_kspec.rules.rbac.aggregation import Selection, TooMuch, together

TOO_MUCH = (
    "aggregationRule: it selects more roles, through others too, than are followed; what it grants is unknown"
)
REMEMBERED_ROLES = 64
"""Aggregated roles whose rules are kept together; all others are put together when they are asked for."""
SERVICE_ACCOUNT_USER = "system:serviceaccount:"


class AccessRequest(NamedTuple):
    """What a user wants to do. `path` ("/metrics") makes it a non-resource request; the other fields are
    unused then.

    namespace: "" for cluster-scoped resources and for a request over all namespaces.
    name: "" where the request names no object (list, create).
    """

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    namespace: str = ""
    path: str = ""


class PolicyRule(NamedTuple):
    """One rule of a role; all five lists are tuples of text."""

    verbs: tuple[str, ...]
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    urls: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.urls:
            return f"{_list(self.verbs)} on {_list(self.urls)}"
        groups = _list(group or "core" for group in self.groups)
        only = f" named {_list(self.names)}" if self.names else ""
        return f"{_list(self.verbs)} on {_list(self.resources)} ({groups}){only}"


class GrantedRule(NamedTuple):
    """A rule and where it is written: role_kind "Role" or "ClusterRole", position in that role's `rules`.

    role_name differs from the bound role's name where the rule comes in by aggregation.
    """

    rule: PolicyRule
    role_kind: str
    role_name: str
    position: int


class Subject(NamedTuple):
    """Who is bound. kind "User", "Group" or "ServiceAccount"; namespace of a service account, else ""."""

    kind: str
    name: str
    namespace: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


class Binding(NamedTuple):
    """A RoleBinding (namespace is set) or ClusterRoleBinding ("")."""

    resource: Resource
    namespace: str
    role_kind: str
    role_name: str
    subjects: tuple[Subject, ...]


def allows(rule: PolicyRule, request: AccessRequest) -> bool:
    """Whether this rule allows this request, as `RuleAllows` of the RBAC authorizer decides it."""
    if not ("*" in rule.verbs or request.verb in rule.verbs):
        return False
    if request.path:
        return any(_url_matches(url, request.path) for url in rule.urls)
    return (
        ("*" in rule.groups or request.group in rule.groups)
        and resource_matches(rule.resources, request.resource, request.subresource)
        and (not rule.names or request.name in rule.names)
    )


def resource_matches(granted: Collection[str], resource: str, subresource: str = "") -> bool:
    """`*` is everything, `*/scale` that subresource of everything, `pods` pods without a subresource."""
    if "*" in granted:
        return True
    if not subresource:
        return resource in granted
    return f"{resource}/{subresource}" in granted or f"*/{subresource}" in granted


def _url_matches(granted: str, path: str) -> bool:
    return granted in ("*", path) or (granted.endswith("*") and path.startswith(granted.rstrip("*")))


class Grants:
    """Roles and bindings of one cluster, indexed once.

    bindings: those that could be read, in the order given, cluster-wide ones first.
    problems: (object, what is wrong) for objects of impossible shape; what they grant is unknown.
    """

    def __init__(
        self,
        *,
        cluster_roles: Iterable[Resource],
        roles: Iterable[Resource],
        cluster_role_bindings: Iterable[Resource],
        role_bindings: Iterable[Resource],
    ) -> None:
        self.problems: list[tuple[Resource, str]] = []
        self._rules: dict[tuple[str, str, str], tuple[GrantedRule, ...]] = {}
        self._unreadable: set[tuple[str, str, str]] = set()
        self._reached: dict[
            str, frozenset[str]
        ] = {}  # of aggregated roles; one set for those that reach each other
        self._last: dict[str, tuple[GrantedRule, ...]] = {}
        self._merged: dict[int, tuple[tuple[GrantedRule, ...], dict[PolicyRule, int]]] = {}
        aggregated = []
        labels = {}
        for role in cluster_roles:
            self._add_role("ClusterRole", "", role)
            labels[role.name] = role.labels
            if role.raw.get("aggregationRule") not in (None, {}):
                aggregated.append(role)
        for role in roles:
            self._add_role("Role", role.namespace, role)
        self._aggregate(aggregated, labels)
        self.bindings = tuple(self._read_bindings([*cluster_role_bindings, *role_bindings]))
        self._by_namespace: dict[str, list[Binding]] = {}
        for binding in self.bindings:
            self._by_namespace.setdefault(binding.namespace, []).append(binding)

    def rules(self, binding: Binding) -> tuple[GrantedRule, ...] | None:
        """Return the rules of the bound role, aggregated ones included; None if there is no such role."""
        key = self._role_key(binding)
        own = self._rules.get(key)
        return own if own is None or key[0] == "Role" else self._with_aggregated(key[2], own)

    def unreadable(self, binding: Binding) -> bool:
        """Whether the bound role is among `problems`."""
        return self._role_key(binding) in self._unreadable

    def decide(
        self, user: str, groups: Collection[str], request: AccessRequest
    ) -> tuple[Binding, GrantedRule] | None:
        """Return the first binding and rule that allow this request of this user, or None."""
        scopes = ("", request.namespace) if request.namespace and not request.path else ("",)
        for scope in scopes:
            for binding in self._by_namespace.get(scope, ()):
                if any(is_subject(subject, user, groups) for subject in binding.subjects):
                    for granted in self.rules(binding) or ():
                        if allows(granted.rule, request):
                            return binding, granted
        return None

    @staticmethod
    def _role_key(binding: Binding) -> tuple[str, str, str]:
        # A ClusterRoleBinding cannot refer to a Role: there is no Role without a namespace.
        namespace = binding.namespace if binding.role_kind == "Role" else ""
        return binding.role_kind, namespace, binding.role_name

    def _add_role(self, kind: str, namespace: str, role: Resource) -> None:
        key = (kind, namespace, role.name)
        try:
            rules = [parse_rule(raw, f"rules[{i}]") for i, raw in enumerate(_array(role.raw, "rules"))]
        except Malformed as error:
            self.problems.append((role, error.what))
            self._unreadable.add(key)
            rules = []
        self._rules[key] = tuple(GrantedRule(rule, kind, role.name, i) for i, rule in enumerate(rules))

    def _aggregate(self, aggregated: Sequence[Resource], labels: Mapping[str, Mapping[str, str]]) -> None:
        """Note what the selectors of each aggregationRule bring together, also through other aggregated roles.

        A live controller writes the union into `rules`, so that only manifests gain something here.
        """
        selection = Selection(labels, selects)
        selected: dict[str, frozenset[str]] = {}
        for role in aggregated:
            try:
                selectors = _array(_object(role.raw, "aggregationRule"), "clusterRoleSelectors")
                selected[role.name] = frozenset().union(*map(selection.names, selectors)) - {role.name}
            except Malformed as error:
                self._cannot_read(role, f"aggregationRule: {error.what}")
            except TooMuch:
                self._cannot_read(role, TOO_MUCH)
        unknown: dict[int, bool] = {}
        reached = together(selected)
        for role in aggregated:
            if role.name not in selected:
                continue
            names = reached[role.name]
            if names is None:
                self._cannot_read(role, TOO_MUCH)
                continue
            if id(names) not in unknown:
                unknown[id(names)] = any(("ClusterRole", "", name) in self._unreadable for name in names)
            if unknown[id(names)]:
                self._unreadable.add(("ClusterRole", "", role.name))
            self._reached[role.name] = names

    def _cannot_read(self, role: Resource, why: str) -> None:
        self.problems.append((role, why))
        self._unreadable.add(("ClusterRole", "", role.name))

    def _with_aggregated(self, name: str, own: tuple[GrantedRule, ...]) -> tuple[GrantedRule, ...]:
        """The rules of a ClusterRole: its own first, then all others that it reaches, each once."""
        reached = self._reached.get(name)
        if not reached:
            return own
        if (known := self._last.get(name)) is not None:
            return known
        if id(reached) not in self._merged:
            merged: dict[PolicyRule, GrantedRule] = {}
            for other in sorted(reached):
                for granted in self._rules["ClusterRole", "", other]:
                    merged.setdefault(granted.rule, granted)
            places = {rule: index for index, rule in enumerate(merged)}
            self._merged[id(reached)] = (tuple(merged.values()), places)
        rules, places = self._merged[id(reached)]
        made = list(own)
        start = 0
        for index in sorted({places[granted.rule] for granted in own if granted.rule in places}):
            made += rules[start:index]
            start = index + 1
        if len(self._last) >= REMEMBERED_ROLES:
            self._last.clear()
        whole = self._last[name] = (*made, *rules[start:])
        return whole

    def _read_bindings(self, bindings: Iterable[Resource]) -> Iterable[Binding]:
        for resource in bindings:
            namespace = resource.namespace if resource.kind == "RoleBinding" else ""
            try:
                role = _object(resource.raw, "roleRef")
                yield Binding(
                    resource,
                    namespace,
                    _text(role, "kind"),
                    _text(role, "name"),
                    tuple(
                        _subject(raw, namespace, f"subjects[{i}]")
                        for i, raw in enumerate(_array(resource.raw, "subjects"))
                    ),
                )
            except Malformed as error:
                self.problems.append((resource, error.what))


def is_subject(subject: Subject, user: str, groups: Collection[str]) -> bool:
    """Whether this user, with these groups, is meant by this subject."""
    if subject.kind == "User":
        return user == subject.name
    if subject.kind == "Group":
        return subject.name in groups
    if subject.kind == "ServiceAccount" and subject.namespace:
        return user == f"{SERVICE_ACCOUNT_USER}{subject.namespace}:{subject.name}"
    return False


def parse_rule(raw: Any, where: str = "rule") -> PolicyRule:
    """Read a raw rule of a role. Raises Malformed."""
    if not isinstance(raw, dict):
        raise Malformed(f"{where} is {raw!r:.60}, not an object")
    lists = (
        _texts(raw, key, where)
        for key in ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
    )
    return PolicyRule(*lists)


def selects(selector: Any, labels: Mapping[str, str]) -> bool:
    """Whether a label selector selects these labels; {} selects all. Raises Malformed."""
    if not isinstance(selector, dict):
        raise Malformed(f"label selector is {selector!r:.60}, not an object")
    matched_labels = _object(selector, "matchLabels")
    wanted = {key: _text(matched_labels, key) for key in matched_labels}  # all are read, to see what is wrong
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    for expression in _array(selector, "matchExpressions"):
        if not isinstance(expression, dict):
            raise Malformed(f"matchExpressions holds {expression!r:.60}, not an object")
        key, operator = _text(expression, "key"), _text(expression, "operator")
        values = _texts(expression, "values", "matchExpressions")
        match operator:
            case "In":
                matched = key in labels and labels[key] in values
            case "NotIn":
                matched = key not in labels or labels[key] not in values
            case "Exists":
                matched = key in labels
            case "DoesNotExist":
                matched = key not in labels
            case _:
                raise Malformed(f"matchExpressions has the unknown operator {operator!r}")
        if not matched:
            return False
    return True


def _subject(raw: Any, namespace: str, where: str) -> Subject:
    if not isinstance(raw, dict):
        raise Malformed(f"{where} is {raw!r:.60}, not an object")
    kind = _text(raw, "kind")
    own = (_text(raw, "namespace") or namespace) if kind == "ServiceAccount" else ""
    return Subject(kind, _text(raw, "name"), own)


def _list(values: Iterable[str]) -> str:
    return ", ".join(values) or "nothing"


def _array(raw: Mapping[str, Any], key: str) -> list[Any]:
    value = raw.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise Malformed(f"{key} is {value!r:.60}, not a list")
    return value


def _object(raw: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Malformed(f"{key} is {value!r:.60}, not an object")
    return value


def _text(raw: Mapping[str, Any], key: str) -> str:
    value = raw.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise Malformed(f"{key} is {value!r:.60}, not text")
    return value


def _texts(raw: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    values = _array(raw, key)
    if not all(isinstance(value, str) for value in values):
        raise Malformed(f"{where}.{key} holds something else than text")
    return tuple(values)
