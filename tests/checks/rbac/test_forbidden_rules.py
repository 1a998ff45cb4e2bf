"""rbac.forbiddenRules: what is granted, to whom."""

from typing import Any

import pytest

from builtin_checks.rbac.test_forbidden_rules import test_forbidden_rules as check
from pytest_kspec.results.result import CheckResult
from pytest_kspec.testing import evaluate
from tests.checks.objects import binding, role, rule, told, verdict

DEFAULT = {"kubernetes.io/bootstrapping": "rbac-defaults"}
EVERYTHING = rule("*", "*", "*")
ADMIN = role("cluster-admin", EVERYTHING, rule("*", urls="*"), labels=DEFAULT)
ADMIN_BINDING = binding("cluster-admin", "ClusterRole/cluster-admin", "Group/system:masters", labels=DEFAULT)


def spec(group: str, resource: str, *verbs: Any) -> dict[str, Any]:
    return {"rbac": {"forbiddenRules": [{"apiGroup": group, "resource": resource, "verbs": list(verbs)}]}}


SECRETS = spec("", "secrets", "get", "list")
WILDCARDS = spec("*", "*", "*")


def run(asked: Any, *objects: Any, **options: Any) -> list[CheckResult]:
    return evaluate(check, objects=objects, spec=asked, **options)


def reads(role_rule: Any, asked: Any = SECRETS) -> bool:
    """Whether a binding of jane to a role with this rule is a finding."""
    results = run(asked, role("r", role_rule), binding("b", "ClusterRole/r", "User/jane"))
    return verdict(results) == "fail"


def test_a_binding_is_the_finding_and_says_everything() -> None:
    results = run(
        SECRETS,
        role("pods", rule("get", "", "pods"), rule("get,list,watch", "", "secrets"), ns="shop"),
        binding("b", "Role/pods", "User/bob", "ServiceAccount/ci/runner", ns="shop"),
    )
    written = "Role pods rules[1]: get, list, watch on secrets (core)"
    assert told(results) == [
        (
            "RoleBinding shop/b",
            f"subjects[{i}]",
            f"{who} by {written}",
            f"{who} is granted get, list in namespace shop by {written}",
        )
        for i, who in enumerate(["User bob", "ServiceAccount ci/runner"])
    ]
    assert [f.expected for f in results[0].findings] == ["no grant of get, list on secrets (core)"] * 2


def test_a_service_account_without_namespace_is_of_the_bindings_namespace() -> None:
    raw = binding("b", "ClusterRole/r", ns="shop")
    raw["subjects"] = [{"kind": "ServiceAccount", "name": "runner"}]
    (finding,) = told(run(SECRETS, role("r", rule("get", "", "secrets")), raw))
    assert finding[3].startswith(
        "ServiceAccount shop/runner is granted get in namespace shop by ClusterRole r rules[0]"
    )


def test_a_role_with_wildcards_grants_get_on_secrets() -> None:
    assert reads(rule("*", "", "*"))
    assert reads(rule("get", "*", "secrets"))
    assert reads(rule("*", "apps,*", "pods,secrets"))


def test_default_cluster_admin_does_not_fail_everything() -> None:
    assert (told(run(WILDCARDS, ADMIN, ADMIN_BINDING)), verdict(run(WILDCARDS, ADMIN, ADMIN_BINDING))) == (
        [],
        "pass",
    )


def test_a_subject_added_to_the_default_binding_is_a_finding() -> None:
    added = binding(
        "cluster-admin",
        "ClusterRole/cluster-admin",
        "Group/system:masters",
        "Group/system:authenticated",
        labels=DEFAULT,
    )
    written = "ClusterRole cluster-admin rules[0]: * on * (*)"
    assert told(run(WILDCARDS, ADMIN, added)) == [
        (
            "ClusterRoleBinding cluster-admin",
            "subjects[1]",
            f"Group system:authenticated (every authenticated user and service account) by {written}",
            "Group system:authenticated (every authenticated user and service account) is granted * in the "
            f"whole cluster by {written}",
        )
    ]


