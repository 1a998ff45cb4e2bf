"""What each kind of rule says in CEL: word for word (golden files), and that it finds what the rule finds."""

from __future__ import annotations

import copy
import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pytest_kspec.rules
from pytest_kspec.errors import CheckError
from pytest_kspec.kube.resources import PodShape
from pytest_kspec.rules.base import Rule, ServiceRule, Violation
from pytest_kspec.rules.cel.builder import CelBuilder, problems
from pytest_kspec.rules.cel.places import CRONJOBS, POD_PLACES, PODS, SERVICES, Place
from pytest_kspec.rules.cel.text import NotExpressible
from pytest_kspec.rules.pods.fieldrule import USER_NAMESPACE, WINDOWS, FieldRule
from pytest_kspec.rules.pods.imagerule import ImageRule
from pytest_kspec.rules.pods.imagerule_cel import images_variable
from pytest_kspec.rules.pods.podrules import AllOf, AnnotationRule, CustomRule, RequiredItem, VolumeTypes
from pytest_kspec.rules.pods.podsecurity import LEVELS, NEWEST_MINOR
from pytest_kspec.rules.pods.requiredfield import ForbiddenField, RequiredField
from pytest_kspec.rules.servicerules import PortRule, ServiceTypes
from tests.effort import examples
from tests.golden import Golden
from tests.rules.celruntime import path_of, sentences, values
from tests.rules.pod_security import CONTROLS
from tests.rules.pods import pods

GOLDEN = Path(__file__).parent / "golden"
PRIVILEGED = FieldRule(
    field="securityContext.privileged", over="containers", allowed=(None, False), reason="privileged"
)

