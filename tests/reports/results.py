"""Results to report: one cluster with everything that can happen, and a fleet of fifty."""

from __future__ import annotations

import uuid
from typing import Any

from msgspec.structs import replace

from pytest_kspec.kube.reference import CLUSTER, ResourceRef
from pytest_kspec.reports.shared.text import value
from pytest_kspec.results.evidence import ExemptionUse
from pytest_kspec.results.finding import AppliedExemption, Finding
from pytest_kspec.results.frameworks import ControlResult, ControlStatus, FrameworkResult
from pytest_kspec.results.points import TrendPoint
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.results.verdict import Severity, Verdict
from pytest_kspec.spec.notes import NotEvaluated

UID = "6f1b2c1e-7c1d-4d0a-9a53-3d6fd1f8a001"
EVIL = "</script><img src=x onerror=alert(1)>"
ESCAPES = "\x1b[31mred\x1b[0m\x00\u202eevil\ud800"
AGENT = AppliedExemption(
    "node-agent",
    "The log agent reads /var/log of its node (OPS-1423)",
    "j.doe@example.com",
    "2027-03-31T00:00:00+02:00",
)
OPEN_ENDED = AppliedExemption("cni", "The network plugin configures the host's interfaces")


def ref(kind: str, name: str, namespace: str = "shop", api_version: str = "apps/v1") -> ResourceRef:
    return ResourceRef(api_version, kind, namespace, name)


def finding(
    owner: ResourceRef, path: str, actual: Any, expected: str, message: str = "", **more: Any
) -> Finding:
    message = message or f"{path} is {value(actual)}"
    return Finding(more.pop("resource", owner), owner, path, actual, expected, message, **more)


def check(check_id: str, title: str, severity: str, verdict: str, **more: Any) -> CheckResult:
    more.setdefault("nodeid", f"specs/strict.yaml::prod-eu::{check_id}")
    more.setdefault("location", "specs/strict.yaml:12:5")
    more.setdefault("examined", 0 if verdict == "skip" else 214)
    more.setdefault("duration_seconds", 0.0125)
    return CheckResult(check_id, more.pop("nodeid"), title, Severity(severity), Verdict(verdict), **more)


def privileged() -> CheckResult:
    path = "spec.template.spec.containers[{}].securityContext.privileged"
    web, debug = ref("Deployment", "web"), ref("Pod", "debug-7x2kq", "ops", "v1")
    says = "container {}: securityContext.privileged is true"
    return check(
        "podSecurity.standard[privileged]",
        "No container runs privileged",
        "critical",
        "fail",
        controls={"cis-kubernetes-1.10": ["5.2.2"], "nist-800-53": ["AC-6", "CM-7"]},
        remediation="Set securityContext.privileged to false, or exempt the workload with a reason.",
        findings=(
            finding(
                web,
                path.format("app"),
                True,
                "unset or false",
                says.format("app"),
                container="app",
                count=50,
                fix={
                    "spec": {
                        "template": {
                            "spec": {
                                "containers": [{"name": "app", "securityContext": {"privileged": False}}]
                            }
                        }
                    }
                },
            ),
            finding(
                web,
                path.format("init-db"),
                True,
                "unset or false",
                says.format("init-db"),
                container="init-db",
            ),
            finding(
                debug,
                path.format("sh").replace("template.spec.", ""),
                True,
                "unset or false",
                says.format("sh"),
            ),
            finding(
                ref("DaemonSet", "node-agent", "logging"),
                path.format("agent"),
                True,
                "unset or false",
                says.format("agent"),
                container="agent",
                count=12,
                exemption=AGENT,
            ),
            finding(
                ref("DaemonSet", "cni", "kube-system"),
                path.format("cni"),
                True,
                "unset or false",
                says.format("cni"),
                count=12,
                exemption=OPEN_ENDED,
            ),
        ),
    )


def many_findings() -> CheckResult:
    return check(
        "workloads.images.allowedRegistries",
        "Images come from allowed registries only",
        "high",
        "fail",
        remediation="Push the image to one of the allowed registries and change the reference.",
        findings=tuple(
            finding(
                ref("Deployment", f"service-{n:02}", f"team-{n % 3}"),
                "spec.template.spec.containers[app].image",
                f"registry.invalid/acme/service-{n:02}:1.{n}",
                "an image from registry.example.com/**",
                f"container app: image comes from registry.invalid ({n})",
                container="app",
                count=n + 1,
            )
            for n in range(17)
        ),
    )


