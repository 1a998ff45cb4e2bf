"""A result of a large fleet: 200 clusters, 60 checks each, 50,000 findings; some known, exempted, or with a patch."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.results.evidence import Evidence, ExemptionUse
from pytest_kspec.results.finding import AppliedExemption, Finding
from pytest_kspec.results.frameworks import ControlResult, ControlStatus, FrameworkResult
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.results.verdict import Severity, Verdict

CLUSTERS, CHECKS, FINDINGS = 200, 60, 50_000
_FAILING = 20
_EXEMPTION = AppliedExemption(
    "node-agents", "They read logs of their node (OPS-1423)", "j.doe@example.com", "2027-03-31T23:59:59+00:00"
)
_FIX = {
    "spec": {
        "template": {"spec": {"containers": [{"name": "app", "securityContext": {"privileged": False}}]}}
    }
}


def fleet(clusters: int = CLUSTERS, checks: int = CHECKS, findings: int = FINDINGS) -> ScanResult:
    """The result. Each cluster has as many findings as the others, on a third of its checks; one check is an error."""
    return ScanResult(
        "0.1.0",
        "2026-11-24T06:00:00Z",
        "2026-11-24T06:14:07Z",
        tuple(_cluster(number, checks, findings // clusters) for number in range(clusters)),
        run_by="https://ci.example.com/jobs/1423",
    )


def _cluster(number: int, checks: int, findings: int) -> ClusterResult:
    name = f"prod-{('eu', 'us', 'ap')[number % 3]}-{number:03}"
    results = tuple(_check(name, number, index, findings) for index in range(checks))
    framework = FrameworkResult(
        "cis-kubernetes-1.10", "CIS Kubernetes Benchmark", "1.10.0", controls=_controls(results)
    )
    return ClusterResult(
        name, "live", "v1.37.2", f"00000000-0000-4000-8000-{number:012}", "strict", "2.3.0", "specs/strict.yaml",
        results,
        exemptions=(ExemptionUse(*_EXEMPTION.to_wire().values(), "specs/strict.yaml:80:5", "used", findings // 10),),
        evidence=Evidence(name, "", "", "ab" * 32),
        frameworks=(framework,),
    )  # fmt: skip


def _controls(checks: tuple[CheckResult, ...]) -> tuple[ControlResult, ...]:
    states = {Verdict.PASS: ControlStatus.MET, Verdict.FAIL: ControlStatus.NOT_MET}
    return tuple(
        ControlResult(
            f"5.{n}.1",
            f"Control {n} of the benchmark",
            states.get(c.verdict, ControlStatus.NOT_EVALUATED),
            (c.id,),
        )
        for n, c in enumerate(checks)
    )


def _check(cluster: str, number: int, index: int, findings: int) -> CheckResult:
    requirement = f"workloads.containers.required[control-{index:02}]"
    count = findings // _FAILING if index < _FAILING else 0
    verdict = Verdict.FAIL if count else Verdict.ERROR if index == _FAILING else Verdict.PASS
    return CheckResult(
        requirement,
        f"specs/strict.yaml::{cluster}::{requirement}",
        f"Control number {index} holds on every workload",
        list(Severity)[index % 4],
        verdict,
        controls={"cis-kubernetes-1.10": [f"5.{index}.1"], "nist-800-53": ["AC-6", "CM-7"]},
        remediation="Change the field in the workload's template and roll it out, or exempt it with a reason.",
        reason="may not list pods: 403 Forbidden" if verdict is Verdict.ERROR else "",
        location=f"specs/strict.yaml:{12 + index}:5",
        examined=2_140,
        duration_seconds=0.0125,
        findings=tuple(_findings(number, index, count)),
    )


def _findings(number: int, index: int, count: int) -> Iterator[Finding]:
    for n in range(count):
        namespace = f"team-{n % 7}"
        owner = ResourceRef("apps/v1", "Deployment", namespace, f"service-{number:03}-{n:03}")
        path = f"spec.template.spec.containers[app].securityContext.field{index}"
        yield Finding(
            owner, owner, path, "registry.invalid/acme/service:1.4.2", "an image from registry.example.com/**",
            f"{path} is registry.invalid/acme/service:1.4.2", "app", n % 5 + 1,
            exemption=_EXEMPTION if n % 10 == 9 else None, known=n % 10 == 8, fix=_FIX if n % 2 else None,
        )  # fmt: skip
