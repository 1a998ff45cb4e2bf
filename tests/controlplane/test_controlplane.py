"""The referee itself: what the other tests take for granted about it."""

from __future__ import annotations

import os
import signal
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import urllib3
import yaml

from tests.controlplane import build, namespaces, stand_in
from tests.controlplane.fixtures import ControlPlaneFactory
from tests.controlplane.process import ServerFailed
from tests.controlplane.server import ControlPlane

PODS = "/api/v1/namespaces/{}/pods?dryRun=All"
GOOD: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(security: dict[str, Any]) -> dict[str, Any]:
    container = {"name": "main", "image": "registry.example/app:1", "securityContext": security}
    return {"metadata": {"name": "subject"}, "spec": {"containers": [container]}}


def test_version_is_that_of_the_binary(control_plane: ControlPlane) -> None:
    said = subprocess.run(
        [build.binary("kube-apiserver"), "--version"], capture_output=True, text=True, check=True
    ).stdout
    version = control_plane.request("GET", "/version").body["gitVersion"]
    assert said.split()[-1] == version
    if not os.environ.get(build.ASSETS_VARIABLE):
        assert version == build.kubernetes_version() == "v1.37.2"


def test_pod_security_refuses_and_admits(control_plane: ControlPlane, fresh_namespace: str) -> None:
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    control_plane.request("PATCH", f"/api/v1/namespaces/{fresh_namespace}", {"metadata": {"labels": labels}})
    refused = control_plane.request("POST", PODS.format(fresh_namespace), pod({"privileged": True}))
    assert refused.status == 403
    assert "privileged" in refused.body["message"]
    admitted = control_plane.request("POST", PODS.format(fresh_namespace), pod(GOOD))
    assert admitted.status == 201
    assert control_plane.request("GET", PODS.format(fresh_namespace)).body["items"] == []


def test_privileged_pods_are_allowed_where_nothing_forbids_them(
    control_plane: ControlPlane, fresh_namespace: str
) -> None:
    answer = control_plane.request("POST", PODS.format(fresh_namespace), pod({"privileged": True}))
    assert answer.status == 201


def test_two_control_planes_on_one_etcd_are_apart(
    control_plane: ControlPlane, second_control_plane: ControlPlane, fresh_namespace: str
) -> None:
    path = f"/api/v1/namespaces/{fresh_namespace}"
    assert control_plane.etcd is second_control_plane.etcd
    assert control_plane.request("GET", path).status == 200
    assert second_control_plane.request("GET", path).status == 404


def test_subject_access_review(control_plane: ControlPlane, fresh_namespace: str) -> None:
    base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{fresh_namespace}"
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    binding = {
        "metadata": {"name": "readers"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "read"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "jane"}],
    }
    role = {"metadata": {"name": "read"}, "rules": rules}
    assert control_plane.request("POST", f"{base}/roles", role).status == 201
    assert control_plane.request("POST", f"{base}/rolebindings", binding).status == 201

    def allowed(verb: str) -> bool:
        attributes = {"namespace": fresh_namespace, "verb": verb, "resource": "pods"}
        body = {"spec": {"user": "jane", "resourceAttributes": attributes}}
        answer = control_plane.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body)
        found: bool = answer.body["status"]["allowed"]
        return found

    deadline = time.monotonic() + 5
    while not allowed("list") and time.monotonic() < deadline:  # the authorizer learns of roles by a watch
        time.sleep(0.02)
    assert allowed("list")
    assert not allowed("delete")
    listed = control_plane.request("GET", f"/api/v1/namespaces/{fresh_namespace}/pods", impersonate="jane")
    assert listed.status == 200


def test_impersonation_carries_every_group(control_plane: ControlPlane) -> None:
    answer = control_plane.request(
        "POST",
        "/apis/authentication.k8s.io/v1/selfsubjectreviews",
        {},
        impersonate="joe",
        groups=["one", "two"],
    )
    who = answer.body["status"]["userInfo"]
    assert who["username"] == "joe"
    assert {"one", "two"} <= set(who["groups"])