RULES: dict[str, Rule | ServiceRule] = {
    "field": PRIVILEGED,
    "field-inherited": FieldRule(
        field="securityContext.runAsNonRoot",
        over="containers",
        allowed=(True,),
        inherits=True,
        unless=(USER_NAMESPACE, WINDOWS),
        reason="root",
    ),
    "field-set-by-its-parent": FieldRule(
        field="securityContext.seLinuxOptions.type",
        over="pod and containers",
        set_by="securityContext.seLinuxOptions",
        allowed=(None, "", "container_t"),
        reason="SELinux",
    ),
    "field-of-the-pod": FieldRule(field="hostPID", over="pod", allowed=(None, False), reason="host PID"),
    "field-of-volumes": FieldRule(field="hostPath", over="volumes", allowed=(None,), reason="hostPath"),
    "field-forbidden": FieldRule(
        field="securityContext.runAsUser", over="pod and containers", forbidden=(0,), reason="UID 0"
    ),
    "field-of-items": FieldRule(
        field="ports[].hostPort", over="containers", allowed=(None, 0), reason="host ports"
    ),
    "field-items": FieldRule(
        field="securityContext.capabilities.add[]",
        over="containers",
        allowed=("CHOWN", "NET_BIND_SERVICE"),
        reason="capabilities",
    ),
    "required-item": RequiredItem(
        field="securityContext.capabilities.drop",
        item="ALL",
        over="containers",
        unless=(WINDOWS,),
        reason="capabilities",
    ),
    "annotation": AnnotationRule(
        key="seccomp.security.alpha.kubernetes.io/pod",
        allowed=("runtime/default", "localhost/*"),
        reason="seccomp",
    ),
    "annotation-of-containers": AnnotationRule(
        key="container.seccomp.security.alpha.kubernetes.io/*",
        allowed=("runtime/default", "docker/default"),
        containers=True,
        reason="seccomp",
    ),
    "volume-types": VolumeTypes(allowed=("configMap", "emptyDir", "secret"), reason="volume types"),
    "image": ImageRule(
        reason="registries", allowed=("example.com", "busybox"), blocked=("example.com/data",)
    ),
    "image-digest": ImageRule(reason="digests", digest=True),
    "ports": PortRule(ports=(8000, 81)),
    "service-types": ServiceTypes(allowed=("ClusterIP", "NodePort")),
    "required-inherited": RequiredField("securityContext.runAsNonRoot"),
    "required-quantity": RequiredField("resources.limits.memory", max="1Gi"),
    "required-number": RequiredField("securityContext.runAsUser", min=1000, or_unset=True),
    "required-beyond-any": RequiredField("securityContext.runAsUser", min=2**63),
    "required-below-all": RequiredField("securityContext.runAsUser", max=2**63),
    "required-list-beyond-any": RequiredField("securityContext.supplementalGroups", value=[1, 2**63]),
    "required-list": RequiredField("securityContext.capabilities.drop", value=["ALL"]),
    "required-only": RequiredField("securityContext.capabilities.add", allowed=["NET_BIND_SERVICE"]),
    "required-list-of-many": RequiredField(
        "securityContext.capabilities.drop", value=["NET_RAW", "SYS_TIME"]
    ),
    "required-list-pattern": RequiredField("securityContext.capabilities.add", pattern="(NET|SYS)_.*"),
    "required-args": RequiredField("args", value=["--safe", "--quiet"]),
    "required-args-only": RequiredField("args", allowed=["--safe", "--quiet"], or_unset=True),
    "required-pattern": RequiredField("image", pattern="example.com/.*"),
    "required-of-sidecars": RequiredField("lifecycle", exists=False),
    "required-of-items": RequiredField("ports[*].containerPort", min=8001),
    "required-of-the-pod": RequiredField("hostUsers", value=False),
    "required-and-set": RequiredField("hostUsers", value=True, exists=True),
    "forbidden": ForbiddenField("securityContext.privileged", value=True),
    "forbidden-list": ForbiddenField("securityContext.capabilities.add", value=["SYS_TIME"]),
    "forbidden-list-pattern": ForbiddenField("securityContext.capabilities.add", pattern="SYS_.*"),
    "forbidden-args": ForbiddenField("args", value=["--debug", "--trace"]),
    "forbidden-secret": ForbiddenField("env[*].value"),
    "all-of": AllOf(
        "host", (FieldRule(field="hostIPC", over="pod", allowed=(None, False), reason="IPC"), PRIVILEGED)
    ),
    "custom": CustomRule(
        python=lambda pod: [Violation("spec", "", "") for _ in range(pod.spec.get("hostNetwork") is True)],
        cel="!variables.spec.?hostNetwork.orValue(false)",
        reason="the host's network",
    ),
}
OF_PODS = sorted(name for name, rule in RULES.items() if isinstance(rule, Rule))
KINDS = {
    found
    for module in pkgutil.walk_packages(pytest_kspec.rules.__path__, "pytest_kspec.rules.")
    for _, found in inspect.getmembers(importlib.import_module(module.name), inspect.isclass)
    if found.__module__ == module.name
    and not inspect.isabstract(found)
    and found not in (Rule, ServiceRule)
    and (hasattr(found, "evaluate") or hasattr(found, "evaluate_service"))
}


def exempted(name: str) -> str:
    return f'{name} == "agent"'


def text_of(rule: Rule | ServiceRule) -> str:
    """The rule as a golden file has it: as a pod has it, with an exempted container, and in a template."""
    parts = []
    if isinstance(rule, Rule):
        builders = {
            "pods": CelBuilder(PODS),
            "pods, the container agent exempted": CelBuilder(PODS, exempted),
            "cronjobs": CelBuilder(CRONJOBS),
        }
    else:
        builders = {}
    if isinstance(rule, ServiceRule):
        builders["services"] = CelBuilder(SERVICES)
    for name, builder in builders.items():
        try:
            parts.append(f"# {name}\n{problems(rule, builder)}\n")
        except NotExpressible as error:
            parts.append(f"# {name}: not said, since {error}\n")
    return "\n".join(parts)


