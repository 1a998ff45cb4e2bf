"""The quickstart: what the demo shows, to the last verdict, and that the recording gives nothing away."""

import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "examples" / "01-quickstart"
RECORDING = FOLDER / "prod-eu.tar.gz"
MAX_BYTES = 1 << 20

PASS = {
    "admission.required[ValidatingWebhookConfiguration/cert-manager-webhook]",
    "kubernetes.excludedVersions",
    "kubernetes.version",
    "network.requiredPolicies[allow-dns]",
    "observability.metrics",
    "podSecurity.standard[appArmorProfile]",
    "podSecurity.standard[hostProbesAndHostLifecycle]",
    "podSecurity.standard[hostProcess]",
    "podSecurity.standard[procMount]",
    "podSecurity.standard[seLinuxOptions]",
    "podSecurity.standard[seccompProfile]",
    "rbac.minimumRules[core/pods]",
    "workloads.containers.required[resources.requests.cpu]",
    "workloads.containers.required[resources.requests.memory]",
}
# requirement → the objects that do not meet it and are not exempted
FAIL = {
    "admission.required[ValidatingAdmissionPolicy/deny-.*]": {""},
    "kubernetes.kubeletSkew": {"prod-eu-worker-3"},
    "network.allowedServiceTypes": {"legacy/ftp-import"},
    "network.defaultDeny": {"default", "legacy", "web"},
    "network.disallowedPorts": {"legacy/ftp-import"},
    "observability.logging.auditLog": {"kube-system/kube-apiserver-prod-eu-cp-1"},
    "podSecurity.audit": {"default", "legacy"},
    "podSecurity.enforce": {"default", "legacy"},
    "podSecurity.standard[capabilities]": {"legacy/mainframe-bridge"},
    "podSecurity.standard[hostNamespaces]": {"legacy/nightly-report"},
    "podSecurity.standard[hostPathVolumes]": {"legacy/erp"},
    "podSecurity.standard[hostPorts]": {"legacy/ftp-import"},
    "podSecurity.standard[privileged]": {"legacy/erp"},
    "podSecurity.standard[sysctls]": {"legacy/mainframe-bridge"},
    "podSecurity.warn": {"default", "legacy"},
    "rbac.forbiddenRules[*/*]": {"deploy-agent", "on-call-admin", "legacy/importer"},
    "rbac.forbiddenRules[core/pods/exec]": {
        "deploy-agent",
        "on-call-admin",
        "legacy/importer",
        "legacy/team",
        "payments/team",
        "web/team",
    },
    "rbac.forbiddenRules[core/secrets]": {
        "deploy-agent",
        "kube-state-metrics",
        "on-call-admin",
        "legacy/importer",
        "legacy/team",
        "payments/team",
        "web/team",
    },
    "workloads.containers.forbidden[hostPID]": {"monitoring/node-exporter"},
    "workloads.containers.forbidden[securityContext.privileged]": {"legacy/erp"},
    "workloads.containers.required[resources.limits.memory]": {
        "legacy/erp",
        "legacy/ftp-import",
        "legacy/nightly-report",
        "payments/bank-gateway",
        "web/image-resizer",
    },
    "workloads.containers.required[securityContext.readOnlyRootFilesystem]": {
        "legacy/erp",
        "legacy/ftp-import",
        "legacy/mainframe-bridge",
        "legacy/nightly-report",
        "web/image-resizer",
        "web/search",
    },
    "workloads.images.allowedRegistries": {
        "legacy/erp",
        "legacy/ftp-import",
        "monitoring/grafana",
        "web/image-resizer",
        "web/search",
    },
    "workloads.images.blockedRegistries": {
        "legacy/erp",
        "legacy/ftp-import",
        "monitoring/grafana",
        "web/image-resizer",
        "web/search",
    },
    "workloads.images.requireDigests": {
        "legacy/erp",
        "legacy/ftp-import",
        "legacy/nightly-report",
        "monitoring/grafana",
        "payments/bank-gateway",
        "web/image-resizer",
    },
}
EXEMPTIONS = {
    "certificate-secrets": "used",
    "erp-privileged": "expired",
    "ftp-import-files": "unused",
    "system-components": "used",
}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The part of the JSON report about the one cluster."""
    report = tmp_path_factory.mktemp("quickstart") / "scan.json"
    command = [sys.executable, "-m", "pytest_kspec.cli.main", "scan", str(FOLDER / "strict.yaml")]
    done = subprocess.run(
        [*command, "--report", f"json:{report}"],
        cwd=report.parent,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    (found,) = json.loads(report.read_text(encoding="utf-8"))["clusters"]
    assert isinstance(found, dict)
    return found


def test_verdicts_and_findings(cluster: dict[str, Any]) -> None:
    found = {
        check["id"]: {_name(finding) for finding in check["findings"] if finding["exemption"] is None}
        for check in cluster["checks"]
    }
    assert found == FAIL | {check: set() for check in PASS}
    assert {check["id"] for check in cluster["checks"] if check["verdict"] == "fail"} == set(FAIL)
    assert {check["id"] for check in cluster["checks"] if check["verdict"] == "pass"} == PASS


def test_exemptions(cluster: dict[str, Any]) -> None:
    assert {use["name"]: use["state"] for use in cluster["exemptions"]} == EXEMPTIONS | {
        f"podSecurity.exemptions: namespace {name} at level privileged": "used"
        for name in ("kube-node-lease", "kube-public", "kube-system", "monitoring")
    }


def test_the_readme_names_the_numbers() -> None:
    text = " ".join((FOLDER / "README.md").read_text(encoding="utf-8").split())
    assert f"has {len(PASS) + len(FAIL)} requirements" in text
    assert f"{len(PASS)} requirements pass, {len(FAIL)} fail" in text
    items = dict(_lists())
    workloads = sum(len(items[f"{kind}.apps"]) for kind in ("deployments", "statefulsets", "daemonsets"))
    assert f"{len(items['nodes'])} nodes, {len(items['namespaces'])} namespaces, {workloads} Deploy" in text
    assert f"{len(items['pods'])} pods" in text


def test_the_recording_is_of_real_size_and_holds_no_secret() -> None:
    items = dict(_lists())
    assert RECORDING.stat().st_size <= MAX_BYTES
    assert sum(map(len, items.values())) > 400
    assert items["secrets"]
    assert not [item for item in items["secrets"] if {"data", "stringData"} & set(item)]
    assert "bm90IHJlY29yZGVk" not in json.dumps(items)  # the data that tools.example_control wrote


def _lists() -> Iterator[tuple[str, list[dict[str, Any]]]]:
    with tarfile.open(RECORDING) as archive:
        for member in archive.getmembers():
            file = archive.extractfile(member)
            if file is not None and not member.name.endswith("/snapshot.json"):
                yield Path(member.name).name.removesuffix(".json"), json.load(file)["items"]


def _name(finding: dict[str, Any]) -> str:
    resource = finding["resource"]
    return "/".join(part for part in (resource["namespace"], resource["name"]) if part)