def test_another_binding_to_cluster_admin_is_a_finding() -> None:
    results = run(WILDCARDS, ADMIN, ADMIN_BINDING, binding("ops", "ClusterRole/cluster-admin", "Group/ops"))
    assert [f[:2] for f in told(results)] == [("ClusterRoleBinding ops", "subjects[0]")]


def test_the_bootstrapping_label_alone_excuses_nothing() -> None:
    forged = binding("ops", "ClusterRole/cluster-admin", "User/mallory", labels=DEFAULT)
    rebound = binding(
        "system:basic-user", "ClusterRole/cluster-admin", "Group/system:authenticated", labels=DEFAULT
    )
    assert [f[0] for f in told(run(WILDCARDS, ADMIN, forged, rebound))] == [
        "ClusterRoleBinding ops",
        "ClusterRoleBinding system:basic-user",
    ]


def test_default_bindings_without_the_label_are_ordinary_but_masters_stay_masters() -> None:
    unlabelled = binding("cluster-admin", "ClusterRole/cluster-admin", "Group/system:masters", "User/x")
    assert [f[1] for f in told(run(WILDCARDS, ADMIN, unlabelled))] == ["subjects[1]"]


def test_controllers_of_kubernetes_are_told_apart() -> None:
    objects = [
        role("system:controller:generic-garbage-collector", rule("delete,get", "*", "*"), labels=DEFAULT),
        binding(
            "system:controller:generic-garbage-collector",
            "ClusterRole/system:controller:generic-garbage-collector",
            "ServiceAccount/kube-system/generic-garbage-collector",
            "ServiceAccount/shop/generic-garbage-collector",
            labels=DEFAULT,
        ),
        role("system:kube-scheduler", rule("get", "", "secrets"), labels=DEFAULT),
        binding(
            "system:kube-scheduler",
            "ClusterRole/system:kube-scheduler",
            "User/system:kube-scheduler",
            labels=DEFAULT,
        ),
    ]
    assert [f[3].partition(" is ")[0] for f in told(run(SECRETS, *objects))] == [
        "ServiceAccount shop/generic-garbage-collector"
    ]


def test_a_default_role_of_everybody_that_was_widened_is_a_finding() -> None:
    def discovery(*more: Any) -> list[dict[str, Any]]:
        return [
            role("system:discovery", rule("get", urls="/api,/api/*,/version"), *more, labels=DEFAULT),
            binding(
                "system:discovery",
                "ClusterRole/system:discovery",
                "Group/system:authenticated",
                labels=DEFAULT,
            ),
        ]

    assert told(run(spec("", "/api", "get"), *discovery())) == []
    assert told(run(SECRETS, *discovery())) == []
    (finding,) = told(run(SECRETS, *discovery(rule("get", "", "secrets"))))
    assert finding[2].endswith(" by ClusterRole system:discovery rules[1]: get on secrets (core)")


def test_unbound_roles_and_dangling_bindings_grant_nothing() -> None:
    objects = [
        role("r", EVERYTHING),
        role("local", EVERYTHING, ns="shop"),
        binding("gone", "ClusterRole/gone", "User/jane"),
        binding("elsewhere", "Role/local", "User/jane", ns="other"),
        binding("no-cluster-wide-role", "Role/local", "User/jane"),
        binding("nobody", "ClusterRole/r"),
    ]
    assert (told(run(WILDCARDS, *objects)), verdict(run(WILDCARDS, *objects))) == ([], "pass")


def test_resource_names_are_a_narrower_grant_that_is_said() -> None:
    results = run(
        SECRETS,
        role("r", rule("get", "", "secrets", names="db,tls")),
        binding("b", "ClusterRole/r", "User/jane"),
    )
    assert [f[2] for f in told(results)] == [
        "User jane by ClusterRole r rules[0]: get on secrets (core) named db, tls"
    ]


