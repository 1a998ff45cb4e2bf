"""Required and forbidden fields: value and exists, types, inheritance, defaults, kinds of containers."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.errors import Malformed
from pytest_kspec.kube.resources import PodShape
from pytest_kspec.redaction.marker import REDACTED
from pytest_kspec.rules.base import Violation
from pytest_kspec.rules.pods.requiredfield import ForbiddenField, RequiredField


def pod(*containers: Any, **spec: Any) -> PodShape:
    return PodShape(
        {"containers": [{"name": "app", "image": "x"} | c for c in containers] or [{"name": "app"}], **spec},
        {},
    )


def secured(**fields: Any) -> dict[str, Any]:
    return {"securityContext": fields}


def required(key: str, shape: Any, value: Any = None, exists: Any = None) -> list[Any]:
    return [tuple(v) for v in RequiredField(key, value, exists).evaluate(shape)]


def forbidden(key: str, shape: Any, value: Any = None, exists: Any = None) -> list[Any]:
    return [tuple(v) for v in ForbiddenField(key, value, exists).evaluate(shape)]


UNSET: dict[str, Any] = {}
FALSE, TRUE = secured(privileged=False), secured(privileged=True)
PATH = "spec.containers[app].securityContext.privileged"


@pytest.mark.parametrize(
    ("value", "exists", "bad", "expected"),
    [
        (None, None, [UNSET, FALSE], "true"),
        ("true", None, [UNSET, FALSE], "true"),
        (True, None, [UNSET, FALSE], "true"),
        ("false", None, [TRUE], "false"),
        ("false", True, [UNSET, TRUE], "false"),
        ("true", False, [FALSE], "unset or true"),
        (None, True, [UNSET], "set"),
        (None, False, [FALSE, TRUE], "unset"),
    ],
)
def test_required_boolean(
    value: bool | str | None, exists: bool | None, bad: list[dict[str, Any]], expected: str
) -> None:
    for container in (UNSET, FALSE, TRUE):
        actual = container.get("securityContext", {}).get("privileged")
        want = [(PATH, actual, expected, "app")] if container in bad else []
        assert required("securityContext.privileged", pod(container), value, exists) == want


@pytest.mark.parametrize(
    ("value", "exists", "bad", "expected"),
    [
        (None, None, [TRUE], "unset or false"),
        ("true", None, [TRUE], "not true"),
        ("false", None, [UNSET, FALSE], "not false"),
        ("false", True, [FALSE], "not false"),
        ("true", False, [UNSET, TRUE], "set and not true"),
        (None, True, [FALSE, TRUE], "unset"),
        (None, False, [UNSET], "set"),
    ],
)
def test_forbidden_boolean(
    value: str | None, exists: bool | None, bad: list[dict[str, Any]], expected: str
) -> None:
    for container in (UNSET, FALSE, TRUE):
        actual = container.get("securityContext", {}).get("privileged")
        want = [(PATH, actual, expected, "app")] if container in bad else []
        assert forbidden("securityContext.privileged", pod(container), value, exists) == want


def test_forbidden_without_value_is_about_true() -> None:
    assert forbidden("hostNetwork", pod()) == []
    assert forbidden("hostNetwork", pod(hostNetwork=False)) == []
    assert forbidden("hostNetwork", pod(hostNetwork=True)) == [
        ("spec.hostNetwork", True, "unset or false", "")
    ]


def test_a_container_overrides_its_pod() -> None:
    shape = pod(secured(runAsNonRoot=False), {"name": "b"}, securityContext={"runAsNonRoot": True})
    assert required("securityContext.runAsNonRoot", shape, "true") == [
        ("spec.containers[app].securityContext.runAsNonRoot", False, "true", "app")
    ]


def test_the_value_counts() -> None:
    shape = pod({"imagePullPolicy": "Never"})
    assert required("imagePullPolicy", shape, "Always") == [
        ("spec.containers[app].imagePullPolicy", "Never", "Always", "app")
    ]


def test_all_container_lists_are_looked_at() -> None:
    shape = pod(
        {"name": "c"},
        initContainers=[{"name": "i"}],
        ephemeralContainers=[{"name": "e"}],
    )
    key = "securityContext.readOnlyRootFilesystem"
    assert [v[0] for v in required(key, shape, True)] == [
        f"spec.{where}.{key}" for where in ("initContainers[i]", "containers[c]", "ephemeralContainers[e]")
    ]


def test_a_pod_field_is_one_finding_whatever_the_number_of_containers() -> None:
    shape = pod({"name": "a"}, {"name": "b"}, hostPID=True)
    assert forbidden("hostPID", shape) == [("spec.hostPID", True, "unset or false", "")]


@pytest.mark.parametrize(
    "key", ["readOnlyRootFilesystem", "capabilities.drop", "securityContext.hostNetwork"]
)
def test_unknown_keys_are_refused(key: str) -> None:
    with pytest.raises(ValueError, match="is not a field of a Kubernetes Pod"):
        RequiredField(key)


def test_a_value_taken_from_the_pod_is_said_to_be() -> None:
    shape = pod({}, securityContext={"runAsNonRoot": False})
    assert required("securityContext.runAsNonRoot", shape, True) == [
        (
            "spec.containers[app].securityContext.runAsNonRoot",
            False,
            "true (taken from spec.securityContext.runAsNonRoot)",
            "app",
        )
    ]


def test_spec_before_a_key_is_the_pods_own() -> None:
    shape = pod(secured(runAsNonRoot=True))
    assert required("spec.securityContext.runAsNonRoot", shape, True) == [
        ("spec.securityContext.runAsNonRoot", None, "true", "")
    ]


def test_a_profile_is_inherited_as_a_whole() -> None:
    own = pod(
        secured(seccompProfile={"localhostProfile": "x"}),
        securityContext={"seccompProfile": {"type": "RuntimeDefault"}},
    )
    key = "securityContext.seccompProfile.type"
    assert required(key, own, "RuntimeDefault") == [
        (f"spec.containers[app].{key}", None, "RuntimeDefault", "app")
    ]
    none = pod({}, securityContext={"seccompProfile": {"type": "RuntimeDefault"}})
    assert required(key, none, ["RuntimeDefault", "Localhost"]) == []


def test_windows_options_are_inherited_one_by_one() -> None:
    shape = pod(
        secured(windowsOptions={"runAsUserName": "u"}),
        securityContext={"windowsOptions": {"hostProcess": True}},
    )
    assert [v[1] for v in forbidden("securityContext.windowsOptions.hostProcess", shape)] == [True]


def test_what_is_not_inherited() -> None:
    shape = pod({}, securityContext={"fsGroup": 1})
    assert len(required("securityContext.privileged", shape, exists=True)) == 1


def limits(**resources: Any) -> dict[str, Any]:
    return {"resources": {"limits": resources}}


def test_pod_level_resources_count_for_containers_without_their_own() -> None:
    key = "resources.limits.memory"
    shape = pod({"name": "a"}, {"name": "b"} | limits(memory="2Gi"), resources={"limits": {"memory": "1Gi"}})
    assert required(key, shape, exists=True) == []
    assert required(key, shape, "1024Mi") == [
        ("spec.containers[b].resources.limits.memory", "2Gi", "1024Mi", "b")
    ]
    assert len(required("resources.limits.cpu", shape, exists=True)) == 2


def test_requests_are_the_limits_where_unset() -> None:
    assert required("resources.requests.memory", pod(limits(memory="1Gi")), exists=True) == []
    assert len(required("resources.requests.cpu", pod(limits(memory="1Gi")), exists=True)) == 1


@pytest.mark.parametrize(
    ("actual", "wanted", "equal"),
    [
        ("1Gi", "1024Mi", True),
        ("1Gi", 1073741824, True),
        (1, "1000m", True),
        (0.5, "500m", True),
        ("1.5", "1500m", True),
        ("1e3", "1k", True),
        ("1G", "1Gi", False),
    ],
)
def test_quantities_are_compared_by_amount(actual: Any, wanted: int | str, equal: bool) -> None:
    assert (required("resources.limits.cpu", pod(limits(cpu=actual)), wanted) == []) is equal


def test_integers_and_text() -> None:
    assert required("securityContext.runAsUser", pod(secured(runAsUser=1000)), "1000") == []
    assert len(forbidden("securityContext.runAsUser", pod(secured(runAsUser=0)), 0)) == 1
    assert len(forbidden("securityContext.runAsUser", pod(secured(runAsUser=0)))) == 1
    assert required("workingDir", pod({"workingDir": "1"}), 1) == []


def caps(**lists: Any) -> Any:
    return secured(capabilities=lists)


@pytest.mark.parametrize(
    ("drop", "wanted", "good"),
    [
        (["ALL"], "ALL", True),
        (["ALL"], ["ALL"], True),
        (["ALL"], ["NET_RAW", "SYS_ADMIN"], True),
        (["NET_RAW", "X"], ["NET_RAW"], True),
        (["NET_RAW"], "NET_RAW,SYS_ADMIN", False),
        (["all"], "ALL", False),
        ([], "ALL", False),
    ],
)
def test_required_lists_hold_every_value(
    drop: list[Any] | list[str], wanted: list[str] | str, good: bool
) -> None:
    assert (required("securityContext.capabilities.drop", pod(caps(drop=drop)), wanted) == []) is good


@pytest.mark.parametrize(
    ("add", "unwanted", "good"),
    [
        (["NET_ADMIN"], ["SYS_ADMIN"], True),
        (["SYS_ADMIN"], ["NET_ADMIN", "SYS_ADMIN"], False),
        (["CAP_sys_admin"], "SYS_ADMIN", False),
        (["ALL"], "SYS_ADMIN", False),
        ([], "SYS_ADMIN", True),
    ],
)
def test_forbidden_lists_hold_no_value(
    add: list[Any] | list[str], unwanted: list[str] | str, good: bool
) -> None:
    assert (forbidden("securityContext.capabilities.add", pod(caps(add=add)), unwanted) == []) is good


def test_allow_privilege_escalation_is_true_when_unset() -> None:
    key = "securityContext.allowPrivilegeEscalation"
    assert required(key, pod({}), "false") == [(f"spec.containers[app].{key}", None, "false", "app")]
    assert forbidden(key, pod({})) == [(f"spec.containers[app].{key}", None, "false", "app")]
    assert required(key, pod(secured(allowPrivilegeEscalation=False)), "false") == []


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("r:5000/x", "Always"),
        ("x:latest", "Always"),
        ("x:1", "IfNotPresent"),
        ("x@sha256:0", "IfNotPresent"),
    ],
)
def test_the_pull_policy_is_what_the_api_server_would_write(image: str, policy: str) -> None:
    assert required("imagePullPolicy", pod({"image": image}), policy) == []


def test_fields_that_a_container_cannot_have_are_not_asked_of_it() -> None:
    shape = pod(
        {"name": "app", "livenessProbe": {"exec": {}}} | limits(memory="1Gi"),
        initContainers=[{"name": "init"} | limits(memory="1Gi"), {"name": "side", "restartPolicy": "Always"}],
        ephemeralContainers=[{"name": "debug"}],
    )
    assert [v[3] for v in required("livenessProbe", shape)] == ["side"]
    assert [v[3] for v in required("resources.limits.memory", shape, exists=True)] == ["side"]


def test_fields_that_an_operating_system_refuses_are_not_asked_of_it() -> None:
    windows = pod({}, os={"name": "windows"})
    assert required("securityContext.allowPrivilegeEscalation", windows, "false") == []
    assert required("securityContext.capabilities.drop", windows, "ALL") == []
    assert len(required("securityContext.runAsNonRoot", windows, True)) == 1
    assert required("securityContext.windowsOptions.runAsUserName", pod({}, os={"name": "linux"})) == []


def test_paths_through_lists() -> None:
    shape = pod({"ports": [{"name": "http", "containerPort": 80, "hostPort": 80}, {"containerPort": 81}]})
    assert forbidden("ports.hostPort", shape) == [
        ("spec.containers[app].ports[http].hostPort", 80, "unset", "app")
    ]
    assert [v[0] for v in required("ports[*].hostPort", shape)] == ["spec.containers[app].ports[1].hostPort"]
    for exists in (None, True):
        assert [v[0] for v in required("ports.name", shape, exists=exists)] == [
            "spec.containers[app].ports[1].name"
        ]
        cases: tuple[dict[str, Any], ...] = ({}, {"ports": None}, {"ports": []})
    for without in cases:
        assert required("ports.name", pod(without), exists=exists) == []
        assert forbidden("ports.name", pod(without), exists=False) == []
    assert required("ports", pod({}), exists=True) == [("spec.containers[app].ports", None, "set", "app")]
    assert required("ports.protocol", shape, "TCP") == []


def test_values_of_environment_variables_are_not_shown() -> None:
    shape = pod({"env": [{"name": "PASSWORD", "value": "hunter2"}]})
    assert forbidden("env.value", shape) == [
        ("spec.containers[app].env[PASSWORD].value", "(not shown)", "unset", "app")
    ]


@pytest.mark.parametrize(
    ("key", "container", "told"),
    [
        (
            "securityContext.privileged",
            secured(privileged="true"),
            f"{PATH} is text; Kubernetes allows only a boolean there.",
        ),
        (
            "securityContext.privileged",
            {"securityContext": []},
            "spec.containers[app].securityContext is a list; Kubernetes allows only a map there.",
        ),
        (
            "resources.limits.memory",
            limits(memory="lots"),
            "spec.containers[app].resources.limits.memory is not a quantity such as 500m or 1Gi.",
        ),
        (
            "securityContext.capabilities.drop",
            caps(drop=[1]),
            "spec.containers[app].securityContext.capabilities.drop[0] is an integer; "
            "Kubernetes allows only text there.",
        ),
        (
            "ports.hostPort",
            {"ports": {}},
            "spec.containers[app].ports is a map; Kubernetes allows only a list there.",
        ),
    ],
)
def test_impossible_types_are_errors(key: str, container: dict[str, Any], told: str) -> None:
    for rule in (RequiredField(key, exists=True), ForbiddenField(key, exists=True)):
        with pytest.raises(Malformed) as error:
            rule.evaluate(pod(container))
        assert error.value.what == told


def test_a_value_that_was_good_says_nothing_about_another_that_equals_it() -> None:
    rule = RequiredField("securityContext.privileged", "true")
    assert rule.evaluate(pod(TRUE)) == rule.evaluate(pod(TRUE)) == []
    with pytest.raises(Malformed):
        rule.evaluate(pod(secured(privileged=1)))
    assert len(rule.evaluate(pod(TRUE | {"name": "a"}, FALSE | {"name": "b"}))) == 1


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["limits", "type", "name"]), inner, max_size=2)
    ),
    max_leaves=5,
)


@given(
    st.sampled_from(
        [
            "securityContext.runAsNonRoot",
            "resources.limits.memory",
            "ports.hostPort",
            "securityContext.seccompProfile.type",
        ]
    ),
    st.dictionaries(st.sampled_from(["securityContext", "resources", "ports", "os"]), json),
    st.dictionaries(st.sampled_from(["securityContext", "resources", "ports"]), json),
)
def test_any_data_is_judged_or_called_malformed(key: str, spec: Any, container: Any) -> None:
    shape = pod(container, **spec)
    for rule in (RequiredField(key, exists=True), ForbiddenField(key, exists=True)):
        try:
            found = rule.evaluate(shape)
        except Malformed:
            continue
        assert all(isinstance(violation, Violation) for violation in found)


@given(
    st.sampled_from(["true", "false"]), st.sampled_from([None, True]), st.sampled_from([UNSET, FALSE, TRUE])
)
def test_required_and_forbidden_are_opposites(value: Any, exists: Any, container: Any) -> None:
    if container is UNSET and exists:
        return  # neither: it is not set, so not as required, and not as forbidden
    key = "securityContext.privileged"
    assert (required(key, pod(container), value, exists) == []) is (
        forbidden(key, pod(container), value, exists) != []
    )


def test_what_was_redacted_is_compared_with_nothing() -> None:
    hidden = pod({"workingDir": REDACTED})
    with pytest.raises(
        Malformed, match=r"containers\[app\]\.workingDir was redacted when the cluster was recorded"
    ):
        required("workingDir", hidden, "/srv")
    with pytest.raises(Malformed, match=r"was redacted"):
        forbidden("workingDir", hidden, "/srv")


def test_a_list_that_is_text_is_not_its_letters() -> None:
    shape = pod(secured(capabilities={"drop": "ALL"}))
    for of in (required, forbidden):
        with pytest.raises(Malformed, match=r"capabilities\.drop is text"):
            of("securityContext.capabilities.drop", shape, "ALL")
