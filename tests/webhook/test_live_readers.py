"""Who may read metrics and policies, by a real API server; the webhook has the rights of its manifests only."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.controlplane import namespaces
from tests.controlplane.server import ControlPlane, Etcd
from tests.webhook.installed import SERVICE, SYSTEM, install_rights, token
from tests.webhook.reviewing import forbid
from tests.webhook.running import Running, get, write_spec

ACCOUNTS = f"/api/v1/namespaces/{SYSTEM}/serviceaccounts"


@pytest.fixture(scope="module")
def plane(etcd: Etcd) -> Iterator[Any]:
    with ControlPlane(etcd, audited=False) as plane:
        namespaces.create(plane, SYSTEM)
        install_rights(plane)
        nobody = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "nobody"}}
        assert plane.request("POST", ACCOUNTS, nobody).status == 201
        yield plane


@pytest.fixture(scope="module")
def webhook(plane: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A webhook that has the rights of its manifests, and none of an administrator."""
    folder = tmp_path_factory.mktemp("webhook")
    write_spec(folder / "secret-plans.yaml", forbid("hostNetwork"))
    path = plane.kubeconfig(path=folder / "kubeconfig")
    config = yaml.safe_load(path.read_text())
    for user in config["users"]:
        user["user"] = {"token": token(plane, SERVICE)}
    path.write_text(yaml.safe_dump(config))
    server = Running(
        folder, str(folder / "secret-plans.yaml"), f"--self-signed={folder / 'tls'}", f"--kubeconfig={path}",
        f"--cluster={plane.name}", tokens=True,
    )  # fmt: skip
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


def read(
    webhook: Any, path: str, bearer: str = "", header: str = "Authorization", scheme: str = "Bearer"
) -> Any:
    headers = {header: f"{scheme} {bearer}"} if bearer else {}
    return get(webhook.read_port, path, headers=headers)


def test_on_the_port_of_api_servers_and_probes_there_is_nothing_to_read(webhook: Any) -> None:
    for path in ("/metrics", "/policies", "/"):
        assert get(webhook.port, path) == (404, "there are /validate, /healthz and /readyz\n")
    assert get(webhook.port, "/healthz") == get(webhook.port, "/readyz") == (200, "ok\n")
    assert read(webhook, "/validate/secret-plans") == (404, "there are /metrics and /policies\n")


@pytest.mark.parametrize("path", ["/metrics", "/policies"])
def test_who_may_is_told_and_nobody_else(plane: Any, webhook: Any, path: str) -> None:
    assert read(webhook, path)[0] == 401
    assert read(webhook, path, "garbage")[0] == 401
    assert read(webhook, path, "x" * 20_000)[0] == 401
    reader, nobody = token(plane, "kspec-webhook-reader"), token(plane, "nobody")
    assert read(webhook, path, reader, scheme="Basic")[0] == 401
    assert read(webhook, path, nobody) == (
        403,
        f"the permission to get the nonResourceURL {path} is missing\n",
    )
    for bearer in (reader, token(plane, "kspec-webhook-reader", audience="kspec-webhook"), plane.token):
        for header in ("Authorization", "X-Kspec-Authorization"):
            status, text = read(webhook, path, bearer, header)
            assert (status, "secret-plans" in text or "kspec_webhook" in text) == (200, True)
    other = token(plane, "kspec-webhook-reader", audience="somebody-else")
    assert read(webhook, path, other)[0] == 401
    assert (
        get(webhook.read_port, path, headers={"Authorization": f"Bearer {reader}"}, method="POST")[0] == 405
    )


def test_what_is_served_is_what_status_reads(plane: Any, webhook: Any) -> None:
    status, text = read(webhook, "/policies", token(plane, "kspec-webhook-reader"))
    assert (status, json.loads(text)) == (
        200,
        {"policies": [{"id": "secret-plans", "name": "secret-plans", "mode": "enforce"}]},
    )
