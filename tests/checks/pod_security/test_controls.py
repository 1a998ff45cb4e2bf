"""podSecurity.standard[…]: pass and fail cases of each control, finding by finding, and version steps."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_kspec.results.result import CheckResult
from pytest_kspec.testing import evaluate
from tests.checks.pod_security.cases import CASES, Case
from tests.rules.pod_security import CHECKS, CONTROLS


def pod(spec: Any, annotations: Any) -> dict[str, Any]:
    metadata = {"name": "web", "namespace": "shop", "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def run(case: Case) -> CheckResult:
    spec = {"podSecurity": {"enforce": case.level, "version": case.version}}
    (result,) = evaluate(CHECKS[case.control], objects=[pod(case.spec, case.annotations)], spec=spec)
    return result


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.control}-{case.level}-{case.version}")
def test_findings(case: Case) -> None:
    result = run(case)

    assert (result.verdict, result.reason) == ("fail" if case.found else "pass", "")
    assert result.id == f"podSecurity.standard[{case.control}]"
    assert [(finding.path, finding.actual) for finding in result.findings] == case.found
    assert {str(finding.resource) for finding in result.findings} <= {"Pod shop/web"}


def test_every_control_has_passing_and_failing_cases() -> None:
    assert {(case.control, bool(case.found)) for case in CASES} == {
        (control, outcome) for control in CONTROLS for outcome in (True, False)
    }


def test_every_version_step_has_cases_on_both_sides() -> None:
    cases = {(case.control, case.version) for case in CASES}
    for name, control in CONTROLS.items():
        for minor in control.revisions.revisions:
            if minor:
                before = minor - 1 < control.revisions.since
                assert (name, f"v1.{minor}") in cases
                assert before or (name, f"v1.{minor - 1}") in cases


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        ("privileged", "unset or false"),
        ("hostPathVolumes", "unset"),
        ("hostPorts", "unset or 0"),
        ("hostProbesAndHostLifecycle", "unset"),
        ("seLinuxOptions", "unset, container_t, container_init_t, container_kvm_t or container_engine_t"),
        ("runAsUser", "not 0, unless spec.hostUsers is false"),
        (
            "runAsNonRoot",
            "true, or unset with such a value in the pod's securityContext, unless spec.hostUsers is false",
        ),
        (
            "seccompProfileRestricted",
            "RuntimeDefault or Localhost, or unset with such a value in the pod's securityContext, "
            "unless spec.os.name is windows",
        ),
        ("capabilitiesRestricted", "a list with ALL, unless spec.os.name is windows"),
        ("procMount", "unset or Default, unless spec.hostUsers is false"),
    ],
)
def test_expected_says_what_is_allowed(control: str, expected: Any) -> None:
    case = next(case for case in reversed(CASES) if case.control == control and case.found)
    (result,) = evaluate(
        CHECKS[control],
        objects=[pod(case.spec | {"hostUsers": None, "os": None}, case.annotations)],
        spec={"podSecurity": {"enforce": case.level, "version": "latest"}},
    )
    assert expected in {finding.expected for finding in result.findings}