def nasty() -> CheckResult:
    """Names and values that a cluster would not accept, or that someone wrote to hurt the reader."""
    long = ref("StatefulSet", "a-very-long-name-" + "x" * 200 + "-end", "namespace-" + "n" * 50)
    return check(
        "acme.nasty<&>\"'",
        f"Ünïcode — 日本語の検査 {EVIL}",
        "medium",
        "fail",
        controls={f"acme{EVIL}": [EVIL, "OPS-7"]},
        remediation=f"Do this: {EVIL} & that.\nSecond line.",
        findings=(
            finding(ref(EVIL, EVIL, EVIL), EVIL, EVIL, EVIL, EVIL, container=EVIL),
            finding(
                long, "metadata.labels[" + "k" * 120 + "]", "v" * 400, "a team name", "label is odd " * 30
            ),
            finding(
                ref("Deployment", "日本語" * 20, "東京"), "metadata.name", ESCAPES, "plain text", ESCAPES
            ),
            finding(ref("Pod", "p"), "spec.x", {"b": [1, None], "a": {"z": "true"}}, "nothing"),
            finding(ref("Pod", "p"), "spec.y", "true", "the boolean"),
            finding(ref("Pod", "p"), "spec.z", "", "text"),
            finding(CLUSTER, "", None, "a default deny policy", "namespace shop has no default deny policy"),
        ),
    )


def differing_pod() -> CheckResult:
    return check(
        "podSecurity.standard[runAsNonRoot]",
        "Containers run as a user other than root",
        "medium",
        "fail",
        remediation="Set securityContext.runAsNonRoot to true for the pod or for each container.",
        findings=(
            finding(
                ref("Deployment", "cart"),
                "spec.containers[mesh-proxy].securityContext.runAsNonRoot",
                None,
                "true",
                "container mesh-proxy: securityContext.runAsNonRoot is unset",
                resource=ref("Pod", "cart-6d5f9c7b4-x2x9v", "shop", "v1"),
                container="mesh-proxy",
                count=3,
            ),
        ),
    )


def known() -> CheckResult:
    """All that was found is in the baseline: this does not cause a failure."""
    path = "spec.template.spec.containers[app].resources.requests.cpu"
    patch = {
        "spec": {
            "template": {
                "spec": {"containers": [{"name": "app", "resources": {"requests": {"cpu": "100m"}}}]}
            }
        }
    }
    return check(
        "workloads.containers.required[resources.requests.cpu]",
        "Containers request CPU",
        "low",
        "pass",
        remediation="Set resources.requests.cpu.",
        findings=(
            finding(
                ref("Deployment", "cart"), path, None, "set", container="app", count=3, known=True, fix=patch
            ),
            finding(ref("Deployment", "web"), path, None, "set", container="app", count=50, known=True),
        ),
    )


def checks() -> tuple[CheckResult, ...]:
    return (
        privileged(),
        many_findings(),
        nasty(),
        differing_pod(),
        check(
            "rbac.forbiddenRules[core/secrets]",
            "Nobody but the platform may read Secrets",
            "high",
            "error",
            reason="may not list clusterrolebindings.rbac.authorization.k8s.io: 403 Forbidden",
            remediation="Remove the rule from the role, or the binding from the subject.",
            controls={"cis-kubernetes-1.10": ["5.1.2"]},
        ),
        check(
            "workloads.containers.required[resources.limits.memory]",
            "Containers have a memory limit",
            "low",
            "error",
            reason="Pod shop/broken: spec.containers is a string, which Kubernetes does not allow",
            findings=(
                finding(ref("Job", "import"), "spec.template.spec.containers[0].resources", None, "a limit"),
            ),
        ),
        known(),
        check(
            "podSecurity.standard[hostNamespaces]",
            "Pods share no namespace with their node",
            "critical",
            "pass",
            findings=(
                finding(
                    ref("DaemonSet", "cni", "kube-system"),
                    "spec.template.spec.hostNetwork",
                    True,
                    "unset or false",
                    "hostNetwork is true",
                    count=12,
                    exemption=OPEN_ENDED,
                ),
            ),
        ),
        check("kubernetes.version", "The API server runs a supported version", "high", "pass", examined=1),
        check("network.defaultDeny", "Each namespace denies traffic by default", "high", "pass", examined=9),
        check(
            "workloads.containers.forbidden[hostPort]", "No container takes a port of its node", "low", "pass"
        ),
        check(
            "admission.policies",
            "Kyverno policies are in place",
            "medium",
            "skip",
            reason="manifests hold no admission configuration",
        ),
        check(
            "network.allowedServiceTypes",
            "Only allowed Service types",
            "medium",
            "skip",
            reason="no Services",
        ),
    )


