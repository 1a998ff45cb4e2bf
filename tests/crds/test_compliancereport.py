"""ComplianceReports: what they say, how small they stay, and what becomes of them on a real API server."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from pytest_kspec.crds.models.compliancereport import ComplianceReportSpec, ComplianceReportStatus
from pytest_kspec.crds.objects.compliancereport import build, same
from pytest_kspec.crds.objects.policyreport import APIS
from pytest_kspec.crds.objects.policyreport import build as policy_reports
from pytest_kspec.errors import UsageError
from pytest_kspec.kube.objectnames import label_value, object_name
from pytest_kspec.kube.reference import ResourceRef
from pytest_kspec.publish.sinks import read_publication
from pytest_kspec.reports.writer import ReportFile
from pytest_kspec.results.finding import AppliedExemption, Finding
from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult
from pytest_kspec.results.verdict import Severity, Verdict
from tests.cli.conftest import Kspec
from tests.controlplane import namespaces
from tests.crds.conftest import Cluster

MAX_BYTES = 256 * 1024
KEEP = 30
WHEN = "2026-11-25T12:00:00Z"
NOBODY = AppliedExemption("known", "accepted", "me", "2027-01-01T00:00:00Z")


def finding(number: int, **more: Any) -> Finding:
    pod = ResourceRef("v1", "Pod", f"ns-{number % 7}", f"web-{number}")
    owner = ResourceRef("apps/v1", "Deployment", pod.namespace, "web")
    return Finding(pod, owner, "spec.hostNetwork", True, "unset or false", f"{pod}: hostNetwork", **more)


def check(number: int, findings: int = 0, **more: Any) -> CheckResult:
    verdict = Verdict.FAIL if findings else Verdict.PASS
    made = CheckResult(
        f"workloads.check-{number:04}",
        f"s.yaml::c::{number}",
        "Nothing is wrong",
        Severity.HIGH,
        verdict,
        examined=3,
    )
    found = tuple(finding(n) for n in range(findings))
    return replace(made, findings=found, remediation="Put it right.", **more)


def cluster_result(*checks: CheckResult, **more: Any) -> ClusterResult:
    made = ClusterResult("prod-eu", "live", "v1.37.2", "u-1", "baseline", "1.2.0", "s.yaml", tuple(checks))
    return replace(made, **more)


def size(obj: Any) -> int:
    return len(msgspec.json.encode(obj))


def test_what_it_says() -> None:
    exempted = replace(check(2, 1), verdict=Verdict.PASS, findings=(finding(0, exemption=NOBODY),))
    failed = replace(check(1, 2), controls={"cis": ["5.2.2"]}, location="s.yaml:3:1")
    broken = replace(check(3), verdict=Verdict.ERROR, reason="cannot list pods: forbidden")
    skipped = replace(check(4), verdict=Verdict.SKIP, reason="no pods")
    made = build(cluster_result(check(0), failed, exempted, broken, skipped), WHEN, tool="pytest-kspec 0.1")
    ComplianceReportSpec.model_validate(made["spec"])
    ComplianceReportStatus.model_validate(made["status"])
    assert made["metadata"] == {
        "name": "prod-eu-baseline-20261125-120000",
        "namespace": "kspec-system",
        "labels": {
            "kspec.io/cluster-name": "prod-eu",
            "kspec.io/cluster-spec": "baseline",
            "kspec.io/report-type": "compliance",
        },
    }
    assert made["status"]["phase"] == "Failed"
    spec = made["spec"]
    assert spec["clusterSpecRef"] == {
        "name": "baseline",
        "version": "1.2.0",
    }  # the user's, not the API server's
    assert (spec["clusterName"], spec["clusterUID"], spec["scanTime"]) == ("prod-eu", "u-1", WHEN)
    assert spec["summary"] == {
        "total": 5,
        "passed": 2,
        "failed": 1,
        "errors": 1,
        "skipped": 1,
        "exempt": 1,
        "findings": 2,
        "passRate": 50,
        "score": 50.0,
    }
    assert spec["truncated"] is False
    first, second, third, fourth, fifth = spec["results"]
    assert [r["status"] for r in spec["results"]] == ["Pass", "Fail", "Pass", "Error", "Skip"]
    assert first == {
        "name": "workloads.check-0000",
        "title": "Nothing is wrong",
        "category": "workloads",
        "status": "Pass",
        "severity": "High",
        "message": "3 examined",
        "examined": 3,
        "findingsTotal": 0,
        "exemptTotal": 0,
        "details": {"examined": 3},
    }
    assert (second["message"], second["findingsTotal"]) == ("2 findings", 2)
    assert second["remediation"] == "Put it right."
    assert second["details"] == {
        "examined": 3,
        "location": "s.yaml:3:1",
        "controls": {"cis": ["5.2.2"]},
    }
    assert second["findings"][1] == {
        "resource": {"apiVersion": "v1", "kind": "Pod", "namespace": "ns-1", "name": "web-1"},
        "owner": {"apiVersion": "apps/v1", "kind": "Deployment", "namespace": "ns-1", "name": "web"},
        "count": 1,
        "path": "spec.hostNetwork",
        "actual": True,
        "expected": "unset or false",
        "message": "Pod ns-1/web-1: hostNetwork",
    }
    assert third["message"] == "3 examined, 1 exempt"
    assert third["findings"][0]["exemption"]["approver"] == "me"
    assert (fourth["message"], fifth["message"]) == ("cannot list pods: forbidden", "no pods")


@pytest.mark.parametrize(
    "checks",
    [
        [check(0, 20_000)],
        [check(n, 1_000) for n in range(60)],
        [check(n, 1) for n in range(6_000)],
        [
            replace(check(n), remediation="x" * 9_000, title="y" * 9_000, controls={"f": ["z" * 900] * 9})
            for n in range(99)
        ],
        [replace(check(0, 1), findings=(replace(finding(0), actual={"x": "y" * 300_000}),))],
        [replace(check(0, 1), findings=(replace(finding(0), message="m" * 300_000, path="p" * 999),))],
        [replace(check(0), id="a" * 700)],
    ],
    ids=["one", "many", "checks", "texts", "value", "message", "id"],
)
def test_it_stays_small_and_totals_stay_exact(checks: list[CheckResult]) -> None:
    result = cluster_result(*checks)
    made = build(result, WHEN, full_report="json:scan.json")
    assert size(made) <= MAX_BYTES
    spec = made["spec"]
    assert spec["truncated"] is True
    assert spec["fullReport"] == "json:scan.json"
    assert "scan with" in build(result, WHEN)["spec"]["fullReport"].lower()
    assert spec["summary"]["total"] == len(checks)
    assert spec["summary"]["findings"] == sum(len(c.findings) for c in checks)
    for entry, given in zip(spec["results"], checks, strict=False):
        if len(spec["results"]) == len(checks):
            assert entry["findingsTotal"] == len(given.findings)
    ComplianceReportSpec.model_validate(spec)
    most = max(len(entry.get("findings", ())) for entry in spec["results"])
    assert most <= 256, "more items in one list are refused by an API server"
    if len(checks) < 100 and len(checks[0].findings) > 10:
        assert size(made) > MAX_BYTES * 0.7 or most == 256  # no more is cut than must be


def test_open_findings_are_kept_before_exempted_ones() -> None:
    mixed = (*(finding(n, exemption=NOBODY) for n in range(3_000)), *(finding(n) for n in range(9)))
    (kept,) = build(cluster_result(replace(check(0, 1), findings=mixed)), WHEN)["spec"]["results"]
    assert [("exemption" in entry) for entry in kept["findings"][:10]] == [False] * 9 + [True]
    assert (kept["findingsTotal"], kept["exemptTotal"]) == (9, 3_000)


def test_times_are_no_change_and_defaults_are_none() -> None:
    one = build(cluster_result(check(0, 2)), WHEN)
    later = build(cluster_result(check(0, 2)), "2026-11-26T12:00:00Z", tool="x")
    assert same(one, later)
    stored = copy.deepcopy(one)
    stored["spec"]["results"][0]["findings"][0]["known"] = False  # as an API server fills it in
    assert same(stored, later)
    assert not same(one, build(cluster_result(check(0, 3)), WHEN))
    assert not same({"spec": {"of": "another version"}}, one)


def test_names_of_contexts() -> None:
    arn = "arn:aws:eks:eu-west-1:123:cluster/prod"
    assert label_value("prod_EU.1") == "prod_EU.1"
    assert label_value(arn).startswith("arn-aws-eks-eu-west-1-123-cluster-prod-")
    assert label_value(arn) != label_value(arn.replace("/", ":"))
    assert len(label_value("x" * 300)) == 63
    assert object_name("prod-eu", "base") == "prod-eu-base"
    assert object_name("Prod", "base").startswith("prod-base-")
    assert len(object_name("x" * 300, "y")) == 253


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("cr:Name", "not a valid namespace name"),
        ("cr:", "not a valid namespace name"),
        ("policyreport:x", "are always written to the namespaces of the findings"),
    ],
)
def test_what_cannot_be_meant(text: str, what: str) -> None:
    with pytest.raises(UsageError, match=what):
        read_publication([text])
    with pytest.raises(UsageError, match="given twice"):
        read_publication(["cr", "cr:other"])


def test_what_is_no_cluster_report_is_left() -> None:
    made = read_publication(["json:a", "cr:team", "policyreport"])
    assert [one.entry.name for one in made.sinks] == ["cr", "policyreport"]
    assert [str(file) for file in made.files] == ["json:a"]


# -- on a real API server ----------------------------------------------------------------------------------


def written(cluster: Cluster, namespace: str = "kspec-system") -> list[dict[str, Any]]:
    found = cluster.writer.list("kspec.io/v1alpha1", "ComplianceReport", namespace=namespace)
    return [one for one in found if one["metadata"]["name"] != "prod-eu-production-20261125-120000"]


def scan_result(cluster: Cluster, *checks: CheckResult, at: str = WHEN) -> ScanResult:
    from pytest_kspec.results.evidence import Evidence

    made = cluster_result(*checks, evidence=Evidence(source_ref=cluster.plane.name))
    return ScanResult("0.1.0", at, at, (made,), run_by="https://ci.example.com/1")


@pytest.fixture
def namespace(cluster: Cluster) -> Any:
    namespaces.create(cluster.plane, "reports")
    yield "reports"
    namespaces.delete(cluster.plane, "reports")


def put(
    cluster: Cluster, result: ScanResult, namespace: str, kind: str = "cr"
) -> tuple[list[str], list[str]]:
    named = f"{kind}:{namespace}" if namespace else kind
    ((_, sink),) = read_publication([named], kubeconfig=str(cluster.plane.kubeconfig())).sinks
    published = sink.publish(result, [ReportFile("json", "scan.json")])
    return published.done, published.problems


def test_it_is_written_with_its_status_and_only_if_something_changed(
    cluster: Cluster, namespace: str
) -> None:
    done, problems = put(cluster, scan_result(cluster, check(0, 2)), namespace)
    assert (done, problems) == (
        ["cr report: prod-eu: reports/prod-eu-baseline-20261125-120000 (written)"],
        [],
    )
    (report,) = written(cluster, namespace)
    assert report["status"]["phase"] == "Completed"  # not lost on creation
    assert report["status"]["reportURL"] == "https://ci.example.com/1"
    assert report["metadata"]["managedFields"][0]["manager"] == "kspec"
    version = report["metadata"]["resourceVersion"]
    done, problems = put(cluster, scan_result(cluster, check(0, 2), at="2026-11-26T12:00:00Z"), namespace)
    assert done == ["cr report: prod-eu: reports/prod-eu-baseline-20261125-120000 (unchanged)"]
    assert [one["metadata"]["resourceVersion"] for one in written(cluster, namespace)] == [version]
    put(cluster, scan_result(cluster, check(0, 3), at="2026-11-27T12:00:00Z"), namespace)
    assert len(written(cluster, namespace)) == 2


def test_runs_that_end_in_one_second_keep_a_report_each(cluster: Cluster, namespace: str) -> None:
    for findings in (1, 2, 3):
        put(cluster, scan_result(cluster, check(0, findings)), namespace)
    first = "prod-eu-baseline-20261125-120000"
    found = {
        one["metadata"]["name"]: one["spec"]["results"][0]["findingsTotal"]
        for one in written(cluster, namespace)
    }
    assert found == {first: 1, f"{first}-2": 2, f"{first}-3": 3}
    done, _ = put(cluster, scan_result(cluster, check(0, 3)), namespace)
    assert done == [f"cr report: prod-eu: reports/{first}-3 (unchanged)"]


def test_a_status_that_was_not_written_is_written_later(cluster: Cluster, namespace: str) -> None:
    put(cluster, scan_result(cluster, check(0)), namespace)
    (report,) = written(cluster, namespace)
    path = "/apis/kspec.io/v1alpha1/namespaces/reports/compliancereports/" + report["metadata"]["name"]
    assert cluster.plane.request("PATCH", f"{path}/status", {"status": {"phase": "Pending"}}).status == 200
    put(cluster, scan_result(cluster, check(0), at="2026-11-28T12:00:00Z"), namespace)
    (again,) = written(cluster, namespace)
    assert (again["metadata"]["name"], again["status"]["phase"]) == (report["metadata"]["name"], "Completed")


def test_the_newest_are_kept(cluster: Cluster, namespace: str) -> None:
    other = cluster_result(check(0), spec_name="other", evidence=scan_result(cluster).clusters[0].evidence)
    put(cluster, replace(scan_result(cluster), clusters=(other,)), namespace)
    for number in range(KEEP + 3):
        at = f"2026-12-01T{number // 60:02}:{number % 60:02}:00Z"
        assert put(cluster, scan_result(cluster, check(0, 1 + number % 2), at=at), namespace)[1] == []
    names = sorted(one["metadata"]["name"] for one in written(cluster, namespace))
    assert len(names) == KEEP + 1
    assert names[0] == "prod-eu-baseline-20261201-000300"
    assert names[-1] == "prod-eu-other-20261125-120000"


def test_a_run_of_some_requirements_pushes_out_no_whole_one_and_leaves_policy_reports(
    cluster: Cluster, namespace: str
) -> None:
    from pytest_kspec.crds.objects.reported import read

    def partial(at: str, findings: int) -> ScanResult:
        found = scan_result(cluster, check(0, findings), at=at)
        return replace(found, clusters=(replace(found.clusters[0], not_selected=("a.b", "c.d")),))

    put(cluster, scan_result(cluster, check(0), check(1), check(2)), namespace)
    for number in range(KEEP + 2):
        at = f"2026-12-01T00:{number:02}:00Z"
        assert put(cluster, partial(at, 1 + number % 2), namespace)[1] == []
    found = sorted(written(cluster, namespace), key=lambda one: str(one["metadata"]["name"]))
    assert len(found) == KEEP + 1
    assert found[0]["metadata"]["name"] == "prod-eu-baseline-20261125-120000"
    assert found[0]["spec"]["summary"]["notSelected"] == 0
    (condition,) = found[1]["status"]["conditions"]
    assert (condition["status"], condition["reason"]) == ("False", "SomeNotSelected")
    assert condition["message"] == "The run selected 1 of 3 checks."
    assert read(found[1]).cluster.not_selected == ("a.b", "c.d")
    done, (problem,) = put(cluster, partial(WHEN, 1), "", "policyreport")
    assert done == []
    assert "was not written: the run is partial (1 of 3 requirements, as selected)" in problem


def test_a_cluster_is_its_uid(cluster: Cluster, namespace: str) -> None:
    """One that was renamed goes on with its reports; another one of the same name has reports of its own."""

    def result(uid: str, name: str, day: int) -> ScanResult:
        found = scan_result(cluster, check(0), at=f"2026-12-{day:02}T00:00:00Z")
        return replace(found, clusters=(replace(found.clusters[0], uid=uid, name=name),))

    for day in range(1, KEEP + 1):
        put(cluster, result("u-1", f"prod-{day % 2}", day), namespace)
    assert len(written(cluster, namespace)) == KEEP
    put(cluster, result("u-2", "prod-1", 31), namespace)
    assert len(written(cluster, namespace)) == KEEP + 1
    put(cluster, result("u-1", "prod-new", 31), namespace)
    names = sorted(one["metadata"]["name"] for one in written(cluster, namespace))
    assert len(names) == KEEP + 1
    assert "prod-1-baseline-20261201-000000" not in names  # the oldest of u-1
    assert {"prod-1-baseline-20261231-000000", "prod-new-baseline-20261231-000000"} <= set(names)


def test_a_large_one_is_accepted(cluster: Cluster, namespace: str) -> None:
    done, problems = put(cluster, scan_result(cluster, *(check(n, 400) for n in range(60))), namespace)
    assert problems == []
    assert done[0].endswith("(cut)")
    (report,) = written(cluster, namespace)
    assert report["spec"]["fullReport"] == "json:scan.json (https://ci.example.com/1)"
    assert report["spec"]["summary"]["findings"] == 24_000


def test_many_requirements_are_accepted(cluster: Cluster, namespace: str) -> None:
    done, problems = put(cluster, scan_result(cluster, *(check(n, 1) for n in range(400))), namespace)
    assert (problems, len(done)) == ([], 1)
    (report,) = written(cluster, namespace)
    assert len(report["spec"]["results"]) == 400


def test_what_cannot_be_written_says_why(cluster: Cluster, namespace: str) -> None:
    result = scan_result(cluster, check(0))
    _, (problem,) = put(cluster, result, "nowhere")
    assert problem == (
        "prod-eu: the cr report of baseline was not written: cannot create ComplianceReport "
        "nowhere/prod-eu-baseline-20261125-120000: the namespace nowhere does not exist. "
        "Create it: kubectl create namespace nowhere"
    )
    snapshot = replace(result.clusters[0], source="snapshot", name="old")
    done, (problem,) = put(cluster, replace(result, clusters=(*result.clusters, snapshot)), namespace)
    assert "the source is a snapshot, not a live cluster" in problem
    assert len(done) == 1


def test_missing_definitions_and_rights_lose_no_other_report(
    control_plane_factory: Any,
    run_kspec: Kspec,
    write_spec: Callable[..., Path],
    tmp_path: Path,
) -> None:
    plane = control_plane_factory(users={"reader": ["readers"]})
    role = {
        "metadata": {"name": "r"},
        "rules": [{"apiGroups": ["*"], "resources": ["*"], "verbs": ["get", "list"]}],
    }
    binding = {
        "metadata": {"name": "r"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "readers"}],
    }
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    assert plane.request("POST", f"{rbac}/clusterroles", role).status == 201
    assert plane.request("POST", f"{rbac}/clusterrolebindings", binding).status == 201
    spec = write_spec("kubernetes: {minVersion: 1.29}")

    def scan(user: str, report: str) -> Any:
        given = ("--kubeconfig", plane.kubeconfig(user), "--report", report, "--report", "json:out.json")
        (tmp_path / "out.json").unlink(missing_ok=True)
        said = run_kspec("scan", spec, *given)
        assert (tmp_path / "out.json").exists()
        assert "json report: out.json" in said.out
        return said

    said = scan("admin", "cr")
    assert said.code == 2
    assert "the cr report of shop was not written: the kind ComplianceReport in kspec.io/v1alpha1" in said.err
    assert "kspec crds compliancereport | kubectl apply --server-side -f -" in said.err
    said = scan("admin", "policyreport")
    assert said.code == 2
    assert "neither openreports.io/v1alpha1 nor wgpolicyk8s.io/v1alpha2 is served" in said.err
    from pytest_kspec.crds.schema.definitions import DEFINITIONS

    own = Cluster(plane)
    own.install(DEFINITIONS[3])
    namespaces.create(plane, "kspec-system")
    said = scan("reader", "cr")
    assert said.code == 2
    assert 'User "reader" cannot create resource "compliancereports"' in said.err
    assert "Grant the verb create on compliancereports in API group kspec.io" in said.err
    said = scan("admin", "cr")
    assert (said.code, said.err) == (0, "")
    assert f"cr report: {plane.name}: kspec-system/" in said.out
    own.writer.source.close()


@pytest.mark.parametrize("workers", [(), ("-n", "2", "--dist", "loadscope")])
def test_pytest_writes_it_once(
    cluster: Cluster,
    namespace: str,
    pytester: pytest.Pytester,
    write_spec: Callable[..., Path],
    workers: Any,
) -> None:
    spec = write_spec("kubernetes: {minVersion: 1.29}\n  network: {defaultDeny: true}")
    position = cluster.plane.audit_position()
    done = pytester.runpytest_subprocess(
        f"--kspec-spec={spec}",
        f"--kspec-kubeconfig={cluster.plane.kubeconfig()}",
        f"--kspec-report=cr:{namespace}",
        "-p",
        "no:cacheprovider",
        *workers,
    )
    done.stdout.fnmatch_lines([f"cr report: {cluster.plane.name}: reports/*(written)"])
    (report,) = written(cluster, namespace)
    assert report["spec"]["summary"]["total"] == 3
    assert report["status"]["phase"] == "Completed"
    seen = cluster.plane.requests_seen(since=position, resource="compliancereports")
    assert [one.verb for one in seen if one.verb != "list"] == ["create", "patch"]


ODD = ["\ud800", {"\ud800": 1}, "\ud800" * 5000, 10**400, -(10**400), {"a": [2**64]}, float("nan"), "a\0b"]


@pytest.mark.parametrize("actual", ODD, ids=range(len(ODD)))
def test_an_odd_value_or_text_loses_no_report(actual: Any) -> None:
    """What UTF-8 cannot hold, and numbers that an API server refuses to read."""
    text = str(actual)[:2000]
    odd = replace(finding(1), actual=actual, path=text, message=text, expected=text, container=text)
    result = cluster_result(replace(check(1), findings=(odd,), reason=text, title=text), name=text)
    made = build(result, WHEN, tool=text, full_report=text)
    assert len(made["spec"]["results"][0]["findings"]) == 1
    sent = msgspec.json.decode(msgspec.json.encode(made))
    assert all(abs(number) <= 2**64 for number in numbers(sent))
    for api in APIS:
        reports = policy_reports(result, api)
        assert len(msgspec.json.decode(msgspec.json.encode(reports))) == 2


def numbers(value: Any) -> list[int]:
    if isinstance(value, dict | list):
        return [n for item in (value.values() if isinstance(value, dict) else value) for n in numbers(item)]
    return [value] if isinstance(value, int) else []
