"""A shared control plane is as it was after each module, whatever a test left behind."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .server import ControlPlane, Etcd
from .swept import Swept

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
SECRETS = "/api/v1/namespaces/default/secrets"
GADGETS = {
    "metadata": {"name": "gadgets.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"plural": "gadgets", "kind": "Gadget", "singular": "gadget"},
        "scope": "Cluster",
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": {"type": "object"}},
            }
        ],
    },
}


@pytest.fixture(scope="module")
def plane(etcd: Etcd) -> Iterator[ControlPlane]:
    with ControlPlane(etcd) as made:
        yield made


def test_what_was_left_goes_and_what_was_there_stays(plane: ControlPlane) -> None:
    plane.request("POST", SECRETS, {"metadata": {"name": "before"}})
    swept = Swept(plane)
    plane.request("POST", SECRETS, {"metadata": {"name": "held", "finalizers": ["example.com/nobody"]}})
    plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": "left"}})
    assert swept.left() == {"secrets/default/held", "namespaces/left"}
    swept.sweep()
    assert swept.left() == set()
    names = [one["metadata"]["name"] for one in plane.request("GET", SECRETS).body["items"]]
    assert names == ["before"]
    assert plane.request("GET", "/api/v1/namespaces/left").status == 404


def test_what_lasts_longer_than_a_module_is_kept(plane: ControlPlane) -> None:
    swept = Swept(plane)
    plane.request("POST", SECRETS, {"metadata": {"name": "longer"}})
    swept.keep()
    swept.sweep()
    assert plane.request("GET", f"{SECRETS}/longer").status == 200


def test_a_definition_is_deleted_by_the_api_server(plane: ControlPlane) -> None:
    swept = Swept(plane)
    assert plane.request("POST", CRDS, GADGETS).status == 201
    swept.sweep()
    found = plane.request("GET", f"{CRDS}/gadgets.example.com")
    assert found.status == 404 or "deletionTimestamp" in found.body["metadata"]