def exemptions() -> tuple[ExemptionUse, ...]:
    where = "specs/exemptions.yaml:{}:3"
    return (
        ExemptionUse(AGENT.name, AGENT.reason, AGENT.approver, AGENT.expires_at, where.format(2), "used", 1),
        ExemptionUse(OPEN_ENDED.name, OPEN_ENDED.reason, "", "", where.format(9), "used", 2),
        ExemptionUse(
            "legacy-shop",
            "Migration until autumn",
            "k.lee",
            "2026-09-30T00:00:00Z",
            where.format(15),
            "expired",
            2,
        ),
        ExemptionUse(
            "ghost", f"Nobody knows {EVIL}", "", "2027-01-01T00:00:00Z", where.format(21), "unused", 0
        ),
    )


def not_evaluated() -> tuple[NotEvaluated, ...]:
    return (
        NotEvaluated(
            "workloads.images.requireSignatures", "signatures are not verified yet", "specs/strict.yaml:41:7"
        ),
        NotEvaluated(
            "compliance.frameworks[0].controls[0].mappings[1].check",
            "control SC-7: 'network.policies': no check has this id. Did you mean 'network.requiredPolicies'?",
            "specs/strict.yaml:60:24",
        ),
    )


def frameworks() -> tuple[FrameworkResult, ...]:
    """Every status, a framework of the user's own, and one of which nothing was evaluated."""
    privileged, host = "podSecurity.standard[privileged]", "podSecurity.standard[hostNamespaces]"
    secrets = "rbac.forbiddenRules[core/secrets]"
    source = "CIS Kubernetes Benchmark v1.10.0 (Center for Internet Security)"
    return (
        FrameworkResult(
            "cis-kubernetes-1.10",
            "CIS Kubernetes Benchmark",
            "1.10.0",
            source,
            "2024-09",
            (
                ControlResult(
                    "1.1.1", "API server manifest: mode 600", ControlStatus.MANUAL, reason="look at the file"
                ),
                ControlResult(
                    "5.1.2",
                    "Restrict access to Secrets",
                    ControlStatus.NOT_EVALUATED,
                    (secrets,),
                    f"{secrets} was not evaluated: may not list clusterrolebindings: 403 Forbidden",
                ),
                ControlResult(
                    "5.2.2", "Privileged containers are not admitted", ControlStatus.NOT_MET, (privileged,)
                ),
                ControlResult(
                    "5.2.3",
                    "The node's process namespace is not shared",
                    ControlStatus.MET,
                    (host,),
                    "met with 1 exempted finding",
                ),
                ControlResult(
                    "5.3.2",
                    "Every namespace has NetworkPolicies",
                    ControlStatus.PARTLY_MET,
                    ("network.defaultDeny",),
                    remaining="whether the network plugin enforces them",
                ),
            ),
        ),
        FrameworkResult(
            "spec/platform-rules-2027",
            f"Platform rules {EVIL}",
            "2027",
            "the specification, specs/strict.yaml:60:7",
            "",
            (
                ControlResult(
                    "PR-1",
                    "Namespaces are closed",
                    ControlStatus.NOT_EVALUATED,
                    (),
                    "the specification does not require network.requiredPolicies",
                ),
            ),
        ),
    )


def cluster(name: str = "prod-eu", **more: Any) -> ClusterResult:
    values: dict[str, Any] = {
        "source": "live",
        "version": "v1.34.1-eks-113cf36",
        "uid": UID if name == "prod-eu" else str(uuid.uuid5(uuid.UUID(UID), ascii(name))),
        "spec_name": "strict",
        "spec_version": "1.2.0",
        "spec_path": "specs/strict.yaml",
        "checks": checks(),
        "exemptions": exemptions(),
        "not_evaluated": not_evaluated(),
        "frameworks": frameworks(),
    }
    return ClusterResult(name, **{**values, **more})


