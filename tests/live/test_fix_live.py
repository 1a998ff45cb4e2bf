"""kspec fix --apply on a real cluster: dry run, diff, then the change; and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec import __version__
from pytest_kspec.audit import trail
from pytest_kspec.cli.main import main
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import Refused
from pytest_kspec.fixes.applying import attempt, carry_out
from pytest_kspec.fixes.collect import ObjectFix
from pytest_kspec.kube.reference import ResourceRef
from tests.audit.reading import read_cef
from tests.controlplane.server import ControlPlane

SPEC = """\
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: shop, version: 1.0.0}
spec:
  namespaceScope: {includeNamespaces: [NAMESPACE]}
  network: {defaultDeny: true}
  workloads: {containers: {required: [{key: securityContext.readOnlyRootFilesystem, value: true}]}}
"""
KUBECTL = Path(sys.executable).with_name("kubectl")
POD = {"containers": [{"name": "app", "image": "x"}]}
READ_ONLY = "workloads.containers.required"


@pytest.fixture
def said(
    control_plane: ControlPlane,
    fresh_namespace: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    monkeypatch.setenv(
        "KUBECONFIG", str(control_plane.kubeconfig(path=tmp_path / "kubeconfig", context="live"))
    )
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "spec.yaml").write_text(SPEC.replace("NAMESPACE", fresh_namespace))

    def run(*words: str) -> tuple[int, str, str]:
        code = main(["fix", str(tmp_path / "spec.yaml"), "--cluster", "live", *words])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def web(control_plane: ControlPlane, fresh_namespace: str) -> str:
    """The path of a Deployment."""
    base = f"/apis/apps/v1/namespaces/{fresh_namespace}/deployments"
    labels = {"app": "web"}
    spec = {"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}, "spec": POD}}
    assert control_plane.request("POST", base, {"metadata": {"name": "web"}, "spec": spec}).status == 201
    return f"{base}/web"


def security(plane: ControlPlane, path: str) -> Any:
    return (
        plane.request("GET", path)
        .body["spec"]["template"]["spec"]["containers"][0]
        .get("securityContext", {})
    )


def test_applied_after_a_dry_run(said: Any, control_plane: ControlPlane, web: str) -> None:
    since = control_plane.audit_position()
    code, out, err = said("--only", READ_ONLY, "--apply", "--yes")
    assert code == 0, err
    assert "+          readOnlyRootFilesystem: true" in out
    assert "applied: Deployment " in out
    assert security(control_plane, web) == {"readOnlyRootFilesystem": True}
    patches = [seen.uri for seen in control_plane.requests_seen("patch", "deployments", since=since)]
    assert ["dryRun=All" in uri for uri in patches] == [True, False]
    assert said("--only", READ_ONLY)[:2] == (0, "")


def test_what_was_fixed_is_in_the_audit_log(
    said: Any, fresh_namespace: str, web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert web
    monkeypatch.setenv("KSPEC_AUDIT_LOG", str(tmp_path / "audit.log"))
    monkeypatch.setenv("KSPEC_AUDIT_FORMAT", "cef")
    monkeypatch.setenv("KSPEC_RUN_BY", "jane=doe|x")
    assert said("--only", READ_ONLY, "--apply", "--yes")[0] == 0
    trail.flush()
    scan, line = (tmp_path / "audit.log").read_bytes().splitlines()
    assert read_cef(scan)[0][3] == "compliance_scan"
    head, _, fields = read_cef(line)
    assert head[:4] == ["pytest-kspec", "kspec", __version__, "remediation"]
    assert (fields["act"], fields["outcome"]) == ("fix", "success")
    assert fields["cs1"] == f"Deployment {fresh_namespace}/web"
    assert fields["cs4"] == read_cef(scan)[2]["cs4"] != ""
    assert fields["suser"] == "jane\\=doe|x"
    assert main(["audit", "verify", str(tmp_path / "audit.log")]) == 0


@pytest.mark.parametrize("form", ["strategic", "json"])
def test_kubectl_takes_the_file(
    said: Any, control_plane: ControlPlane, fresh_namespace: str, web: str, tmp_path: Path, form: str
) -> None:
    folder = tmp_path / "out"
    code, _, err = said("--only", READ_ONLY, "--format", form, "-o", str(folder))
    assert code == 0, err
    (file,) = (path for path in folder.iterdir() if path.name != "kustomization.yaml")
    words: list[str | Path] = [KUBECTL, "patch", "deployment", "web", "-n", fresh_namespace, "--type", form]
    done = subprocess.run(
        [*words, "--patch-file", file], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert security(control_plane, web) == {"readOnlyRootFilesystem": True}
    assert said("--only", READ_ONLY)[1] == ""


def test_no_means_no(
    said: Any, control_plane: ControlPlane, web: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Person:
        def isatty(self) -> bool:
            return True

        def readline(self) -> str:
            return "no\n"

    monkeypatch.setattr("sys.stdin", Person())
    code, out, err = said("--only", READ_ONLY, "--apply")
    assert (code, "Apply 1 of these to live? [y/N]" in err) == (0, True)
    assert "applied" not in out
    assert security(control_plane, web) == {}


def test_a_pod_that_runs_is_told(said: Any, control_plane: ControlPlane, fresh_namespace: str) -> None:
    path = f"/api/v1/namespaces/{fresh_namespace}/pods"
    assert control_plane.request("POST", path, {"metadata": {"name": "bare"}, "spec": POD}).status == 201
    code, out, _ = said("--only", READ_ONLY, "--apply", "--yes")
    assert code == 2
    assert f"Pod {fresh_namespace}/bare: a running pod cannot be changed" in out


def test_a_default_deny_is_created(said: Any, control_plane: ControlPlane, fresh_namespace: str) -> None:
    code, _, err = said("--only", "network.defaultDeny", "--apply", "--yes")
    assert code == 0, err
    answer = control_plane.request(
        "GET", f"/apis/networking.k8s.io/v1/namespaces/{fresh_namespace}/networkpolicies"
    )
    assert [item["metadata"]["name"] for item in answer.body["items"]] == [
        "default-deny-egress",
        "default-deny-ingress",
    ]
    assert said("--only", "network.defaultDeny")[1] == ""
    everywhere = control_plane.request("GET", "/apis/networking.k8s.io/v1/networkpolicies").body["items"]
    for item in everywhere:
        names = item["metadata"]
        control_plane.request(
            "DELETE",
            f"/apis/networking.k8s.io/v1/namespaces/{names['namespace']}/networkpolicies/{names['name']}",
        )


def test_another_object_of_the_name_is_left_alone(
    control_plane: ControlPlane, fresh_namespace: str, web: str
) -> None:
    source = LiveSource(control_plane.name, kubeconfig=str(control_plane.kubeconfig()))
    patch = {"spec": {"template": {"spec": {"hostUsers": False}}}}
    ref = ResourceRef("apps/v1", "Deployment", fresh_namespace, "web")
    writer = Writer(source)
    tried = attempt(writer, ObjectFix("live", ref, patch, ("acme.x",)))
    assert "+      hostUsers: false" in tried.text
    body = control_plane.request("GET", web).body
    control_plane.request("DELETE", web)
    spec = {"metadata": {"name": "web"}, "spec": body["spec"]}
    assert control_plane.request("POST", web.removesuffix("/web"), spec).status == 201
    with pytest.raises(Refused, match="uid"):
        carry_out(writer, tried)
    assert "hostUsers" not in control_plane.request("GET", web).body["spec"]["template"]["spec"]
    source.close()
