"""The live source against a real API server: what is asked of it, and that a replay is the same cluster."""

from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.limits import DEFAULT_LIMITS, Limits
from pytest_kspec.cluster.recording.record import record
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.errors import AccessDenied, NotServed, SourceUnavailable
from tests.cluster.objects import template
from tests.controlplane.fixtures import ControlPlaneFactory
from tests.controlplane.server import ControlPlane


def source(plane: ControlPlane, user: str = "admin", limits: Limits = DEFAULT_LIMITS) -> LiveSource:
    return LiveSource(plane.name, kubeconfig=str(plane.kubeconfig(user)), limits=limits)


def make(plane: ControlPlane, path: str, body: dict[str, object]) -> None:
    assert plane.request("POST", path, body).status == 201


def test_pages_are_followed_and_each_kind_is_listed_once(
    control_plane: ControlPlane, fresh_namespace: str, tmp_path: Path
) -> None:
    for number in range(12):
        make(
            control_plane,
            f"/api/v1/namespaces/{fresh_namespace}/configmaps",
            {"metadata": {"name": f"c{number:02}"}},
        )
    since = control_plane.audit_position()
    for _ in range(2):  # two workers
        inventory = Inventory(source(control_plane, limits=Limits(page_limit=5)), tmp_path)
        for _ in range(3):  # three checks
            found = [c.name for c in inventory.list("ConfigMap") if c.namespace == fresh_namespace]
            assert found == [f"c{number:02}" for number in range(12)]
            inventory.workloads()
    seen = control_plane.requests_seen("list", since=since, user="admin")
    pages = [s for s in seen if s.resource == "configmaps"]
    assert len(pages) == len({s.uri for s in pages}) >= 3
    assert [s.resource for s in seen if s.resource == "pods"] == ["pods"]
    assert {s.user_agent for s in seen} == {"pytest-kspec/0.1.0"}
    assert {s.status for s in seen} == {200}


def told(raw: dict[str, Any]) -> dict[str, Any]:
    """What a snapshot tells of an object: of a ConfigMap the names of its data."""
    return {**raw, "data": sorted(raw["data"])} if raw["kind"] == "ConfigMap" and "data" in raw else raw


def test_a_replay_is_the_same_cluster(
    control_plane: ControlPlane, fresh_namespace: str, tmp_path: Path
) -> None:
    base = f"/api/v1/namespaces/{fresh_namespace}"
    make(control_plane, f"{base}/secrets", {"metadata": {"name": "s"}, "stringData": {"a": "hunter2"}})
    pod = {"containers": [{"name": "app", "image": "x", "env": [{"name": "MODE", "value": "fast"}]}]}
    make(control_plane, f"{base}/pods", {"metadata": {"name": "p"}, "spec": pod})
    labels = {"app": "web"}
    spec = {"selector": {"matchLabels": labels}, **template()}
    spec["template"]["metadata"]["labels"] = labels
    spec["template"]["spec"]["containers"][0]["image"] = "x"
    apps = f"/apis/apps/v1/namespaces/{fresh_namespace}/deployments"
    make(control_plane, apps, {"metadata": {"name": "web"}, "spec": spec})
    live = source(control_plane)
    for name in ("snap", "snap.tar.gz"):
        info = record(live, tmp_path / name)
        replay, now = Inventory(open_source(str(tmp_path / name))), Inventory(source(control_plane))
        assert replay.info._replace(source="live") == now.info
        assert now.info.version.startswith("v1.")
        assert now.info.uid
        assert replay.types() == now.types()
        assert not [error for error in info.errors if "never recorded" not in error.what]
        for file in info.files.values():
            recorded = [told(r.raw) for r in replay.list(file.kind, file.group)]
            assert recorded == [told(r.raw) for r in now.list(file.kind, file.group)], file.kind
        assert [w.ref for w in replay.workloads()] == [w.ref for w in now.workloads()]
        assert "Pod " + fresh_namespace + "/p" in [str(w.ref) for w in now.workloads()]
    for path in (tmp_path / "snap").iterdir():
        assert b"hunter2" not in path.read_bytes()
        assert b"aHVudGVyMg" not in path.read_bytes()
        assert b"managedFields" not in path.read_bytes()


def test_what_a_user_may_not_list_is_an_error_and_the_rest_goes_on(
    control_plane_factory: ControlPlaneFactory, tmp_path: Path
) -> None:
    plane = control_plane_factory(users={"viewer": ["viewers"]})
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]}]
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    make(plane, f"{rbac}/clusterroles", {"metadata": {"name": "viewer"}, "rules": rules})
    binding: dict[str, object] = {
        "metadata": {"name": "viewer"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "viewer"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": "viewers"}],
    }
    make(plane, f"{rbac}/clusterrolebindings", binding)
    live = source(plane, "viewer")
    inventory = Inventory(live)
    assert list(inventory.pods()) == []
    assert inventory.info.uid == ""
    with pytest.raises(
        AccessDenied, match=rf"^{plane.name}: cannot list secrets: forbidden \(secrets is forbidden: User"
    ):
        inventory.list("Secret")
    record(live, tmp_path / "snap")
    replay = Inventory(open_source(str(tmp_path / "snap")))
    assert list(replay.pods()) == []
    with pytest.raises(
        AccessDenied, match=rf"^{plane.name}: cannot list secrets: forbidden \(secrets is forbidden: User"
    ):
        replay.list("Secret")
    stranger = LiveSource("x", kubeconfig=str(plane.kubeconfig("viewer", tmp_path / "k", context="x")))
    (tmp_path / "k").write_text((tmp_path / "k").read_text().replace(plane.tokens["viewer"], "wrong"))
    with pytest.raises(AccessDenied, match="unauthorized"):
        Inventory(stranger).pods()


def test_custom_resources_come_and_go(control_plane_factory: ControlPlaneFactory) -> None:
    plane = control_plane_factory()
    crd = {
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Cluster",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [
                {
                    "name": name,
                    "served": True,
                    "storage": name == "v1",
                    "schema": {
                        "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                    },
                }
                for name in ("v1alpha1", "v1")
            ],
        },
    }
    with pytest.raises(NotServed, match="the kind Thing is not served"):
        Inventory(source(plane)).list("Thing")
    make(plane, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd)
    for _ in range(100):
        inventory = Inventory(source(plane))
        if inventory.serves("Thing", "example.com"):
            break
    assert inventory.find("Thing") == ("example.com", "v1", "Thing", "things", False)
    assert list(inventory.list("Thing")) == []


def test_a_server_that_dies(control_plane_factory: ControlPlaneFactory) -> None:
    plane = control_plane_factory()
    quick = Limits(connect_timeout_s=1, retries=1, backoff_s=0.01)
    inventory = Inventory(source(plane, limits=quick))
    assert inventory.list("Namespace")
    plane.stop()
    with pytest.raises(SourceUnavailable, match=rf"^{plane.name}: the API server does not answer"):
        inventory.list("ClusterRole")
    assert inventory.list("Namespace")