def test_fresh_namespace_goes_with_its_objects(control_plane: ControlPlane) -> None:
    namespaces.create(control_plane, "passing")
    base = "/api/v1/namespaces/passing"
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    assert control_plane.request("POST", f"{base}/pods", pod(GOOD)).status == 201
    made = control_plane.request(
        "POST", f"{base}/persistentvolumeclaims", {"metadata": {"name": "data"}, "spec": claim}
    )
    assert made.status == 201
    namespaces.delete(control_plane, "passing")
    namespaces.delete(control_plane, "passing")
    assert control_plane.request("GET", base).status == 404
    for plural in ("pods", "persistentvolumeclaims"):
        items = control_plane.request("GET", f"/api/v1/{plural}").body["items"]
        assert [item for item in items if item["metadata"]["namespace"] == "passing"] == []


def test_requests_are_counted_on_the_servers_side(control_plane: ControlPlane, fresh_namespace: str) -> None:
    since = control_plane.audit_position()
    for _ in range(3):
        control_plane.request("GET", f"/api/v1/namespaces/{fresh_namespace}/configmaps?limit=1")
    control_plane.request("GET", "/api/v1/secrets", impersonate="joe")
    seen = control_plane.requests_seen("list", "configmaps", since=since)
    assert [(one.namespace, one.status, one.user) for one in seen] == [(fresh_namespace, 200, "admin")] * 3
    assert [one.status for one in control_plane.requests_seen(user="joe", since=since)] == [403]


def test_kubeconfig_works_from_anywhere(control_plane: ControlPlane, tmp_path: Path) -> None:
    path = control_plane.kubeconfig(path=tmp_path / "config", context="prod", namespace="shop")
    document = yaml.safe_load(path.read_text())
    assert document["current-context"] == "prod"
    assert document["contexts"][0]["context"] == {
        "cluster": control_plane.name,
        "user": "admin",
        "namespace": "shop",
    }
    assert path.stat().st_mode & 0o077 == 0
    trusted = ssl.create_default_context(cafile=str(control_plane.ca_path))
    sent = urllib.request.Request(
        document["clusters"][0]["cluster"]["server"] + "/api/v1/namespaces",
        headers={"Authorization": f"Bearer {document['users'][0]['user']['token']}"},
    )
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=trusted)
    )
    with opener.open(sent, timeout=10) as answer:
        assert answer.status == 200


def test_users_flags_and_an_outage(control_plane_factory: ControlPlaneFactory) -> None:
    plane = control_plane_factory(
        users={"jane": ("team-a", "team-b")}, flags=["--anonymous-auth=false"], audited=False
    )
    who = plane.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, user="jane").body
    assert {"team-a", "team-b"} <= set(who["status"]["userInfo"]["groups"])
    with urllib3.PoolManager(ca_certs=str(plane.ca_path), retries=False, timeout=5) as nobody:
        assert nobody.request("GET", f"{plane.url}/version").status == 401
    with pytest.raises(ValueError, match="audited=False"):
        plane.requests_seen()

    namespaces.create(plane, "before")
    url = plane.url
    plane.stop()
    with pytest.raises(urllib3.exceptions.HTTPError):
        plane.request("GET", "/version")
    plane.start()
    assert plane.url == url
    assert plane.request("GET", "/api/v1/namespaces/before").status == 200


def test_a_wrong_flag_shows_the_end_of_the_log(control_plane_factory: ControlPlaneFactory) -> None:
    with pytest.raises(ServerFailed, match=r"(?s)ended with status 1\..*unknown flag: --no-such-flag"):
        control_plane_factory(flags=["--no-such-flag"])