def scan(*clusters: ClusterResult) -> ScanResult:
    return ScanResult("0.1.0", "2026-11-24T06:00:00Z", "2026-11-24T06:00:07Z", clusters)


def one() -> ScanResult:
    return scan(cluster())


def compliant() -> ScanResult:
    good = tuple(c for c in checks() if c.verdict is Verdict.PASS)
    return scan(
        cluster("staging", source="snapshot", checks=good, exemptions=(), not_evaluated=(), frameworks=())
    )


def fleet(clusters: int = 50, requirements: int = 60, findings: int = 6) -> ScanResult:
    """Many clusters: the first few fail much, the others less; `findings` for each failed requirement."""
    areas = (
        "podSecurity.standard",
        "workloads.containers.required",
        "network.requiredPolicies",
        "rbac.forbiddenRules",
    )
    severities = list(Severity)
    regions = ("eu-west-1", "us-east-2", "ap-south-1", "edge")

    def fleet_check(c: int, r: int) -> CheckResult:
        verdict = "error" if (c * 7 + r) % 97 == 0 and c % 5 == 0 else "pass"
        verdict = "fail" if (r * 11 + c % 3) % 61 < (c * c) % 13 // 2 else verdict
        verdict = "skip" if (c + r) % 31 == 0 else verdict
        return check(
            f"{areas[r % 4]}[control-{r:02}]",
            f"Control number {r} holds on every workload",
            severities[(r * 7) % 4].value,
            verdict,
            reason={"error": "may not list pods: 403 Forbidden", "skip": "nothing there to examine"}.get(
                verdict, ""
            ),
            remediation="Change the field in the workload's template and roll it out.",
            findings=tuple(
                finding(
                    ref("Deployment", f"app-{n:03}", f"team-{n % 7}"),
                    "spec.template.spec.containers[app].securityContext",
                    {"runAsUser": 0},
                    "runAsNonRoot: true",
                    "container app: may run as root",
                    container="app",
                    count=n % 5 + 1,
                )
                for n in range(findings if verdict == "fail" else 0)
            ),
        )

    return scan(
        *(
            cluster(
                f"{'prod' if c % 3 else 'staging'}-{regions[c % 4]}-{c:02}",
                checks=tuple(fleet_check(c, r) for r in range(requirements)),
                uid=f"00000000-0000-4000-8000-{c:012}",
                exemptions=exemptions() if c == 1 else (),
                not_evaluated=not_evaluated()[:1],
            )
            for c in range(clusters)
        )
    )


def framed(clusters: int = 6) -> ScanResult:
    """Several clusters whose frameworks differ, with the checks that answer them."""
    made = []
    for number in range(clusters):
        rotated = tuple(
            replace(framework, controls=tuple(
                replace(control, status=frameworks()[0].controls[(index + number) % 5].status)
                for index, control in enumerate(framework.controls)
            ))
            for framework in frameworks()
        )  # fmt: skip
        made.append(cluster(f"cluster-{number}", frameworks=rotated, checks=checks()[: 13 - number]))
    return scan(*made)


def huge() -> ScanResult:
    """More requirements and findings than a page has as markup at once; one requirement has many."""
    result = fleet(20, 40, 40)
    first, *others = result.clusters
    path = "spec.template.spec.containers[app].image"
    many = tuple(
        finding(ref("Deployment", f"service-{n:04}"), path, f"image:{n}", "a digest", container="app")
        for n in range(2_500)
    )
    crowded = check("images.digest", "Images are named by digest", "critical", "fail", findings=many)
    return scan(replace(first, checks=(*first.checks, crowded)), *others)


def trend(*clusters: str, runs: int = 9) -> tuple[TrendPoint, ...]:
    """Points of each; the fifth of the first cluster has no score."""
    return tuple(
        TrendPoint(
            finished_at=f"2026-{3 + run:02}-01T06:00:00Z",
            cluster=name,
            spec="strict",
            spec_version="1.2.0",
            score=None if (run, number) == (4, 0) else round(48.0 + (run * 13 + number * 7) % 40, 1),
            passed=5, failed=3, errors=1, skipped=2, findings=20 - run, exempt=3, known=run,
            run=str(run),
        )
        for number, name in enumerate(clusters)
        for run in range(runs)
    )  # fmt: skip