@pytest.mark.parametrize(
    ("asked", "granted", "found"),
    [
        # subresources, as the authorizer matches them
        (("", "pods/exec", "create"), ("create", "", "pods/exec"), True),
        (("", "pods/exec", "create"), ("create", "", "*/exec"), True),
        (("", "pods/exec", "create"), ("create", "", "*"), True),
        (("", "pods/exec", "create"), ("create", "", "pods"), False),
        (("", "pods/exec", "create"), ("create", "", "pods/*"), False),
        (("", "pods", "get"), ("get", "", "pods/log"), False),
        (("", "pods/*", "get"), ("get", "", "pods/log"), True),
        (("", "pods/*", "get"), ("get", "", "pods"), False),
        (("", "*/exec", "create"), ("create", "", "pods/exec"), True),
        (("", "*/exec", "create"), ("create", "", "pods/attach"), False),
        # groups
        (("apps", "deployments", "get"), ("get", "", "deployments"), False),
        (("*", "secrets", "get"), ("get", "", "secrets"), True),
        # wildcards in the entry
        (("*", "*", "*"), ("*", "*", "*"), True),
        (("*", "*", "*"), ("*", "", "*"), False),
        (("*", "*", "*"), ("get", "*", "*"), False),
        (("*", "*", "*"), ("*", "*", "pods"), False),
        (("", "*", "*"), ("*", "", "*"), True),
        (("", "*", "*"), ("*", "*", "*"), True),
        (("", "*", "*"), ("*", "", "pods"), False),
        (("", "secrets", "*"), ("*", "", "secrets"), True),
        (("", "secrets", "*"), ("get,list,watch", "", "secrets"), False),
        (("*", "secrets", "*"), ("*", "", "secrets"), True),
        (
            ("rbac.authorization.k8s.io", "*", "escalate"),
            ("escalate", "rbac.authorization.k8s.io", "roles"),
            True,
        ),
        (
            ("rbac.authorization.k8s.io", "*", "escalate"),
            ("get", "rbac.authorization.k8s.io", "roles"),
            False,
        ),
        # escalation verbs, exactly
        (
            ("rbac.authorization.k8s.io", "clusterroles", "bind"),
            ("bind", "rbac.authorization.k8s.io", "clusterroles"),
            True,
        ),
        (("", "users", "impersonate"), ("impersonate", "", "users,groups"), True),
        (("", "secrets", "get"), ("escalate", "rbac.authorization.k8s.io", "clusterroles"), False),
    ],
)
def test_matching(asked: Any, granted: Any, found: Any) -> None:
    assert reads(rule(*granted), spec(*asked)) is found


@pytest.mark.parametrize(
    ("path", "granted", "found"),
    [
        ("/metrics", "/metrics", True),
        ("/metrics", "/met*", True),
        ("/metrics", "*", True),
        ("/metrics", "/metrics/", False),
        ("/debug/*", "/debug/pprof", True),
        ("/debug/*", "/debug/pprof/*", True),
        ("/debug/*", "/*", True),
        ("/debug/*", "/metrics", False),
        ("/debug/*", "/metrics/*", False),
    ],
)
def test_paths(path: str, granted: Any, found: Any) -> None:
    assert reads(rule("get", urls=granted), spec("", path, "get")) is found


BIND = spec("rbac.authorization.k8s.io", "clusterroles", "bind")


