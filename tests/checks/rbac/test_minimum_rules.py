"""rbac.minimumRules: somebody was granted it on purpose."""

from typing import Any

from builtin_checks.rbac.test_minimum_rules import test_minimum_rules as check
from pytest_kspec.results.result import CheckResult
from pytest_kspec.testing import evaluate
from tests.checks.objects import binding, role, rule, told, verdict

DEFAULT = {"kubernetes.io/bootstrapping": "rbac-defaults"}
KEY = "rbac.minimumRules[core/configmaps]"
NOBODY = "no subject is granted get, list on configmaps (core)"


def run(
    *objects: Any, group: str = "", resource: str = "configmaps", verbs: Any = ("get", "list"), **options: Any
) -> list[CheckResult]:
    rules = [{"apiGroup": group, "resource": resource, "verbs": list(verbs)}]
    return evaluate(check, objects=objects, spec={"rbac": {"minimumRules": rules}}, **options)


def test_cluster_admin_and_system_roles_satisfy_no_minimum() -> None:
    results = run(
        role("cluster-admin", rule("*", "*", "*"), labels=DEFAULT),
        role("system:aggregate-to-view", rule("get,list,watch", "", "configmaps"), labels=DEFAULT),
        role("system:kube-controller-manager", rule("get,list", "*", "*"), labels=DEFAULT),
        binding("cluster-admin", "ClusterRole/cluster-admin", "Group/system:masters", labels=DEFAULT),
        binding("ops", "ClusterRole/cluster-admin", "Group/ops"),
        binding(
            "system:kube-controller-manager",
            "ClusterRole/system:kube-controller-manager",
            "User/system:kube-controller-manager",
            labels=DEFAULT,
        ),
    )
    assert told(results) == [("cluster", KEY, None, NOBODY)]


def test_unbound_roles_grant_nothing() -> None:
    assert told(run(role("reader", rule("get,list", "", "configmaps")))) == [("cluster", KEY, None, NOBODY)]


def test_granted_in_the_cluster_or_in_a_namespace() -> None:
    reader = role("reader", rule("get,list", "", "configmaps,pods"))
    assert verdict(run(reader, binding("b", "ClusterRole/reader", "Group/devs"))) == "pass"
    assert (
        verdict(run(reader, binding("b", "ClusterRole/reader", "ServiceAccount/ci/runner", ns="shop")))
        == "pass"
    )


def test_several_bindings_of_one_subject_count_together_but_not_of_several_subjects() -> None:
    roles = [role("getter", rule("get", "", "configmaps")), role("lister", rule("list", "*", "configmaps"))]
    together = [
        binding("a", "ClusterRole/getter", "User/jane"),
        binding("b", "ClusterRole/lister", "User/jane", ns="x"),
    ]
    assert told(run(*roles, *together)) == []
    apart = [
        binding("a", "ClusterRole/getter", "User/jane", ns="y"),
        binding("b", "ClusterRole/lister", "User/jane", ns="x"),
    ]
    actual = "User jane: only list in namespace x"
    assert told(run(*roles, *apart)) == [("cluster", KEY, actual, f"{NOBODY}; closest is {actual}")]
    others = [binding("a", "ClusterRole/getter", "User/jane"), binding("b", "ClusterRole/lister", "User/joe")]
    actual = "User jane: only get in the whole cluster"
    assert told(run(*roles, *others)) == [("cluster", KEY, actual, f"{NOBODY}; closest is {actual}")]


def test_a_wildcard_in_the_entry_is_literally_everything() -> None:
    jane = binding("b", "ClusterRole/r", "User/jane")
    assert (
        verdict(run(role("r", rule("get,list,watch,create", "", "configmaps")), jane, verbs=["*"])) == "fail"
    )
    assert verdict(run(role("r", rule("*", "", "configmaps")), jane, verbs=["*"])) == "pass"
    assert verdict(run(role("r", rule("get", "", "configmaps")), jane, resource="*", verbs=["get"])) == "fail"
    assert verdict(run(role("r", rule("get", "", "*")), jane, resource="*", verbs=["get"])) == "pass"
    assert (
        verdict(run(role("r", rule("get", "", "*")), jane, group="*", resource="*", verbs=["get"])) == "fail"
    )


def test_resource_names_do_not_cover() -> None:
    objects = [
        role("r", rule("get,list", "", "configmaps", names="a")),
        binding("b", "ClusterRole/r", "User/jane"),
    ]
    assert told(run(*objects)) == [("cluster", KEY, None, NOBODY)]


def test_cluster_scoped_resources_need_a_cluster_role_binding() -> None:
    objects = [role("r", rule("get", "", "nodes")), binding("b", "ClusterRole/r", "User/jane", ns="shop")]
    assert verdict(run(*objects, resource="nodes", verbs=["get"])) == "fail"
    assert (
        verdict(run(*objects, binding("c", "ClusterRole/r", "User/jane"), resource="nodes", verbs=["get"]))
        == "pass"
    )


def test_a_role_binding_counts_for_what_is_asked_in_a_namespace() -> None:
    group = "rbac.authorization.k8s.io"
    objects = [
        role("r", rule("*", group, "clusterroles"), rule("*", "", "namespaces")),
        binding("b", "ClusterRole/r", "User/jane", ns="shop"),
    ]
    for resource, verbs, expected in (
        ("clusterroles", ["bind"], "pass"),
        ("clusterroles", ["bind", "get"], "fail"),
        ("clusterroles", ["*"], "fail"),
    ):
        assert verdict(run(*objects, group=group, resource=resource, verbs=verbs)) == expected, (
            resource,
            verbs,
        )
    assert verdict(run(*objects, resource="namespaces", verbs=["get"])) == "pass"
    assert verdict(run(*objects, resource="namespaces", verbs=["create"])) == "fail"


def test_a_subresource_wildcard_in_a_role_covers_nothing() -> None:
    objects = [role("r", rule("get", "", "pods/*")), binding("b", "ClusterRole/r", "User/jane")]
    assert verdict(run(*objects, resource="pods/*", verbs=["get"])) == "fail"


def test_subresources_and_paths() -> None:
    objects = [
        role("r", rule("create", "", "*/exec"), rule("get", urls="/metrics")),
        binding("b", "ClusterRole/r", "User/jane"),
    ]
    assert verdict(run(*objects, resource="pods/exec", verbs=["create"])) == "pass"
    assert verdict(run(*objects, resource="pods", verbs=["create"])) == "fail"
    assert verdict(run(*objects, resource="/metrics", verbs=["get"])) == "pass"


def test_everybody_is_somebody_when_someone_bound_them() -> None:
    reader = role("reader", rule("get,list", "", "configmaps"))
    assert verdict(run(reader, binding("b", "ClusterRole/reader", "Group/system:authenticated"))) == "pass"
    assert verdict(run(reader, binding("b", "ClusterRole/reader", "Group/system:nodes"))) == "fail"


def test_malformed_role_is_an_error_unless_another_grant_is_enough() -> None:
    odd = {**role("odd"), "rules": "all"}
    reader = role("reader", rule("get,list", "", "configmaps"))
    assert verdict(run(odd)) == "error"
    assert verdict(run(odd, reader, binding("b", "ClusterRole/reader", "User/jane"))) == "pass"
