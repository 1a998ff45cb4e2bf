"""Who changed a field, as a real API server keeps it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pytest_kspec.drift.authors import author
from pytest_kspec.drift.events import Author
from pytest_kspec.drift.report import report_event
from pytest_kspec.kube.objectdiff import ABSENT, FieldChange
from pytest_kspec.operator import driftsaid
from tests.controlplane.server import ControlPlane
from tests.drift.test_looks import EVENT

POD = {
    "metadata": {"labels": {"app": "web"}},
    "spec": {"containers": [{"name": "web", "image": "registry.example/web:1"}]},
}
REPLICAS = FieldChange("spec.replicas", 1, 3)


def sent(plane: ControlPlane, method: str, path: str, body: Any, manager: str) -> dict[str, Any]:
    answer = plane.request(method, f"{path}?fieldManager={manager}", body)
    assert answer.status in (200, 201), answer
    return dict(answer.body)


def test_who_scales_a_workload_changed_it_and_not_who_created_it(
    control_plane: ControlPlane, fresh_namespace: str
) -> None:
    path = f"/apis/apps/v1/namespaces/{fresh_namespace}/deployments"
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": POD}
    body = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}
    made = author(sent(control_plane, "POST", path, body, "creator"), [REPLICAS])
    assert made is not None
    assert made.manager == "creator"
    sent(control_plane, "PATCH", f"{path}/web/scale", {"spec": {"replicas": 3}}, "scaler")
    found = control_plane.request("GET", f"{path}/web").body
    made = author(found, [REPLICAS])
    assert made is not None
    assert made.manager == "scaler"
    image = FieldChange("spec.template.spec.containers[web].image", "a", "b")
    assert (author(found, [image]) or made).manager == "creator"


def test_nobody_is_named_for_a_field_that_is_gone(control_plane: ControlPlane, fresh_namespace: str) -> None:
    path = f"/api/v1/namespaces/{fresh_namespace}/configmaps"
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"a": "1", "b": "2"}}
    sent(control_plane, "POST", path, body, "creator")
    found = sent(control_plane, "PATCH", f"{path}/a", {"data": {"b": None}}, "remover")
    assert author(found, [FieldChange("data.b", "2", ABSENT)]) is None
    assert (author(found, [FieldChange("data.a", "0", "1")]) or Author("", "")).manager == "creator"


def test_a_time_that_the_server_does_not_give_is_not_made_up() -> None:
    event = replace(EVENT, author=Author("kubectl", ""))
    assert driftsaid.who(event) == "changed by kubectl"
    assert str(report_event(event)["message"]).endswith(" Changed by kubectl.")
