"""What each rule offers for its violations, and that the patch removes them: over all cases of all controls."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_kspec.kube.resources import PodShape
from pytest_kspec.rules.base import Violation
from pytest_kspec.rules.pods.fieldrule import FieldRule
from pytest_kspec.rules.pods.podsecurity import NEWEST_MINOR, pod_security_minor
from pytest_kspec.rules.pods.requiredfield import ForbiddenField, RequiredField
from pytest_kspec.rules.repair.repair import Edit, in_template, repair
from pytest_kspec.rules.repair.strategic import apply
from tests.checks.pod_security.cases import CASES
from tests.effort import examples
from tests.rules.pod_security import CONTROLS, shape, violations
from tests.rules.pods import pods

PERSONAL = {"hostPathVolumes", "volumeTypes"}
"""Controls whose violations a person must repair: what shall be in the volume instead?"""


def patched(pod: PodShape, patch: dict[str, Any]) -> PodShape:
    after = apply({"metadata": {"annotations": pod.annotations}, "spec": pod.spec}, patch)
    return PodShape(after["spec"], after["metadata"].get("annotations", {}))


def windows(pod: PodShape) -> bool:
    return (pod.spec.get("os") or {}).get("name") == "windows"


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if case.found],
    ids=lambda case: f"{case.control}-{case.level}-{case.version}",
)
def test_every_case_is_repaired_or_needs_a_person(case: Any) -> None:
    minor = pod_security_minor(case.version)
    assert minor is not None
    rule = CONTROLS[case.control].rule_for(case.level, min(minor, NEWEST_MINOR))
    assert rule is not None
    pod = PodShape(copy.deepcopy(case.spec), case.annotations)
    before = copy.deepcopy(pod.spec)
    found = list(rule.evaluate(pod))
    for violation in found:
        patch = repair(rule, violation, pod)
        nameless = "[0]" in violation.path and "ports" not in violation.path
        portless = (
            case.spec["containers"][0].get("ports") == [{"hostPort": 1}]
            if "containers" in case.spec
            else False
        )
        if (
            case.control in PERSONAL
            or "ephemeralContainers" in violation.path
            or nameless
            or portless
            or (windows(pod) and "runAsNonRoot" not in violation.path)
        ):
            assert patch is None, violation
            continue
        assert patch, violation
        left = list(rule.evaluate(patched(pod, patch)))
        assert (violation.path, violation.container) not in [(v.path, v.container) for v in left]
        assert {v.path for v in left} < {v.path for v in found}
    assert pod.spec == before


def one(security: Any = None, pod: dict[str, Any] | None = None, image: str = "x", **spec: Any) -> PodShape:
    container = {"name": "app", "image": image} | ({"securityContext": security} if security else {})
    return PodShape({"containers": [container], **({"securityContext": pod} if pod else {}), **spec}, {})


def fixes(rule: Any, pod: PodShape) -> list[Any]:
    return [repair(rule, violation, pod) for violation in rule.evaluate(pod)]


def container(**security: Any) -> dict[str, Any]:
    return {"spec": {"containers": [{"name": "app", "securityContext": security}]}}


def control(name: str, level: str = "restricted") -> Any:
    return CONTROLS[name].rule_for(level, NEWEST_MINOR)


@pytest.mark.parametrize(
    ("name", "pod", "patch"),
    [
        ("privileged", one({"privileged": True}), container(privileged=False)),
        ("hostNamespaces", one(hostPID=True), {"spec": {"hostPID": False}}),
        (
            "hostPorts",
            PodShape({"containers": [{"name": "a", "ports": [{"containerPort": 1, "hostPort": 1}]}]}, {}),
            {"spec": {"containers": [{"name": "a", "ports": [{"containerPort": 1, "hostPort": None}]}]}},
        ),
        (
            "hostPorts",
            PodShape(
                {
                    "hostNetwork": True,
                    "containers": [{"name": "a", "ports": [{"containerPort": 1, "hostPort": 1}]}],
                },
                {},
            ),
            {
                "spec": {
                    "containers": [{"name": "a", "ports": [{"containerPort": 1, "hostPort": None}]}],
                    "hostNetwork": False,
                }
            },
        ),
        (
            "seccompProfileRestricted",
            one({"seccompProfile": {"type": "Unconfined"}}),
            container(seccompProfile={"type": "RuntimeDefault"}),
        ),
        ("seccompProfileRestricted", one(), container(seccompProfile={"type": "RuntimeDefault"})),
        (
            "allowPrivilegeEscalation",
            one({"privileged": True, "capabilities": {"add": ["CAP_SYS_ADMIN", "CHOWN"]}}),
            container(allowPrivilegeEscalation=False, privileged=False, capabilities={"add": ["CHOWN"]}),
        ),
        ("runAsNonRoot", one({"runAsUser": 0}), container(runAsNonRoot=True, runAsUser=None)),
        ("runAsNonRoot", one(pod={"runAsUser": 5}), container(runAsNonRoot=True)),
        (
            "runAsNonRoot",
            one(pod={"runAsUser": 0}),
            {"spec": {"securityContext": {"runAsUser": None}, **container(runAsNonRoot=True)["spec"]}},
        ),
        ("runAsUser", one({"runAsUser": 0}), container(runAsUser=None)),
        ("capabilities", one({"capabilities": {"add": ["NET_RAW"]}}), container(capabilities={"add": None})),
        (
            "capabilitiesRestricted",
            one({"capabilities": {"drop": ["CHOWN"]}}),
            container(capabilities={"drop": ["CHOWN", "ALL"]}),
        ),
        (
            "sysctls",
            one(pod={"sysctls": [{"name": "kernel.msgmax", "value": "1"}, {"name": "a.b", "value": "2"}]}),
            {"spec": {"securityContext": {"sysctls": [{"name": "a.b", "value": "2"}]}}},
        ),
        (
            "hostProcess",
            one({"windowsOptions": {"hostProcess": True}}, {"windowsOptions": {"hostProcess": True}}),
            {
                "spec": {
                    "securityContext": {"windowsOptions": {"hostProcess": False}},
                    **container(windowsOptions={"hostProcess": False})["spec"],
                }
            },
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_patch_is_minimal(name: str, pod: Any, patch: dict[str, Any]) -> None:
    level = "baseline" if name == "capabilities" else "restricted"
    assert fixes(control(name, level), pod)[0] == patch


R, F = RequiredField, ForbiddenField
DROP = "securityContext.capabilities.drop"


@pytest.mark.parametrize(
    ("rule", "pod", "patch"),
    [
        (R("securityContext.readOnlyRootFilesystem"), one(), container(readOnlyRootFilesystem=True)),
        (R(DROP, ["ALL", "CHOWN"]), one({"capabilities": {"drop": ["CHOWN"]}}),
         container(capabilities={"drop": ["CHOWN", "ALL"]})),
        (R("imagePullPolicy", "Always"), one(image="x:1"),
         {"spec": {"containers": [{"name": "app", "imagePullPolicy": "Always"}]}}),
        (R("securityContext.runAsUser", ["1000", 1001]), one(), container(runAsUser=1000)),
        (R("securityContext.privileged", None, False), one({"privileged": True}), container(privileged=None)),
        (R("hostUsers", False), one(), {"spec": {"hostUsers": False}}),
        (R("hostUsers", False), one(hostPID=True), None),
        (R("automountServiceAccountToken", False), one(), {"spec": {"automountServiceAccountToken": False}}),
        (R("resources.limits.memory", None, True), one(), None),
        (R("resources.limits.memory", "1Gi"), one(), None),
        (R("livenessProbe.periodSeconds", 5), one(), None),
        (R("livenessProbe", None, True), one(), None),
        (R("securityContext.seccompProfile.type", "Localhost"), one(), None),
        (R("image", "y"), one(), None),
        (F("hostNetwork"), one(hostNetwork=True), {"spec": {"hostNetwork": False}}),
        (F("hostIPC", True), one(hostIPC=True), {"spec": {"hostIPC": False}}),
        (F("securityContext.allowPrivilegeEscalation"), one(), container(allowPrivilegeEscalation=False)),
        (F("securityContext.capabilities.add", ["SYS_ADMIN"]),
         one({"capabilities": {"add": ["CHOWN", "CAP_SYS_ADMIN"]}}), container(capabilities={"add": ["CHOWN"]})),
        (F("securityContext.seccompProfile.type", "Unconfined"), one({"seccompProfile": {"type": "Unconfined"}}),
         container(seccompProfile=None)),
        (F("securityContext.runAsUser", 0), one({"runAsUser": 0}, {"runAsUser": 0}), None),
        (F("imagePullPolicy", "IfNotPresent"), one(image="x:1"), None),
    ],
    ids=lambda value: value.key if isinstance(value, RequiredField | ForbiddenField) else "",
)  # fmt: skip
def test_fields_of_specifications(rule: Any, pod: Any, patch: dict[str, Any] | None) -> None:
    assert fixes(rule, pod)[0] == patch


def test_a_rule_whose_offer_does_not_hold_gives_no_fix() -> None:
    class Stubborn(FieldRule):
        def allows(self, value: Any) -> bool:
            return False

    rule = Stubborn(field="privileged", over="pod", allowed=(False,), reason="r")
    pod = PodShape({"privileged": True}, {})
    assert repair(rule, Violation("spec.privileged", True, rule.expected), pod) is None


@pytest.mark.parametrize(("word", "given"), [("--token=(redacted)", False), ("--quiet", True)])
def test_a_list_that_is_not_known_as_a_whole_is_not_written_again(word: str, given: bool) -> None:
    """A snapshot has `(redacted)` where the cluster has a credential; a list without merge keys is replaced."""

    class NoDebug:
        def evaluate(self, pod: PodShape) -> list[Any]:
            args = pod.spec["containers"][0]["args"]
            return (
                [Violation("spec.containers[app].args", args, "without --debug", "app")]
                if "--debug" in args
                else []
            )

        def repairs(self, violation: Any, pod: PodShape) -> Iterator[Edit]:
            args = pod.spec["containers"][0]["args"]
            yield Edit(("spec", "containers", 0, "args"), [one for one in args if one != "--debug"])

    pod = PodShape({"containers": [{"name": "app", "args": [word, "--debug"]}]}, {})
    (violation,) = NoDebug().evaluate(pod)
    assert (repair(cast(Any, NoDebug()), violation, pod) is not None) is given


def test_a_rule_without_repairs() -> None:
    class Mine:
        reason = "mine"

        def evaluate(self, pod: PodShape) -> list[Any]:
            return [Violation("spec.x", 1, "2")]

    assert repair(cast(Any, Mine()), Violation("spec.x", 1, "2"), PodShape({"x": 1}, {})) is None


def test_the_patch_of_a_template() -> None:
    assert in_template("", {"spec": {}}) == {"spec": {}}
    assert in_template("spec.template.", {"spec": {}}) == {"spec": {"template": {"spec": {}}}}


@settings(max_examples=examples(300))
@given(pods(), st.sampled_from(["baseline", "restricted"]), st.sampled_from([0, 19, 24, NEWEST_MINOR]))
def test_no_fix_makes_anything_worse(raw: dict[str, Any], level: str, minor: Any) -> None:
    pod = shape(raw)
    before = {(name, v.path) for name, found in violations(pod, level, minor).items() for v in found}
    for name, found in violations(pod, level, minor).items():
        rule = CONTROLS[name].rule_for(level, minor)
        assert rule is not None
        for violation in found:
            patch = repair(rule, violation, pod)
            if patch is not None:
                after = violations(patched(pod, patch), level, minor)
                assert {(n, v.path) for n, bad in after.items() for v in bad} <= before - {
                    (name, violation.path)
                }