def test_controllers_and_stand_ins_make_a_cluster_that_lives(
    control_plane_factory: ControlPlaneFactory,
) -> None:
    plane = control_plane_factory(controllers=True)
    for node in ("node-a", "node-b"):
        stand_in.add_node(plane, node)
    namespaces.create(plane, "shop")
    container = {"name": "web", "image": "registry.example/web:1"}
    deployment = {
        "metadata": {"name": "web"},
        "spec": {
            "replicas": 3,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [container], "initContainers": [{**container, "name": "prepare"}]},
            },
        },
    }
    base = "/apis/apps/v1/namespaces/shop"
    assert plane.request("POST", f"{base}/deployments", deployment).status == 201

    def available() -> bool:
        status = plane.request("GET", f"{base}/deployments/web").body["status"]
        ready: bool = status.get("availableReplicas") == 3
        return ready

    assert stand_in.settle(plane, ["node-a", "node-b"], available) == 3
    pods = plane.request("GET", "/api/v1/namespaces/shop/pods").body["items"]
    assert {one["spec"]["nodeName"] for one in pods} == {"node-a", "node-b"}
    assert {one["metadata"]["ownerReferences"][0]["kind"] for one in pods} == {"ReplicaSet"}
    assert {one["spec"]["serviceAccountName"] for one in pods} == {"default"}
    namespaces.delete(plane, "shop")


def test_without_go_or_assets_one_line_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(build.ASSETS_VARIABLE, raising=False)
    expected = (
        "No control plane: install Go 1.26+ (then `make controlplane`), "
        "or set KUBEBUILDER_ASSETS to a folder with kube-apiserver and etcd."
    )
    with pytest.raises(build.NoControlPlane) as raised:
        build.binary("kube-apiserver")
    assert str(raised.value) == expected
    assert build.main() == 1
    assert capsys.readouterr().err == expected + "\n"


def test_assets_are_used_and_must_be_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(build.ASSETS_VARIABLE, str(tmp_path))
    etcd = tmp_path / "etcd"
    etcd.touch(mode=0o755)
    assert build.binary("etcd") == etcd
    with pytest.raises(build.NoControlPlane, match=r"no executable kube-apiserver in it\. No control plane"):
        build.binary("kube-apiserver")


def test_another_go_mod_is_another_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = build.cache_folder()
    module = (build.HERE / "go.mod").read_text()
    (tmp_path / "go.mod").write_text(module.replace("v1.37.2", "v1.37.3"))
    (tmp_path / "go.sum").write_text("")
    monkeypatch.setattr(build, "HERE", tmp_path)
    assert build.kubernetes_version() == "v1.37.3"
    assert build.cache_folder() != before


def test_servers_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = (
        "import os, sys, time\n"
        "from tests.controlplane.server import Etcd\n"
        "etcd = Etcd().start()\n"
        "print(etcd._process.pid, etcd.folder, flush=True)\n"
        "time.sleep(60)\n"
    )
    root = Path(build.HERE).parents[1]
    child = subprocess.Popen(
        [sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True, env={**os.environ}
    )
    assert child.stdout is not None
    with child, child.stdout:
        pid, folder = child.stdout.readline().split()
        child.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while (_is_running(int(pid)) or Path(folder).exists()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_running(int(pid))
    assert not Path(folder).exists()


def test_all_that_tests_started_ends_with_them(tmp_path: Path) -> None:
    """Also what their processes started, in sessions of their own."""
    script = (
        "import subprocess, sys, time\n"
        "from tests.controlplane import marked\n"
        "marked.mark_all_that_is_started()\n"
        'inner = \'import subprocess; p = subprocess.Popen(["sleep", "600"], start_new_session=True); '
        "print(p.pid, flush=True); p.wait()'\n"
        "outer = subprocess.Popen([sys.executable, '-c', inner], start_new_session=True)\n"
        "print(outer.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    root = Path(build.HERE).parents[1]
    child = subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    with child, child.stdout:
        pids = [int(child.stdout.readline()) for _ in range(2)]
        assert all(_is_running(pid) for pid in pids)
        child.send_signal(signal.SIGKILL)
    deadline = time.monotonic() + 10
    while any(_is_running(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_is_running(pid) for pid in pids)


def _is_running(pid: int) -> bool:
    """Not by a signal alone: one that ended but was not collected by its new parent still takes signals."""
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True
    ).stdout.strip()
    return bool(state) and not state.startswith("Z")