@pytest.mark.parametrize(
    ("asked", "granted", "found"),
    [
        # A role is bound in the namespace of the RoleBinding that is created.
        (BIND, ("bind", "rbac.authorization.k8s.io", "clusterroles"), True),
        (BIND, ("bind", "rbac.authorization.k8s.io", "clusterroles", "view"), True),
        (BIND, ("*", "*", "*"), True),
        (BIND, ("get,escalate", "rbac.authorization.k8s.io", "clusterroles"), False),
        (spec("*", "clusterroles", "bind"), ("bind", "rbac.authorization.k8s.io", "clusterroles"), True),
        (spec("rbac.authorization.k8s.io", "*", "bind"), ("bind", "*", "clusterroles"), True),
        (spec("rbac.authorization.k8s.io", "clusterroles", "*"), ("*", "*", "*"), True),
        (spec("rbac.authorization.k8s.io", "*", "get"), ("get", "*", "clusterroles"), False),
        (spec("rbac.authorization.k8s.io", "clusterroles", "escalate"), ("*", "*", "*"), False),
        (spec("rbac.authorization.k8s.io", "roles", "escalate"), ("*", "*", "*"), True),
        # Users are of no namespace, service accounts are.
        (spec("", "users", "impersonate"), ("*", "*", "*"), False),
        (spec("", "serviceaccounts", "impersonate"), ("*", "*", "*"), True),
        (
            spec("*", "*", "impersonate"),
            ("impersonate:serviceaccount", "authentication.k8s.io", "serviceaccounts"),
            True,
        ),
        (spec("*", "*", "impersonate"), ("impersonate:user-info", "authentication.k8s.io", "users"), False),
        (spec("certificates.k8s.io", "signers", "approve"), ("*", "*", "*"), False),
        # One Namespace is asked for within it.
        (spec("", "namespaces", "create"), ("*", "*", "*"), False),
        (spec("", "namespaces", "create", "delete"), ("create,delete", "", "namespaces"), True),
        (spec("policy", "podsecuritypolicies", "use"), ("*", "*", "*"), True),
        (spec("policy", "podsecuritypolicies", "get"), ("*", "*", "*"), False),
        # `pods/*` in a role is no wildcard, in an entry it is.
        (spec("", "*/*", "get"), ("get", "", "pods/log"), True),
        (spec("", "pods/*", "get"), ("get", "", "pods/*"), False),
        # No request of this verb has a name.
        (spec("", "secrets", "deletecollection"), ("deletecollection", "", "secrets", "a"), False),
    ],
)
def test_what_a_role_binding_grants(asked: Any, granted: Any, found: Any) -> None:
    results = run(asked, role("r", rule(*granted)), binding("b", "ClusterRole/r", "User/jane", ns="shop"))
    assert (verdict(results) == "fail") is found


def test_constrained_impersonation_is_said_as_it_is_written() -> None:
    results = run(
        spec("*", "*", "impersonate"),
        role("r", rule("impersonate:user-info", "authentication.k8s.io", "users")),
        binding("b", "ClusterRole/r", "User/jane"),
    )
    assert [f[3] for f in told(results)] == [
        "User jane is granted impersonate:user-info in the whole cluster by ClusterRole r rules[0]: "
        "impersonate:user-info on users (authentication.k8s.io)"
    ]


def test_one_role_is_read_for_each_kind_of_binding() -> None:
    objects = [
        role("r", rule("get,bind", "rbac.authorization.k8s.io", "clusterroles")),
        binding("everywhere", "ClusterRole/r", "User/jane"),
        binding("here", "ClusterRole/r", "User/jane", ns="shop"),
    ]
    asked = spec("rbac.authorization.k8s.io", "clusterroles", "get", "bind")
    assert [f[3].partition(" by ")[0] for f in told(run(asked, *objects))] == [
        "User jane is granted get, bind in the whole cluster",
        "User jane is granted bind in namespace shop",
    ]


def test_paths_and_cluster_scoped_resources_are_not_granted_by_role_bindings() -> None:
    objects = [
        role("r", rule("*", "*", "*"), rule("*", urls="*")),
        binding("b", "ClusterRole/r", "User/jane", ns="shop"),
    ]
    for asked in (spec("", "/metrics", "get"), spec("", "nodes", "get"), spec("", "nodes/proxy", "get")):
        assert told(run(asked, *objects)) == []
    assert len(told(run(spec("", "namespaces", "delete"), *objects))) == 1


def test_aggregated_rules_count_also_where_no_controller_filled_them_in() -> None:
    objects = [
        role(
            "monitoring",
            aggregationRule={"clusterRoleSelectors": [{"matchLabels": {"to": "monitoring"}}]},
        ),
        role(
            "half",
            labels={"to": "monitoring"},
            aggregationRule={
                "clusterRoleSelectors": [{"matchExpressions": [{"key": "part", "operator": "Exists"}]}]
            },
        ),
        role("piece", rule("get", "", "pods"), rule("get", "", "secrets"), labels={"part": "1"}),
        binding("b", "ClusterRole/monitoring", "User/jane"),
    ]
    written = "ClusterRole piece rules[1] (aggregated into monitoring): get on secrets (core)"
    assert [f[2] for f in told(run(SECRETS, *objects))] == [f"User jane by {written}"]


