"""RBAC as we decide it against SubjectAccessReview of a real API server, on generated roles and bindings.

Both sides see the whole cluster, its default roles and what earlier examples left included. Names are few and
collide often, so that wildcards, subresources, names and namespaces meet.
"""

import itertools
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builtin_checks.rbac.test_forbidden_rules import test_forbidden_rules as forbidden
from builtin_checks.rbac.test_minimum_rules import test_minimum_rules as minimum
from pytest_kspec.kube.bootstraproles import FILE
from pytest_kspec.rules.rbac.authorizer import AccessRequest
from pytest_kspec.testing import evaluate
from tests.checks.objects import binding, role, rule
from tests.controlplane.server import ControlPlane, Etcd
from tests.effort import with_fixtures
from tests.live.rbac import API, grants_of, listed, made, reviewed, settled, wait_for
from tools.bootstrap_roles import bootstrap_roles, text_of

NAMESPACES = ("red", "blue")

GROUPS = ["", "apps", "rbac.authorization.k8s.io"]
RESOURCES = ["pods", "secrets", "deployments", "clusterroles", "nodes"]
SUBRESOURCES = ["log", "exec", "scale"]
VERBS = ["get", "list", "create", "delete", "escalate", "bind"]
NAMES = ["a", "b"]
PATHS = ["/metrics", "/metrics/slis", "/healthz", "/debug", "/debug/pprof", "/api", "/version"]
USERS = [
    "jane",
    "joe",
    "system:anonymous",
    "system:kube-scheduler",
    "system:serviceaccount:red:bot",
    "system:serviceaccount:blue:bot",
    "system:serviceaccount:kube-system:job-controller",
]
USER_GROUPS = [
    "devs",
    "system:authenticated",
    "system:unauthenticated",
    "system:serviceaccounts",
    "system:monitoring",
]
SUBJECTS = [
    "User/jane",
    "User/joe",
    "User/devs",
    "User/system:anonymous",
    "User/system:serviceaccount:red:bot",
    "Group/devs",
    "Group/jane",
    "Group/system:serviceaccounts",
    "ServiceAccount/red/bot",
    "ServiceAccount/blue/bot",
]


def some(values: Any, **options: Any) -> Any:
    return st.lists(st.sampled_from(values), unique=True, **options)


TARGETS = (
    [*RESOURCES, "*"]
    + [f"{r}/{s}" for r in RESOURCES[:3] for s in SUBRESOURCES]
    + [f"*/{s}" for s in SUBRESOURCES]
    + ["pods/*", "*/*"]
)
resource_rules = st.builds(
    lambda verbs, groups, resources, names: {
        "verbs": verbs,
        "apiGroups": groups,
        "resources": resources,
        **({"resourceNames": names} if names else {}),
    },
    some([*VERBS, "*"], min_size=1, max_size=3),
    some([*GROUPS, "*"], min_size=1, max_size=2),
    some(TARGETS, min_size=1, max_size=3),
    some(NAMES, max_size=1),
)
path_rules = st.builds(
    lambda verbs, urls: {"verbs": verbs, "nonResourceURLs": urls},
    some([*VERBS, "*"], min_size=1, max_size=2),
    some([*PATHS, *(f"{path}/*" for path in PATHS), "/metrics*", "/*", "*"], min_size=1, max_size=2),
)


class Example(NamedTuple):
    """Rules of two ClusterRoles, of a Role, (scope, role, subjects) of bindings, and what is asked."""

    wide: list[Any]
    local: list[Any]
    bindings: list[Any]
    questions: list[Any]


# As functions of tuples: `builds(AccessRequest)` would fill the fields that are left out, too.
any_request = st.one_of(
    st.tuples(
        st.sampled_from([*VERBS, "*"]),
        st.sampled_from([*GROUPS, "*"]),
        st.sampled_from([*RESOURCES, "*"]),
        st.sampled_from(["", "", *SUBRESOURCES, "*"]),
        st.sampled_from(["", *NAMES]),
        st.sampled_from(["", *NAMESPACES, "green"]),
    ).map(lambda fields: AccessRequest(*fields)),
    st.tuples(
        st.sampled_from([*VERBS, "*"]),
        st.sampled_from([*PATHS, "/metrics/", "/debug/", "/metricsx", "*", "/*"]),
    ).map(lambda fields: AccessRequest(fields[0], path=fields[1])),
)
ROLES = ["ClusterRole 0", "ClusterRole 0", "ClusterRole 1", "Role 0", "Role 0", "view", "missing"]