def found(rule: Rule | ServiceRule, obj: dict[str, Any], builder: CelBuilder) -> list[str]:
    """Paths of the violations that the CEL of a rule names."""
    variables = dict(builder.place.variables)
    if builder.place in POD_PLACES:
        variables["images"] = images_variable(builder.place)
    variables["found"] = problems(rule, builder)
    return sorted(map(path_of, sentences(values(variables.items(), obj)["found"])))


def evaluated(rule: Rule, pod: dict[str, Any], prefix: str = "", without: str = "") -> list[str]:
    """Paths of the violations that the rule itself finds. without: a container whose violations do not count."""
    shape = PodShape(pod["spec"], pod["metadata"].get("annotations") or {})
    return sorted(
        prefix + violation.path
        for violation in rule.evaluate(shape)
        if not without or violation.container != without
    )


@pytest.mark.parametrize("name", sorted(RULES))
def test_rule_as_cel(name: str, golden: Golden) -> None:
    golden(f"{name}.cel", text_of(RULES[name]).encode())


def test_pod_security_as_cel(golden: Golden) -> None:
    parts = []
    for level in LEVELS:
        for name, control in sorted(CONTROLS.items()):
            if (rule := control.rule_for(level, NEWEST_MINOR)) is not None:
                parts.append(f"# {level}: {name}\n{problems(rule, CelBuilder(PODS))}\n")
    golden("pod-security.cel", "\n".join(parts).encode())


def test_no_other_golden_files() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {f"{name}.cel" for name in (*RULES, "pod-security")}


def test_every_kind_of_rule_is_here() -> None:
    assert {type(rule) for rule in RULES.values()} == KINDS


@pytest.mark.parametrize("name", [name for name in OF_PODS if name != "custom"])
def test_cel_finds_what_the_rule_finds(name: str) -> None:
    rule = RULES[name]
    assert isinstance(rule, Rule)

    @settings(max_examples=examples(25))
    @given(pods(), st.sampled_from(["", "app", "init", "debug"]))
    def check(pod: dict[str, Any], exempt: str) -> None:
        builder = CelBuilder(PODS, (lambda name: f'{name} == "{exempt}"') if exempt else lambda name: "")
        assert found(rule, pod, builder) == evaluated(rule, pod, without=exempt)
        template = copy.deepcopy(pod)
        template["spec"].pop("ephemeralContainers", None)
        obj = {"kind": "CronJob", "metadata": {}, "spec": {"jobTemplate": {"spec": {"template": template}}}}
        builder = builder._replace(place=CRONJOBS)
        assert found(rule, obj, builder) == evaluated(rule, template, CRONJOBS.path, exempt)

    check()


LISTS = (
    (
        ["NET_RAW"],
        ["SYS_TIME"],
        ["NET_RAW", "CHOWN"],
        ["CHOWN"],
        ["SYS_TIME", "NET_RAW"],
        ["ALL"],
        ["CAP_CHOWN"],
    ),
    (
        ["--safe"],
        ["--quiet", "--safe"],
        ["--debug"],
        ["--safe", "--debug"],
        ["--trace", "--debug"],
        ["--other"],
    ),
)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        *((name, "drop") for name in ("required-list", "required-list-of-many", "required-item")),
        *((name, "add") for name in ("required-only", "required-list-pattern", "field-items")),
        *((name, "add") for name in ("forbidden-list", "forbidden-list-pattern")),
        *((name, "args") for name in ("required-args", "required-args-only", "forbidden-args")),
    ],
)
def test_cel_of_lists_finds_what_the_rule_finds(name: str, field: str) -> None:
    """Whether one item decides, or all do; generated pods have few lists of several."""
    rule, seen = RULES[name], set()
    assert isinstance(rule, Rule)
    for items in ([], *LISTS[field == "args"]):
        more = {field: items} if field == "args" else {"securityContext": {"capabilities": {field: items}}}
        pod = {"metadata": {}, "spec": {"containers": [{"name": "app", "image": "a", **more}]}}
        expected = evaluated(rule, pod)
        assert found(rule, pod, CelBuilder(PODS)) == expected, items
        seen.add(bool(expected))
    assert seen == {True, False}


