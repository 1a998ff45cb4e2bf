"""A webhook that is called for everything that a real API server can ask: nothing of it counts as impossible."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.audit.sink import GATHER_S
from pytest_kspec.enforce.engines import webhook as engine
from tests.controlplane import namespaces
from tests.controlplane.server import APPLY_PATCH, STRATEGIC_PATCH, ControlPlane, Etcd
from tests.webhook.reviewing import container, deployment, forbid, pod
from tests.webhook.running import running, until, write_spec

CORE, APPS = "/api/v1/namespaces/shop", "/apis/apps/v1/namespaces/shop"
BAD = pod(hostNetwork=True)
MARK = {"deletionTimestamp": "2020-01-01T00:00:00Z", "deletionGracePeriodSeconds": 0}
EVERYTHING = {
    "apiGroups": ["*"], "apiVersions": ["*"], "operations": ["*"], "resources": ["*/*"], "scope": "*",
}  # fmt: skip


@pytest.fixture(scope="module")
def plane(etcd: Etcd) -> Iterator[Any]:
    with ControlPlane(etcd, audited=False) as plane:
        namespaces.create(plane, "shop")
        yield plane


@pytest.fixture
def log(plane: Any, tmp_path: Path) -> Iterator[Any]:
    """The audit log of a webhook that is called for everything in the namespace."""

    def recorded() -> list[Any]:
        time.sleep(4 * GATHER_S)  # what was said may not be written yet
        return [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]

    write_spec(tmp_path / "strict.yaml", forbid("hostNetwork"))
    old = {**BAD, "metadata": {"name": "old", "namespace": "shop", "finalizers": ["example.com/held"]}}
    assert plane.request("POST", f"{CORE}/pods", old).status == 201
    arguments = (str(tmp_path / "strict.yaml"), f"--self-signed={tmp_path / 'tls'}", "--cluster=none")
    with running(tmp_path, *arguments) as server:
        called = {
            "name": "all.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "rules": [EVERYTHING],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "shop"}},
            "clientConfig": {
                "url": f"{server.url}/validate",
                "caBundle": base64.b64encode((tmp_path / "tls" / "ca.crt").read_bytes()).decode(),
            },
        }
        path = f"/apis/{engine.API_VERSION}/validatingwebhookconfigurations"
        made = {"apiVersion": engine.API_VERSION, "kind": engine.KIND, "metadata": {"name": "all"}}
        assert plane.request("POST", path, {**made, "webhooks": [called]}).status == 201
        try:
            until(lambda: plane.request("POST", f"{CORE}/pods?dryRun=All", BAD).status == 403)
            yield recorded
        finally:
            plane.request("DELETE", f"{path}/all")


def named(name: str, **fields: Any) -> dict[str, Any]:
    made = pod(**fields)
    return {**made, "metadata": {"name": name, "namespace": "shop"}}


def test_nothing_that_a_real_api_server_sends_is_taken_for_impossible(plane: Any, log: Any) -> None:
    def ask(
        method: Any,
        path: str,
        sent: Any = None,
        status: tuple[int, int, int] = (200, 201, 202),
        **options: Any,
    ) -> Any:
        answer = plane.request(method, path, sent, **options)
        assert answer.status in status, (method, path, answer)
        return answer.body

    generated = ask(
        "POST", f"{CORE}/pods", {**pod(), "metadata": {"generateName": "made-", "labels": {"a": "b"}}}
    )
    assert generated["metadata"]["name"].startswith("made-")
    made = f"{CORE}/pods/{generated['metadata']['name']}"
    ask("PATCH", f"{CORE}/pods/applied?fieldManager=x", named("applied"), content_type=APPLY_PATCH)
    ask("PATCH", made, {"metadata": {"labels": {"c": "d"}}})
    debug = {"spec": {"ephemeralContainers": [container(name="debug")]}}
    ask("PATCH", f"{made}/ephemeralcontainers", debug, content_type=STRATEGIC_PATCH)
    size = {"spec": {"containers": [{"name": "app", "resources": {"requests": {"cpu": "1m"}}}]}}
    sized = named("sized", containers=[container(resources={"requests": {"cpu": "2m"}})])
    ask("POST", f"{CORE}/pods", sized)
    ask("PATCH", f"{CORE}/pods/sized/resize", size, content_type=STRATEGIC_PATCH)
    ask("PATCH", f"{made}/status", {"status": {"phase": "Running"}})
    binding = {
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": "applied"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "nowhere"},
    }  # fmt: skip
    ask("POST", f"{CORE}/pods/applied/binding", binding)
    for subresource in ("exec?command=id&stdout=true", "attach?stdout=true", "portforward", "proxy/x"):
        # There is no kubelet behind it; what matters is that admission, which comes first, lets it pass.
        answer = plane.request("POST", f"{CORE}/pods/applied/{subresource}")
        assert "webhook" not in str(answer.body), answer
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "applied"}}
    ask("POST", f"{CORE}/pods/applied/eviction", eviction)

    ask("POST", f"{APPS}/deployments", deployment(pod()["spec"]))
    ask("PATCH", f"{APPS}/deployments/web/scale", {"spec": {"replicas": 3}})
    ask("PATCH", f"{APPS}/deployments/web/status", {"status": {"observedGeneration": 1}})
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "one"}}
    ask("POST", f"{CORE}/serviceaccounts", account)
    token = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["x"]}}
    ask("POST", f"{CORE}/serviceaccounts/one/token", token)
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "b"}}
    ask("POST", f"{CORE}/configmaps", config)
    ask("PUT", f"{CORE}/configmaps/one", {**config, "data": {"a": "c"}})
    service = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "one"}}
    ask("POST", f"{CORE}/services", {**service, "spec": {"ports": [{"port": 80}]}})
    ask("DELETE", f"{CORE}/services/one")
    ask("DELETE", f"{CORE}/configmaps")
    ask("DELETE", f"{APPS}/deployments/web")
    ask("DELETE", made, {"gracePeriodSeconds": 0})
    assert [entry for entry in log() if entry["failures"]] == []
    assert {entry["resource"]["name"] for entry in log()} == {"web"}, "what the fixture asked with"

    # Deletion of what was there before, with its finalizer.
    ask("DELETE", f"{CORE}/pods/old", {"gracePeriodSeconds": 0})
    ask("PATCH", f"{CORE}/pods/old", {"metadata": {"finalizers": None}})
    assert plane.request("GET", f"{CORE}/pods/old").status == 404


def test_a_mark_for_deletion_gets_nothing_in(plane: Any, log: Any) -> None:
    marked = {**BAD, "metadata": {"name": "marked", "namespace": "shop", **MARK}}
    assert plane.request("POST", f"{CORE}/pods", marked).status == 403
    apply = plane.request("PATCH", f"{CORE}/pods/marked?fieldManager=x", marked, content_type=APPLY_PATCH)
    assert apply.status == 403
    replaced = plane.request("POST", f"{APPS}/deployments", deployment(pod()["spec"]))
    assert replaced.status == 201
    changed = deployment(BAD["spec"])
    changed["metadata"]["deletionTimestamp"] = MARK["deletionTimestamp"]
    refused = plane.request("PUT", f"{APPS}/deployments/web", changed)
    assert (refused.status, refused.body["details"]["causes"][0]["field"]) == (
        422,
        "metadata.deletionTimestamp",
    )
    plane.request("DELETE", f"{APPS}/deployments/web")
