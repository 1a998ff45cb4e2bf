"""Every fix that a check gives, tried on a real API server by dry run: the finding is gone, and nothing new is there.

Each case becomes the template of a Deployment. What the API does not take as a template says nothing about fixes;
which cases these are is written down below.
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
from hypothesis import given

from builtin_checks.network.test_default_deny import test_default_deny as check_default_deny
from builtin_checks.pod_security.test_namespace_labels import test_enforce as check_enforce
from builtin_checks.workloads.test_containers import test_forbidden as check_forbidden
from builtin_checks.workloads.test_containers import test_required as check_required
from pytest_kspec.results.finding import Finding
from pytest_kspec.results.result import CheckResult
from pytest_kspec.rules.repair.strategic import Unsayable, apply
from pytest_kspec.testing import evaluate
from tests.checks.pod_security.cases import CASES
from tests.controlplane.server import STRATEGIC_PATCH, ControlPlane
from tests.effort import with_fixtures
from tests.rules.pod_security import CHECKS
from tests.rules.pods import pods

COUNTED: Counter[str] = Counter()
PODS = 120
LABELS = {"app": "web"}
ALL = {"podSecurity": {"enforce": "restricted", "version": "latest"}}
LISTS = ("initContainers", "containers")


def deployment(spec: dict[str, Any], annotations: dict[str, str]) -> dict[str, Any]:
    """The pod as a template, completed by what the API wants of one."""
    spec = copy.deepcopy(spec)
    spec.pop("ephemeralContainers", None)
    spec.setdefault("containers", [{"name": "other"}])
    if "hostProcess" in repr(spec):
        spec["hostNetwork"] = True
    for name in LISTS:
        for container in spec.get(name, ()):
            container.setdefault("name", "app")
            container.setdefault("image", "example.com/app:1")
            for handler in (
                *(container.get(key) or {} for key in ("livenessProbe", "readinessProbe", "startupProbe")),
                *((container.get("lifecycle") or {}).get(key) or {} for key in ("preStop", "postStart")),
            ):
                for action in ("httpGet", "tcpSocket"):
                    if action in handler:
                        handler[action].setdefault("port", 80)
    for holder in (spec, *(container for name in LISTS for container in spec.get(name, ()))):
        for profile in ("seccompProfile", "appArmorProfile"):
            security = holder.get("securityContext") or {}
            if security.get(profile) == {}:
                security[profile] = {"type": "Unconfined"}
    names = {container["name"] for key in LISTS for container in spec.get(key, ())}
    annotations = {
        key: value
        for key, value in annotations.items()
        if not key.startswith("container.apparmor") or key.partition("/")[2] in names
    }
    template = {"metadata": {"labels": LABELS, "annotations": annotations}, "spec": spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web"},
        "spec": {"replicas": 0, "selector": {"matchLabels": LABELS}, "template": template},
    }


class Live:
    """One Deployment at a time in a namespace."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane = plane
        self.base = f"/apis/apps/v1/namespaces/{namespace}/deployments"

    def make(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """Create it, or put it in the place of the one before; None if the API does not take it."""
        self.plane.request("DELETE", f"{self.base}/web")
        answer = self.plane.request("POST", self.base, body)
        assert answer.status in (201, 422), answer
        return answer.body if answer.status == 201 else None

    def tried(self, patch: dict[str, Any]) -> dict[str, Any]:
        """What the Deployment would become."""
        answer = self.plane.request(
            "PATCH",
            f"{self.base}/web?dryRun=All&fieldValidation=Strict",
            patch,
            content_type=STRATEGIC_PATCH,
        )
        assert answer.status == 200, (patch, answer.body)
        return answer.body


@pytest.fixture
def live(control_plane: ControlPlane, fresh_namespace: str) -> Live:
    return Live(control_plane, fresh_namespace)


def everything(obj: dict[str, Any]) -> dict[tuple[str, str], Finding]:
    """(control, path) → finding, of every control at its strictest."""
    return {
        (result.id, finding.path): finding
        for check in CHECKS.values()
        for result in evaluate(check, objects=[obj], spec=ALL)
        for finding in result.findings
    }


def said(value: Any) -> Any:
    """Without what the API server leaves out: false, and what is empty."""
    if isinstance(value, dict):
        return {key: inner for key, item in value.items() if (inner := said(item)) not in (None, False, {})}
    return [said(item) for item in value] if isinstance(value, list) else value


def prove(live: Live, obj: dict[str, Any], results: list[CheckResult], again: Any) -> int:
    """Apply each fix alone, then all. Returns how many there were."""
    found = [finding for result in results for finding in result.findings]
    paths = {finding.path for finding in found}
    before = everything(obj)
    merged = obj
    for finding in found:
        if finding.fix is None:
            continue
        after = live.tried(finding.fix)
        left = {f.path for result in again(after) for f in result.findings}
        assert left < paths, (finding, left)
        assert finding.path not in left, finding
        worse = everything(after).keys() - before.keys()
        assert not worse, (finding, worse)
        assert said(after["spec"]) == said(apply(obj, finding.fix)["spec"]), finding.fix
        merged = apply(merged, finding.fix)
    COUNTED["fixes"] += (fixed := sum(f.fix is not None for f in found))
    return fixed


def name(case: Any) -> str:
    return f"{case.control}-{case.level}-{case.version}"


PERSONAL = {"podSecurity.standard[hostPathVolumes]", "podSecurity.standard[volumeTypes]"}
FAILING = [case for case in CASES if case.found]


@pytest.mark.parametrize("case", FAILING, ids=name)
def test_every_case_of_every_control(live: Live, case: Any) -> None:
    made = live.make(deployment(case.spec, case.annotations))
    if made is None:
        COUNTED[f"refused {name(case)}"] += 1
        return

    def check(obj: dict[str, Any]) -> list[CheckResult]:
        asked = {"podSecurity": {"enforce": case.level, "version": case.version}}
        return evaluate(CHECKS[case.control], objects=[obj], spec=asked)

    results = check(made)
    count = prove(live, made, results, check)
    windows = (case.spec.get("os") or {}).get("name") == "windows"
    if results[0].findings and results[0].id not in PERSONAL and not windows:
        assert count == len(results[0].findings)
        COUNTED[case.control] += 1


def test_most_cases_said_something() -> None:
    """Runs after those above: without this their verdict could rest on a few."""
    if not COUNTED:
        pytest.skip("the cases were not selected")
    refused = sorted(key.removeprefix("refused ") for key in COUNTED if key.startswith("refused "))
    assert refused == [
        "procMount-baseline-v1.35",  # without hostUsers: false, which makes it no violation
        "procMountRestricted-restricted-v1.0",
        "seccompProfile-baseline-v1.18",  # an annotation that no API server takes
    ]
    fixable = {case.control for case in FAILING} - {"hostPathVolumes", "volumeTypes"}
    assert fixable <= COUNTED.keys()


ENTRIES: list[tuple[Any, dict[str, Any], dict[str, Any]]] = [
    (check_required, {"key": "securityContext.readOnlyRootFilesystem", "value": True}, {}),
    (check_required, {"key": "securityContext.runAsNonRoot", "value": "true"}, {"securityContext": {"runAsUser": 0}}),
    (check_required, {"key": "securityContext.capabilities.drop", "value": ["ALL"]}, {}),
    (check_required, {"key": "securityContext.allowPrivilegeEscalation", "value": False}, {"privileged": True}),
    (check_required, {"key": "securityContext.seccompProfile.type", "value": "RuntimeDefault"}, {}),
    (check_required, {"key": "imagePullPolicy", "value": "Always"}, {}),
    (check_required, {"key": "hostUsers", "value": False}, {}),
    (check_required, {"key": "automountServiceAccountToken", "value": False}, {}),
    (check_required, {"key": "spec.securityContext.fsGroup", "value": 2000}, {}),
    (check_required, {"key": "terminationGracePeriodSeconds", "value": 10}, {}),
    (check_forbidden, {"key": "hostNetwork", "value": True}, {"hostNetwork": True}),
    (check_forbidden, {"key": "hostPID"}, {"hostPID": True}),
    (check_forbidden, {"key": "securityContext.privileged"}, {"privileged": True}),
    (check_forbidden, {"key": "ports.hostPort", "exists": True}, {"ports": [{"containerPort": 1, "hostPort": 2}]}),
    (check_forbidden, {"key": "securityContext.capabilities.add", "value": "SYS_ADMIN"}, {"add": ["SYS_ADMIN"]}),
    (check_forbidden, {"key": "securityContext.allowPrivilegeEscalation"}, {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "entry", "given"), ENTRIES, ids=lambda v: v.get("key", "") if isinstance(v, dict) else ""
)
def test_fields_of_specifications(
    live: Live, check: Any, entry: dict[str, Any], given: dict[str, Any]
) -> None:
    security = {key: given[key] for key in ("privileged",) if key in given}
    if "add" in given:
        security["capabilities"] = {"add": given["add"]}
    container = {"name": "app", "securityContext": security, "ports": given.get("ports", [])}
    pod = {key: value for key, value in given.items() if key in ("hostNetwork", "hostPID", "securityContext")}
    made = live.make(deployment({"containers": [container, {"name": "side"}], **pod}, {}))
    assert made is not None
    part = "required" if check is check_required else "forbidden"

    def again(obj: dict[str, Any]) -> list[CheckResult]:
        return evaluate(check, objects=[obj], spec={"workloads": {"containers": {part: [entry]}}})

    results = again(made)
    assert results[0].findings
    assert prove(live, made, results, again) == len(results[0].findings)


@with_fixtures(PODS)
@given(pods(ephemeral=False))
def test_generated_pods(live: Live, pod: dict[str, Any]) -> None:
    made = live.make(deployment(pod["spec"], pod["metadata"].get("annotations", {})))
    if made is None:
        COUNTED["generated, refused"] += 1
        return
    COUNTED["generated, taken"] += 1
    found = everything(made)
    merged = made
    for key, finding in found.items():
        if finding.fix is None:
            continue
        after = everything(live.tried(finding.fix))
        assert key not in after, finding
        assert after.keys() <= found.keys(), finding
        try:
            merged = apply(merged, finding.fix)
        except Unsayable:
            raise AssertionError(finding.fix) from None
        COUNTED["generated, fixes"] += 1


def test_most_generated_pods_said_something() -> None:
    if not COUNTED["generated, taken"]:
        pytest.skip("the generated pods were not selected")
    assert COUNTED["generated, taken"] > COUNTED["generated, refused"], COUNTED
    assert COUNTED["generated, fixes"] > 200, COUNTED


def test_labels_of_a_namespace(control_plane: ControlPlane, fresh_namespace: str) -> None:
    path = f"/api/v1/namespaces/{fresh_namespace}"
    prefix = "pod-security.kubernetes.io/enforce"
    made = control_plane.request("PATCH", path, {"metadata": {"labels": {f"{prefix}-version": "v1.25"}}}).body
    spec = {"podSecurity": {"enforce": "baseline", "version": "v1.30"}}
    (result,) = evaluate(check_enforce, objects=[made], spec=spec)
    assert len(result.findings) == 2
    for finding in result.findings:
        answer = control_plane.request(
            "PATCH", f"{path}?dryRun=All", finding.fix, content_type=STRATEGIC_PATCH
        )
        (after,) = evaluate(check_enforce, objects=[answer.body], spec=spec)
        assert [f.path for f in after.findings] == [f.path for f in result.findings if f is not finding]


def test_a_default_deny_is_a_new_object(control_plane: ControlPlane, fresh_namespace: str) -> None:
    space = control_plane.request("GET", f"/api/v1/namespaces/{fresh_namespace}").body
    spec = {"network": {"defaultDeny": True}}
    (result,) = evaluate(check_default_deny, objects=[space], spec=spec)
    made = []
    for finding in result.findings:
        path = f"/apis/networking.k8s.io/v1/namespaces/{fresh_namespace}/networkpolicies?dryRun=All"
        answer = control_plane.request("POST", path, finding.fix)
        assert answer.status == 201, answer
        made.append(answer.body)
    (after,) = evaluate(check_default_deny, objects=[space, *made], spec=spec)
    assert [len(result.findings), len(after.findings)] == [2, 0]
    half = {**made[0], "spec": {"podSelector": {"matchLabels": LABELS}, "ingress": []}}
    word = half["metadata"]["name"].removeprefix("default-deny-")
    (taken,) = evaluate(check_default_deny, objects=[space, half], spec=spec)
    assert {f.path: bool(f.fix) for f in taken.findings} == {
        f"networkPolicies.{direction}": direction != word for direction in ("ingress", "egress")
    }
