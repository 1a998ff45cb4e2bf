"""The dashboard that each replica of the operator serves, with the rights that config/with-dashboard grants."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import urllib3

from tests.cli.conftest import Kspec
from tests.controlplane.process import free_port
from tests.operator.conftest import DEPLOYED, OperatorProcess, Specs, built, run_kspec, until
from tests.operator.test_live import UNMET, holder
from tests.webhook.installed import token

__all__ = ["run_kspec"]

Start = Callable[..., OperatorProcess]
REPORTS = {"apiGroups": ["kspec.io"], "resources": ["compliancereports"]}
NAMESPACE = "kspec-system"


@pytest.fixture
def rights(specs: Specs) -> Iterator[Any]:
    """What the component adds, and accounts of viewers; all of it is gone after the test."""
    made = []

    def put(obj: dict[str, Any]) -> None:
        made.append(specs.writer.apply(obj, field_manager="test"))

    for one in built("with-dashboard"):
        if one["metadata"]["name"] == "kspec-operator-dashboard":
            put(one)
    yield put
    for one in made:
        metadata = one["metadata"]
        place = metadata.get("namespace", "")
        specs.writer.delete(one["apiVersion"], one["kind"], metadata["name"], namespace=place)


def viewer(put: Any, name: str, rules: list[dict[str, Any]]) -> None:
    rbac = "rbac.authorization.k8s.io"
    head = {"metadata": {"name": name, "namespace": NAMESPACE}}
    put({"apiVersion": "v1", "kind": "ServiceAccount", **head})
    put({"apiVersion": f"{rbac}/v1", "kind": "Role", **head, "rules": rules})
    ref = {"apiGroup": rbac, "kind": "Role", "name": name}
    subjects = [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]
    put({"apiVersion": f"{rbac}/v1", "kind": "RoleBinding", **head, "roleRef": ref, "subjects": subjects})


def test_leader_and_follower_serve_it_to_who_may(specs: Specs, start: Start, rights: Any) -> None:
    since = specs.plane.audit_position()
    viewer(rights, "all-seeing", [{**REPORTS, "verbs": ["list"]}])
    viewer(rights, "blind", [])
    ports = free_port(), free_port()
    specs.put("unmet", UNMET)
    leader, follower = (start(f"--dashboard-bind-address=127.0.0.1:{port}") for port in ports)
    specs.wait("unmet", "False", said=leader.said)
    pool = urllib3.PoolManager(retries=False, timeout=20.0)

    def get(port: int, path: str, name: str = "") -> Any:
        headers = {"Authorization": f"Bearer {token(specs.plane, name)}"} if name else {}
        return pool.request("GET", f"http://127.0.0.1:{port}{path}", headers=headers, redirect=False)

    def shown(port: int) -> set[str]:
        answer = get(port, "/api/v1/results", "all-seeing")
        return {row["spec"] for row in answer.json()["items"]} if answer.status == 200 else set()

    for port in ports:
        until(lambda port=port: "unmet" in shown(port), leader.said)
        page = get(port, "/", "all-seeing")
        assert (page.status, "Fleet" in page.data.decode()) == (200, True)
        assert [get(port, "/api/v1/results", name).status for name in ("", "blind")] == [401, 403]
    assert holder(specs)
    leader.kill()
    assert "unmet" in shown(ports[1])
    follower.send(signal.SIGTERM)
    assert follower.ended() == 0, follower.said()
    seen = specs.plane.requests_seen(since=since, user=DEPLOYED)
    assert [one for one in seen if one.status == 403] == []
    used = {(one.verb, one.resource) for one in seen}
    (role,) = [one for one in built("with-dashboard") if one["metadata"]["name"] == "kspec-operator-dashboard"
               and one["kind"] == "ClusterRole"]  # fmt: skip
    granted = {(verb, name) for rule in role["rules"] for verb in rule["verbs"] for name in rule["resources"]}
    assert granted <= used, "all that it grants is used"


def test_an_address_in_use_is_an_error_and_no_operator_without_it(specs: Specs, run_kspec: Kspec) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ("--health-probe-bind-address=0", "--metrics-bind-address=0", "--leader-elect=false")
        place = (f"--cluster={specs.plane.name}", f"--kubeconfig={specs.plane.kubeconfig()}")
        done = run_kspec("operator", *words, *place, f"--dashboard-bind-address=127.0.0.1:{port}")
    assert done.code == 4
    assert f"--dashboard-bind-address 127.0.0.1:{port}: cannot listen there" in done.err
