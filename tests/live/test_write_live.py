"""Writing against a real API server: what it makes of each verb, and what its refusals become."""

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_kspec.cluster.limits import Limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import AccessDenied, Conflict, NotFound, NotServed, Refused, SourceUnavailable
from tests.controlplane.fixtures import ControlPlaneFactory
from tests.controlplane.server import ControlPlane


def writer_of(plane: ControlPlane, user: str = "admin", **options: Any) -> Writer:
    return Writer(LiveSource(plane.name, kubeconfig=str(plane.kubeconfig(user)), **options))


@pytest.fixture
def writer(control_plane: ControlPlane) -> Iterator[Writer]:
    made = writer_of(control_plane)
    yield made
    made.source.close()


def config_map(namespace: str, name: str = "m", **data: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {"app": name}},
        "data": data,
    }


def test_life_of_an_object(writer: Writer, fresh_namespace: str) -> None:
    assert writer.find("v1", "ConfigMap", "m", namespace=fresh_namespace) is None
    assert writer.apply(config_map(fresh_namespace, a="1"), dry_run=True)["data"] == {"a": "1"}
    assert writer.find("v1", "ConfigMap", "m", namespace=fresh_namespace) is None
    first = writer.apply(config_map(fresh_namespace, a="1", b="1"))
    assert [m["manager"] for m in first["metadata"]["managedFields"]] == ["kspec"]
    again = writer.apply(config_map(fresh_namespace, a="1", b="1"))
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert writer.apply(config_map(fresh_namespace, a="2"))["data"] == {"a": "2"}
    assert writer.apply(writer.get("v1", "ConfigMap", "m", namespace=fresh_namespace))["data"] == {"a": "2"}
    assert writer.delete("v1", "ConfigMap", "m", namespace=fresh_namespace, dry_run=True)
    assert writer.find("v1", "ConfigMap", "m", namespace=fresh_namespace)
    with pytest.raises(Conflict, match="cannot delete ConfigMap"):
        writer.delete("v1", "ConfigMap", "m", namespace=fresh_namespace, uid=str(uuid.uuid4()))
    assert writer.delete("v1", "ConfigMap", "m", namespace=fresh_namespace, uid=first["metadata"]["uid"])
    assert not writer.delete("v1", "ConfigMap", "m", namespace=fresh_namespace)


def test_others_keep_their_fields_unless_forced(writer: Writer, fresh_namespace: str) -> None:
    writer.apply(config_map(fresh_namespace, a="1"), field_manager="helm")
    with pytest.raises(
        Conflict, match=rf"cannot apply ConfigMap {fresh_namespace}/m: conflict: helm owns data\.a\. "
    ) as caught:
        writer.apply(config_map(fresh_namespace, a="2"), force=False)
    assert caught.value.managers == ("helm",)
    assert writer.apply(config_map(fresh_namespace, a="2"))["data"] == {"a": "2"}


def test_create_patch_replace(writer: Writer, fresh_namespace: str) -> None:
    writer.create(config_map(fresh_namespace, a="1"))
    with pytest.raises(Conflict, match="it already exists"):
        writer.create(config_map(fresh_namespace))
    generated = {
        **config_map(fresh_namespace),
        "metadata": {"generateName": "g-", "namespace": fresh_namespace},
    }
    assert writer.create(generated)["metadata"]["name"].startswith("g-")

    def patch(body: Any, **options: Any) -> dict[str, Any]:
        return writer.patch("v1", "ConfigMap", "m", body, namespace=fresh_namespace, **options)

    assert patch({"data": {"b": "2"}})["data"] == {"a": "1", "b": "2"}
    assert patch({"data": {"$patch": "replace", "c": "3"}}, patch_type="strategic")["data"] == {"c": "3"}
    operations = [{"op": "add", "path": "/data/d", "value": "4"}]
    read = patch(operations, patch_type="json")
    assert read["data"] == {"c": "3", "d": "4"}
    assert writer.replace({**read, "data": {"e": "5"}})["data"] == {"e": "5"}
    with pytest.raises(Conflict, match=r"the object has been modified.* Read it again and retry"):
        writer.replace({**read, "data": {}})