def test_aggregation_circles_end() -> None:
    def selects(label: str) -> dict[str, Any]:
        return {"clusterRoleSelectors": [{"matchLabels": {"is": label}}]}

    objects = [
        role("a", rule("get", "", "pods"), labels={"is": "a"}, aggregationRule=selects("b")),
        role("b", rule("get", "", "secrets"), labels={"is": "b"}, aggregationRule=selects("a")),
        binding("x", "ClusterRole/a", "User/jane"),
    ]
    assert [f[2] for f in told(run(SECRETS, *objects))] == [
        "User jane by ClusterRole b rules[0] (aggregated into a): get on secrets (core)"
    ]


@pytest.mark.parametrize(
    "odd",
    [
        {**role("r"), "rules": {"verbs": ["*"]}},
        {**role("r"), "rules": ["*"]},
        {**role("r"), "rules": [{"verbs": "*"}]},
        {**role("r"), "rules": [{"verbs": [1]}]},
        {**role("r"), "aggregationRule": {"clusterRoleSelectors": [{"matchLabels": "x"}]}},
        {**binding("b", "ClusterRole/r", "User/jane"), "subjects": "jane"},
        {**binding("b", "ClusterRole/r", "User/jane"), "subjects": [{"kind": "User", "name": 1}]},
        {**binding("b", "ClusterRole/r", "User/jane"), "roleRef": "r"},
    ],
)
def test_malformed_objects_are_errors(odd: Any) -> None:
    assert verdict(run(SECRETS, role("other"), odd)) == "error"


def test_ids() -> None:
    asked = [
        {"apiGroup": "", "resource": "secrets", "verbs": ["get"]},
        {"apiGroup": "", "resource": "secrets", "verbs": ["list"]},
        {"apiGroup": "*", "resource": "*", "verbs": ["*"]},
        {"resource": "/metrics", "verbs": ["get"]},
    ]
    results = evaluate(check, objects=[ADMIN], spec={"rbac": {"forbiddenRules": asked}})
    assert {result.id for result in results} == {
        "rbac.forbiddenRules[core/secrets]",
        "rbac.forbiddenRules[core/secrets#2]",
        "rbac.forbiddenRules[*/*]",
        "rbac.forbiddenRules[path/metrics]",
    }


def test_manifests_need_not_hold_the_roles_of_the_api_server_but_every_other_role() -> None:
    admin = run(WILDCARDS, binding("b", "ClusterRole/cluster-admin", "User/jane"), kind="manifests")
    assert [f[2] for f in told(admin)] == ["User jane by ClusterRole cluster-admin rules[0]: * on * (*)"]
    roles = {"view": False, "edit": True, "admin": True, "system:node": True, "system:discovery": False}
    for name, found in roles.items():
        bound = run(SECRETS, binding("b", f"ClusterRole/{name}", "User/jane", ns="shop"), kind="manifests")
        assert (verdict(bound), bool(told(bound))) == ("fail" if found else "pass", found), name
    reader = "Role/extension-apiserver-authentication-reader"
    assert (
        verdict(run(SECRETS, binding("b", reader, "User/jane", ns="kube-system"), kind="manifests")) == "pass"
    )
    for role_name, ns in ((reader, "shop"), ("ClusterRole/system:made-up", ""), ("ClusterRole/mine", "")):
        unknown = run(SECRETS, binding("b", role_name, "User/jane", ns=ns), kind="manifests")
        assert (verdict(unknown), told(unknown)) == ("error", [])
        assert f"{role_name.replace('/', ' ')} is not in the manifests" in unknown[0].reason


def test_a_role_of_the_manifests_stands_before_and_adds_to_those_of_the_api_server() -> None:
    edit = [role("edit", rule("get", "", "pods")), binding("b", "ClusterRole/edit", "User/j")]
    assert verdict(run(SECRETS, *edit, kind="manifests")) == "pass"
    added = role(
        "more", rule("get", "", "secrets"), labels={"rbac.authorization.k8s.io/aggregate-to-view": "true"}
    )
    view = run(SECRETS, added, binding("b", "ClusterRole/view", "User/j"), kind="manifests")
    assert [f[2] for f in told(view)] == [
        "User j by ClusterRole more rules[0] (aggregated into view): get on secrets (core)"
    ]