@st.composite
def examples(draw: Any) -> Example:
    wide = [draw(st.lists(resource_rules | path_rules, min_size=1, max_size=3)) for _ in range(2)]
    local = draw(st.lists(resource_rules, max_size=3))
    known = {"ClusterRole 0": wide[0], "ClusterRole 1": wide[1], "Role 0": local, "view": [], "missing": []}
    one = st.tuples(
        st.sampled_from(["", "", *NAMESPACES]),
        st.sampled_from(ROLES),
        some(SUBJECTS, min_size=1, max_size=3),
    )
    bound = draw(st.lists(one, min_size=1, max_size=4))
    near = st.sampled_from([(b, rule_) for b in bound for rule_ in known[b[1]]] or [None])  # type: ignore[list-item]
    questions = [draw(question(draw(near))) for _ in range(30)]
    return Example(wide, local, bound, questions)


@st.composite
def question(draw: Any, near: Any) -> Any:
    """(user, groups, request): what a binding and a rule grant, with mostly none or one thing changed."""
    other = (draw(st.sampled_from(USERS)), draw(some(USER_GROUPS, max_size=2)), draw(any_request))
    if near is None or draw(st.integers(0, 9)) == 0:
        return other
    (scope, _, subjects), granting = near
    request = AccessRequest(verb=concrete(draw, granting["verbs"], VERBS))
    if "nonResourceURLs" in granting:
        url = draw(st.sampled_from(granting["nonResourceURLs"]))
        path = url.rstrip("*") + draw(st.sampled_from(["", "x", "x/y"])) if url.endswith("*") else url
        request = request._replace(path=path or "/x")
    else:
        target = draw(st.sampled_from(granting["resources"]))
        resource, _, subresource = (draw(st.sampled_from(TARGETS)) if target == "*" else target).partition(
            "/"
        )
        request = request._replace(
            group=concrete(draw, granting["apiGroups"], GROUPS),
            resource=concrete(draw, [resource], RESOURCES),
            subresource=concrete(draw, [subresource], SUBRESOURCES),
            name=draw(st.sampled_from(granting.get("resourceNames") or ["", "a"])),
            namespace=scope or draw(st.sampled_from(["", *NAMESPACES])),
        )
    user, groups = who(draw(st.sampled_from(subjects)))
    change = draw(st.sampled_from(["", "", "", "user", "groups", *AccessRequest._fields]))
    if change == "user":
        user = other[0]
    elif change == "groups":
        groups = other[1]
    elif change and bool(request.path) == bool(other[2].path):
        request = request._replace(**{change: getattr(other[2], change)})
    return user, groups, request


def concrete(draw: Any, values: Any, instead: Any) -> Any:
    """One of the values; mostly a real one in place of a wildcard."""
    value = draw(st.sampled_from(values))
    return draw(st.sampled_from([*instead, "*"])) if value == "*" else value


def who(subject: Any) -> Any:
    kind, name = subject.split("/", 1)
    if kind == "Group":
        return "nobody", [name]
    return (f"system:serviceaccount:{name.replace('/', ':')}" if kind == "ServiceAccount" else name), []


@pytest.fixture(scope="module")
def plane(etcd: Etcd) -> Iterator[Any]:
    with ControlPlane(etcd, name="rbac-referee", controllers=True, audited=False) as plane:
        for name in NAMESPACES:
            made(
                plane,
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}},
                "/api/v1/namespaces",
            )
        yield plane


def build(plane: Any, number: int, example: Any) -> None:
    """Create an example's roles and bindings, under names of its own."""
    for i, rules in enumerate(example.wide):
        made(plane, role(f"e{number}-{i}", *rules))
    for namespace in NAMESPACES:
        made(plane, role(f"e{number}-0", *example.local, ns=namespace))
    for i, (scope, target, subjects) in enumerate(example.bindings):
        kind, _, index = target.partition(" ")
        reference = f"{kind}/e{number}-{index}" if index else f"ClusterRole/{target}"
        # A ClusterRoleBinding to a Role is refused by the API server.
        scope = scope or "red" if kind == "Role" else scope
        made(plane, binding(f"e{number}-{i}", reference, *subjects, ns=scope))


numbers = itertools.count()
answers: Counter[bool] = Counter()


