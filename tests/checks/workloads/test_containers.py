"""workloads.containers.required and .forbidden, from specification to findings."""

from typing import Any

import pytest

from builtin_checks.workloads.test_containers import test_forbidden as check_forbidden
from builtin_checks.workloads.test_containers import test_required as check_required
from pytest_kspec.errors import SpecError
from pytest_kspec.results.result import CheckResult
from pytest_kspec.testing import evaluate
from tests.checks.objects import obj, told


def pod(
    name: str, *containers: dict[str, Any], owner: str = "", phase: str = "Running", **spec: Any
) -> dict[str, Any]:
    raw = obj(
        "v1", "Pod", name, "shop", spec={"containers": list(containers), **spec}, status={"phase": phase}
    )
    if owner:
        ref = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": owner, "controller": True, "uid": owner}
        raw["metadata"]["ownerReferences"] = [ref]
    return raw


def container(name: str = "app", **fields: Any) -> dict[str, Any]:
    return {"name": name, "image": "x", **fields}


def required(entries: list[dict[str, Any]], *objects: dict[str, Any], **options: Any) -> list[CheckResult]:
    spec = {"workloads": {"containers": {"required": entries}}}
    return evaluate(check_required, objects=objects, spec=spec, **options)


def forbidden(entries: list[dict[str, Any]], *objects: dict[str, Any], **options: Any) -> list[CheckResult]:
    spec = {"workloads": {"containers": {"forbidden": entries}}}
    return evaluate(check_forbidden, objects=objects, spec=spec, **options)


NON_ROOT = {"key": "securityContext.runAsNonRoot", "value": "true"}
PATH = "spec.containers[app].securityContext.runAsNonRoot"


def test_a_container_that_overrides_its_pod_is_found() -> None:
    bad = pod(
        "bad", container(securityContext={"runAsNonRoot": False}), securityContext={"runAsNonRoot": True}
    )
    good = pod("good", container(), securityContext={"runAsNonRoot": True})
    assert told(required([NON_ROOT], good, bad)) == [
        ("Pod shop/bad", PATH, False, f"{PATH} is false, must be true")
    ]


def test_what_strict_and_init_specifications_ask_for_is_evaluated() -> None:
    entries: list[dict[str, Any]] = [
        {"key": "securityContext.readOnlyRootFilesystem", "value": True},
        {"key": "securityContext.capabilities.drop", "value": ["ALL"]},
        {"key": "resources.limits.cpu", "exists": True},
    ]
    bare = pod("bare", container())
    assert [(r.id, [f.path for f in r.findings]) for r in required(entries, bare)] == [
        (
            "workloads.containers.required[resources.limits.cpu]",
            ["spec.containers[app].resources.limits.cpu"],
        ),
        (
            "workloads.containers.required[securityContext.capabilities.drop]",
            ["spec.containers[app].securityContext.capabilities.drop"],
        ),
        (
            "workloads.containers.required[securityContext.readOnlyRootFilesystem]",
            ["spec.containers[app].securityContext.readOnlyRootFilesystem"],
        ),
    ]
    hardened = container(
        securityContext={"readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}},
        resources={"limits": {"cpu": "1"}},
    )
    assert {r.verdict.value for r in required(entries, pod("good", hardened))} == {"pass"}


def test_init_and_ephemeral_containers_are_looked_at() -> None:
    rooted = {"securityContext": {"runAsNonRoot": False}}
    raw = pod(
        "p",
        container(securityContext={"runAsNonRoot": True}),
        initContainers=[container("init") | rooted],
        ephemeralContainers=[container("debug") | rooted],
    )
    (result,) = required([NON_ROOT], raw)
    assert [(f.container, f.path) for f in result.findings] == [
        ("debug", "spec.ephemeralContainers[debug].securityContext.runAsNonRoot"),
        ("init", "spec.initContainers[init].securityContext.runAsNonRoot"),
    ]


def test_finished_pods_do_not_count_but_idle_controllers_do() -> None:
    done = pod("done", container(), phase="Succeeded")
    template = {"spec": {"containers": [container()]}}
    cron = obj("batch/v1", "CronJob", "c", "shop", spec={"jobTemplate": {"spec": {"template": template}}})
    idle = obj("apps/v1", "Deployment", "d", "shop", spec={"replicas": 0, "template": template})
    suffix = "containers[app].securityContext.runAsNonRoot"
    job_path, path = f"spec.jobTemplate.spec.template.spec.{suffix}", f"spec.template.spec.{suffix}"
    assert sorted(told(required([NON_ROOT], done, cron, idle))) == [
        ("CronJob shop/c", job_path, None, f"{job_path} is unset, must be true"),
        ("Deployment shop/d", path, None, f"{path} is unset, must be true"),
    ]


def test_a_host_namespace_is_one_finding_an_owner() -> None:
    pods = [pod(f"p-{n}", container("a"), container("b"), hostNetwork=True, owner="web") for n in range(3)]
    (result,) = forbidden([{"key": "hostNetwork", "value": "true"}], *pods)
    assert [(str(f.owner), f.count, f.path, f.actual, f.expected) for f in result.findings] == [
        ("ReplicaSet shop/web", 3, "spec.hostNetwork", True, "not true")
    ]


@pytest.mark.parametrize("key", ["securityContext.hostNetwork", "capabilities.drop", "init"])
def test_a_key_that_no_pod_has_is_an_error_of_the_specification(key: str) -> None:
    with pytest.raises(SpecError, match=r"is not a field of a Kubernetes Pod|no field"):
        required([{"key": key, "exists": True}], pod("p", container()))


def test_forbidden_without_value() -> None:
    entries = [{"key": "hostNetwork"}, {"key": "securityContext.privileged"}]
    explicit = pod("explicit", container(securityContext={"privileged": False}), hostNetwork=False)
    assert {r.verdict.value for r in forbidden(entries, explicit, pod("unset", container()))} == {"pass"}
    bad = pod("bad", container(securityContext={"privileged": True}), hostNetwork=True)
    assert [[(f.path, f.actual) for f in r.findings] for r in forbidden(entries, bad)] == [
        [("spec.hostNetwork", True)],
        [("spec.containers[app].securityContext.privileged", True)],
    ]


def test_a_key_that_is_asked_for_twice_is_two_requirements() -> None:
    entries = [{"key": "imagePullPolicy", "value": "Never"}, {"key": "imagePullPolicy", "value": "Always"}]
    results = forbidden(entries, pod("p", container(imagePullPolicy="Always")))
    assert [(r.id, r.verdict.value) for r in results] == [
        ("workloads.containers.forbidden[imagePullPolicy#2]", "fail"),
        ("workloads.containers.forbidden[imagePullPolicy]", "pass"),
    ]


def test_an_impossible_type_is_an_error_and_the_others_are_still_judged() -> None:
    broken = pod("broken", container(securityContext={"runAsNonRoot": "yes"}))
    (result,) = required([NON_ROOT], broken, pod("bad", container()))
    assert result.verdict.value == "error"
    assert f"{PATH} is text" in result.reason
    assert [f.resource.name for f in result.findings] == ["bad"]


def test_no_workload_is_nothing_to_examine() -> None:
    (result,) = required([NON_ROOT])
    assert result.verdict.value == "skip"


def test_pods_that_may_not_be_listed_are_an_error() -> None:
    (result,) = required([NON_ROOT], denied=["pods"])
    assert result.verdict.value == "error"