@pytest.mark.parametrize(
    ("name", "spec", "paths"),
    [
        ("service-types", {}, []),
        ("service-types", {"type": "NodePort"}, []),
        ("service-types", {"type": "LoadBalancer"}, ["spec.type"]),
        ("ports", {"ports": [{"port": 80, "targetPort": "web"}]}, []),
        (
            "ports",
            {"ports": [{"name": "a", "port": 81, "targetPort": 8000}]},
            ["spec.ports[a].port", "spec.ports[a].targetPort"],
        ),
        ("ports", {"ports": [{"port": 80, "nodePort": 8000}]}, ["spec.ports[0].nodePort"]),
        ("ports", {"healthCheckNodePort": 81}, ["spec.healthCheckNodePort"]),
    ],
)
def test_cel_of_services_finds_what_the_rule_finds(name: str, spec: dict[str, Any], paths: list[str]) -> None:
    rule = RULES[name]
    assert isinstance(rule, ServiceRule)
    assert sorted(violation.path for violation in rule.evaluate_service(spec)) == sorted(paths)
    assert found(rule, {"kind": "Service", "spec": spec}, CelBuilder(SERVICES)) == sorted(paths)


def test_cel_of_its_own_is_true_where_nothing_is_violated() -> None:
    custom = RULES["custom"]
    for network, texts in ((True, ["spec has the host's network"]), (False, [])):
        obj = {"metadata": {}, "spec": {"hostNetwork": network}}
        assert found(custom, obj, CelBuilder(PODS)) == texts
    with pytest.raises(NotExpressible, match="an exemption names containers"):
        problems(custom, CelBuilder(PODS, exempted))
    with pytest.raises(NotExpressible, match="Python without a CEL form"):
        problems(CustomRule(python=lambda pod: [], reason="r"), CelBuilder(PODS))


class Named:
    """A kind of rule of somebody else, with its CEL."""

    reason = "containers called root"

    def evaluate(self, pod: PodShape) -> list[Violation]:
        return [
            Violation(f"{c.path}.name", c.name, "another", c.name) for c in pod.containers if c.name == "root"
        ]

    def to_cel(self, builder: CelBuilder) -> str:
        return builder.containers(lambda c, where: (f'{c}.name == "root"', f'{where} + ".name is root"'))


class Wrong(Named):
    def to_cel(self, builder: CelBuilder) -> Any:
        return None


@pytest.mark.parametrize("place", POD_PLACES, ids=lambda place: place.name)
def test_another_kind_of_rule_brings_its_cel(place: Place) -> None:
    containers: dict[str, Any] = {name: [{"name": "root"}, {"name": "app"}] for name in place.lists}
    obj: dict[str, Any] = {"metadata": {}, "spec": containers}
    for key in reversed(place.path.split(".")[:-1]):
        obj = {key: obj}
    paths = [f"{place.path}spec.{name}[root].name" for name in sorted(place.lists)]
    assert found(Named(), obj, CelBuilder(place)) == sorted(paths)
    assert found(Named(), obj, CelBuilder(place, lambda name: f'{name} == "root"')) == []
    parts = AllOf("both", (Named(), PRIVILEGED))
    assert found(parts, obj, CelBuilder(place)) == sorted(paths)


class Plain:
    """A kind of rule that has no CEL."""

    reason = "anything"

    def evaluate(self, pod: PodShape) -> list[Violation]:
        return []


def test_a_kind_of_rule_without_cel_says_so() -> None:
    with pytest.raises(NotExpressible, match="Plain has no CEL form"):
        problems(Plain(), CelBuilder(PODS))


def test_cel_that_is_no_text_is_an_error_of_the_rule() -> None:
    with pytest.raises(CheckError, match=r"Wrong\.to_cel returned NoneType"):
        problems(Wrong(), CelBuilder(PODS))