@with_fixtures(60, shrink=False)
@given(example=examples())
def test_generated_grants(plane: Any, example: Any) -> None:
    number = next(numbers)
    build(plane, number, example)
    settled(plane, number)
    grants = grants_of(listed(plane))
    assert grants.problems == []
    ours = [(*question, grants.decide(*question) is not None) for question in example.questions]
    theirs = [(*question, reviewed(plane, *question)) for question in example.questions]
    assert ours == theirs
    answers.update(allowed for _, _, _, allowed in theirs)


def test_the_generated_questions_were_worth_asking() -> None:
    """Runs after the above: of its questions at least a fifth were allowed, and a fifth not."""
    if answers:
        assert min(answers[True], answers[False]) > sum(answers.values()) / 5, answers


def test_aggregated_roles(plane: Any) -> None:
    """What the controller makes of aggregationRule is what we make of it, also before it did."""

    def selecting(*selectors: Any) -> dict[str, Any]:
        return {"aggregationRule": {"clusterRoleSelectors": list(selectors)}}

    made(plane, role("agg-pods", rule("get", "", "pods"), labels={"agg": "x", "part": "1"}))
    made(plane, role("agg-logs", rule("get", "", "pods/log"), labels={"part": "2"}))
    made(plane, role("agg-other", rule("get", "", "secrets"), labels={"part": "3"}))
    made(plane, role("agg-inner", labels={"agg": "x"}, **selecting({"matchLabels": {"part": "2"}})))
    made(
        plane,
        role(
            "agg-outer",
            **selecting(
                {
                    "matchLabels": {"agg": "x"},
                    "matchExpressions": [{"key": "part", "operator": "DoesNotExist"}],
                },
                {"matchExpressions": [{"key": "part", "operator": "In", "values": ["1", "9"]}]},
            ),
        ),
    )
    for name in ("agg-inner", "agg-outer"):
        made(plane, binding(name, f"ClusterRole/{name}", f"User/{name}"))
    wait_for(lambda: len(plane.request("GET", f"{API}/clusterroles/agg-outer").body.get("rules") or ()) == 2)
    settled(plane, "aggregation")
    objects = listed(plane)
    asked: list[Any] = [
        (user, [], AccessRequest("get", "", resource, subresource))
        for user in ("agg-inner", "agg-outer")
        for resource in ("pods", "secrets")
        for subresource in ("", "log")
    ]
    theirs = [reviewed(plane, *question) for question in asked]
    assert theirs == [False, True, False, False, True, True, False, False]
    live = grants_of(objects)
    assert [live.decide(*question) is not None for question in asked] == theirs
    for item in objects["ClusterRole"]:
        if item.raw.get("aggregationRule"):
            item.raw["rules"] = None
    as_manifests = grants_of(objects)
    assert [as_manifests.decide(*question) is not None for question in asked] == theirs


def test_default_roles_and_bindings_are_all_told_apart(plane: Any) -> None:
    """What the API server makes for itself is no finding, and satisfies no minimum."""
    defaults = [
        {**item.raw, "kind": kind, "apiVersion": "rbac.authorization.k8s.io/v1"}
        for kind, items in listed(plane).items()
        for item in items
        if item.labels.get("kubernetes.io/bootstrapping") == "rbac-defaults"
    ]
    assert sum(raw["kind"].endswith("Binding") for raw in defaults) > 40
    anything = ["get", "list", "create", "delete", "update", "patch", "watch", "impersonate"]
    rules = [
        {"apiGroup": "*", "resource": "*", "verbs": ["*"]},
        {"apiGroup": "*", "resource": "*", "verbs": anything},
        {"apiGroup": "", "resource": "/*", "verbs": anything},
    ]
    for result in evaluate(forbidden, objects=defaults, spec={"rbac": {"forbiddenRules": rules}}):
        assert (result.verdict, [f.message for f in result.findings]) == ("pass", [])
    rules = [
        {"apiGroup": "", "resource": resource, "verbs": ["get"]} for resource in ("pods", "secrets", "nodes")
    ]
    for result in evaluate(minimum, objects=defaults, spec={"rbac": {"minimumRules": rules}}):
        assert result.verdict == "fail"


def test_the_roles_that_manifests_need_not_hold_are_those_of_the_api_server(plane: Any) -> None:
    assert FILE.read_text(encoding="utf-8") == text_of(bootstrap_roles(plane)), (
        "run: python -m tools.bootstrap_roles"
    )