def test_lists(writer: Writer, control_plane: ControlPlane, fresh_namespace: str) -> None:
    for name in ("c", "a", "b"):
        writer.apply(config_map(fresh_namespace, name))
    short = writer_of(control_plane, limits=Limits(page_limit=2))
    for reader in (writer, short):
        found = reader.list("v1", "ConfigMap", namespace=fresh_namespace)
        assert [o["metadata"]["name"] for o in found] == ["a", "b", "c"]
        found = reader.list("v1", "ConfigMap", label_selector="app in (a,b)")
        assert [(o["metadata"]["namespace"], o["metadata"]["name"]) for o in found] == [
            (fresh_namespace, "a"),
            (fresh_namespace, "b"),
        ]


def test_status_goes_through_its_endpoint(writer: Writer, fresh_namespace: str) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": fresh_namespace},
        "spec": {"containers": [{"name": "app", "image": "x"}]},
    }
    writer.apply(pod)
    head = {key: pod[key] for key in ("apiVersion", "kind", "metadata")}
    made = writer.apply({**head, "status": {"message": "seen"}}, subresource="status")
    assert made["status"]["message"] == "seen"
    assert "subresource" in made["metadata"]["managedFields"][1]
    assert writer.delete("v1", "Pod", "p", namespace=fresh_namespace, propagation="Foreground")


def test_what_the_server_does_not_want(writer: Writer, fresh_namespace: str) -> None:
    with pytest.raises(Refused, match=r"cannot apply ConfigMap .*field not declared in schema"):
        writer.apply({**config_map(fresh_namespace), "dta": {}})
    with pytest.raises(Refused, match=r'cannot create ConfigMap .*unknown field "dta"'):
        writer.create({**config_map(fresh_namespace), "dta": {}})
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "s", "namespace": fresh_namespace},
        "spec": {"ports": [{"port": 99999}], "type": "Nope"},
    }
    with pytest.raises(Refused, match=r"spec\.ports\[0\]\.port: Invalid value: 99999") as caught:
        writer.create(service)
    assert {field for field, _ in caught.value.causes} >= {"spec.ports[0].port", "spec.type"}
    with pytest.raises(NotFound, match="Create it: kubectl create namespace nowhere"):
        writer.create(config_map("nowhere"))
    with pytest.raises(NotFound, match=f"the ConfigMap {fresh_namespace}/m does not exist"):
        writer.get("v1", "ConfigMap", "m", namespace=fresh_namespace)
    with pytest.raises(NotServed, match=r"the kind Thing in acme\.io/v1 is not served"):
        writer.apply({"apiVersion": "acme.io/v1", "kind": "Thing", "metadata": {"name": "x"}})
    assert writer.served("apps", "Deployment") == "apps/v1"
    assert writer.served("acme.io", "Thing") is None


def test_admission_is_not_missing_rights(
    writer: Writer, control_plane: ControlPlane, fresh_namespace: str
) -> None:
    label = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    writer.patch("v1", "Namespace", fresh_namespace, label)
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": fresh_namespace},
        "spec": {"containers": [{"name": "app", "image": "x"}]},
    }
    with pytest.raises(Refused, match='violates PodSecurity "restricted'):
        writer.apply(pod)


def test_what_a_user_may_not(control_plane_factory: ControlPlaneFactory) -> None:
    plane = control_plane_factory(users={"viewer": ["viewers"]})
    writer = writer_of(plane, "viewer")
    for verb, act in {
        "patch": lambda: writer.apply(config_map("default")),
        "create": lambda: writer.create(config_map("default")),
        "delete": lambda: writer.delete("v1", "ConfigMap", "m", namespace="default"),
        "get": lambda: writer.get("v1", "ConfigMap", "m", namespace="default"),
        "list": lambda: writer.list("v1", "ConfigMap", namespace="default"),
    }.items():
        with pytest.raises(AccessDenied, match=f'User "viewer" cannot {verb} resource "configmaps"'):
            act()
    with pytest.raises(
        AccessDenied,
        match=r"Grant the verbs create and patch on configmaps to this user, in namespace default\.$",
    ):
        writer.apply(config_map("default"))
    plane.stop()
    gone = writer_of(plane, limits=Limits(connect_timeout_s=1, retries=1, backoff_s=0.01))
    with pytest.raises(SourceUnavailable, match="the API server does not answer"):
        gone.apply(config_map("default"))
