"""A real API server calls the webhook over TLS, through a real ValidatingWebhookConfiguration."""

import base64
import contextlib
import datetime as dt
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cli.main import main
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.serving.authority import CertificateError, Periods
from pytest_kspec.serving.tls import ServerTls
from pytest_kspec.webhook.certificates import Folder, Publisher, Secret, SelfSigned
from pytest_kspec.webhook.server import Options, Webhook
from pytest_kspec.webhook.specs import Specs
from tests.controlplane import namespaces
from tests.controlplane.certificates import Authority
from tests.controlplane.process import free_port
from tests.controlplane.server import STRATEGIC_PATCH, ControlPlane, Etcd
from tests.webhook.reviewing import container, deployment, forbid, pod
from tests.webhook.running import (
    Load,
    configuration,
    get,
    register,
    running,
    unregister,
    until,
    write_spec,
)

RULE = forbid("hostNetwork")
BAD = pod(hostNetwork=True)
PRIVILEGED = {"securityContext": {"privileged": True}}


@pytest.fixture(scope="module")
def plane(etcd: Etcd) -> Iterator[Any]:
    """A cluster of its own: a webhook that denies concerns every test of it."""
    with ControlPlane(etcd, audited=False) as plane:
        for name in ("shop", "kspec-system"):
            namespaces.create(plane, name, {"tier": "front"} if name == "shop" else {})
        yield plane


@pytest.fixture
def access(plane: Any, tmp_path: Path) -> Access:
    return Access(plane.name, str(plane.kubeconfig(path=tmp_path / "kubeconfig")))


@pytest.fixture
def started(plane: Any, tmp_path: Path) -> Iterator[Any]:
    """Start a webhook for specifications {name: (part, mode, failure policy)}, and register them."""
    with contextlib.ExitStack() as stack:
        folder = tmp_path / "specs"
        folder.mkdir()

        def start(specs: Any, *arguments: Any) -> Any:
            for name, (part, mode, fails) in specs.items():
                write_spec(folder / f"{name}.yaml", part, mode, fails)
            kubeconfig = plane.kubeconfig(path=tmp_path / "kubeconfig")
            # Registered first: what is there when the webhook starts gets its bundle at once, not at its next look.
            port = free_port()
            made = {
                name: register(plane, f"https://127.0.0.1:{port}", name, part, mode, fails)
                for name, (part, mode, fails) in specs.items()
            }
            for configured in made.values():
                stack.callback(unregister, plane, configured)
            server = stack.enter_context(
                running(
                    tmp_path,
                    str(folder),
                    "--tls-secret=kspec-system/kspec-webhook-tls",
                    f"--cluster={plane.name}",
                    f"--kubeconfig={kubeconfig}",
                    *arguments,
                    port=port,
                )
            )
            for name, (part, mode, _) in specs.items():
                until(
                    lambda it=made[name]: (
                        "caBundle" in configuration(plane, it)["webhooks"][0]["clientConfig"]
                    )
                )
                settle(plane, name, mode, part)
            return server

        yield start
    namespaces.delete(plane, "shop")
    namespaces.create(plane, "shop", {"tier": "front"})


def create(plane: Any, obj: Any, *, dry_run: bool = False, **headers: Any) -> Any:
    base = "/apis/apps/v1" if obj["kind"] == "Deployment" else "/api/v1"
    query = "?dryRun=All" if dry_run else ""
    path = f"{base}/namespaces/{obj['metadata']['namespace']}/{obj['kind'].lower()}s{query}"
    return plane.request("POST", path, obj)


def settle(plane: Any, name: str, mode: Any, part: Any) -> None:
    """Until the API server has heard of the registration: it learns of it after it answered us."""
    if mode == "enforce" and part == RULE:
        until(lambda: create(plane, BAD, dry_run=True).status == 403, lambda: name)


def test_what_a_specification_forbids_does_not_come_in(plane: Any, started: Any, tmp_path: Path) -> None:
    server = started({"strict": (RULE | {"podSecurity": {"enforce": "baseline"}}, "enforce", "Fail")})
    until(lambda: create(plane, BAD, dry_run=True).status == 403)
    assert create(plane, pod()).status == 201

    refused = create(plane, BAD)
    assert refused.status == 403
    assert 'admission webhook "strict.webhook.kspec.io" denied the request' in refused.body["message"]
    assert "workloads.containers.forbidden[hostNetwork]" in refused.body["message"]
    assert "podSecurity.standard[hostNamespaces]" in refused.body["message"]
    template = create(plane, deployment(BAD["spec"]))
    assert template.status == 403
    assert "spec.template.spec.hostNetwork is true" in template.body["message"]

    path = "/api/v1/namespaces/shop/pods/web"
    debug = {"spec": {"ephemeralContainers": [container(name="debug", **PRIVILEGED)]}}
    added = plane.request("PATCH", f"{path}/ephemeralcontainers", debug, content_type=STRATEGIC_PATCH)
    assert added.status == 403
    assert "spec.ephemeralContainers[debug].securityContext.privileged" in added.body["message"]
    harmless = {"spec": {"ephemeralContainers": [container(name="debug")]}}
    assert (
        plane.request("PATCH", f"{path}/ephemeralcontainers", harmless, content_type=STRATEGIC_PATCH).status
        == 200
    )

    def recorded() -> list[Any]:
        return [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]

    until(lambda: "ephemeralcontainers" in {entry["subresource"] for entry in recorded()})
    assert {entry["action"] for entry in recorded()} == {"denied"}
    events = "/api/v1/namespaces/shop/events"
    found = until(lambda: plane.request("GET", events).body["items"])
    assert {event["reason"] for event in found} == {"PolicyViolation"}
    assert {event["source"]["component"] for event in found} == {"kspec-webhook"}
    status, text = server.read("/metrics")
    assert status == 200
    assert 'kspec_policy_enforcement_actions_total{policy="strict",action="denied"}' in text
    assert "kspec_circuit_breaker_tripped 0" in text
    assert "kspec_audit_records_dropped_total 0" in text
    assert server.stop() == 0
    assert main(["audit", "verify", str(tmp_path / "audit.log")]) == 0


def test_what_was_there_before_the_policy_can_be_labelled_scaled_and_deleted(
    plane: Any, started: Any
) -> None:
    old = BAD | {"metadata": BAD["metadata"] | {"name": "old", "finalizers": ["example.com/held"]}}
    assert create(plane, old).status == 201
    assert create(plane, deployment(BAD["spec"])).status == 201
    started({"strict": (RULE, "enforce", "Fail")})
    path, scaled = "/api/v1/namespaces/shop/pods/old", "/apis/apps/v1/namespaces/shop/deployments/web"
    assert plane.request("PATCH", path, {"metadata": {"labels": {"a": "b"}}}).status == 200
    assert plane.request("PATCH", scaled, {"spec": {"replicas": 3}}).status == 200
    image = {"spec": {"containers": [{"name": "app", "image": "other:1"}]}}
    assert plane.request("PATCH", path, image, content_type=STRATEGIC_PATCH).status == 403
    assert plane.request("DELETE", path, {"gracePeriodSeconds": 0}).status == 200
    assert plane.request("PATCH", path, {"metadata": {"finalizers": None}}).status == 200
    assert plane.request("GET", path).status == 404


def test_dry_runs_get_the_same_answer_and_leave_no_event(plane: Any, started: Any) -> None:
    started({"strict": (RULE, "enforce", "Fail")})
    assert create(plane, BAD, dry_run=True).status == 403
    other = BAD | {"metadata": BAD["metadata"] | {"name": "real"}}
    assert create(plane, other).status == 403
    events = "/api/v1/namespaces/shop/events"
    until(lambda: plane.request("GET", events).body["items"])
    names = {event["involvedObject"]["name"] for event in plane.request("GET", events).body["items"]}
    assert names == {"real"}


def test_one_that_audits_warns_and_hides_nothing_of_one_that_enforces(plane: Any, started: Any) -> None:
    started(
        {
            "a-audit": (forbid("hostPID"), "audit", "Fail"),
            "b-enforce": (RULE, "enforce", "Fail"),
            "c-enforce": (forbid("hostIPC"), "enforce", "Ignore"),
        }
    )
    first = configuration(plane, "kspec-a-audit-webhook")["webhooks"][0]
    assert first["failurePolicy"] == "Ignore", "what only audits never holds anything up"

    def warnings(obj: Any) -> tuple[Any, Any]:
        answer = plane._pool.request(
            "POST",
            f"{plane.url}/api/v1/namespaces/shop/pods?dryRun=All",
            body=json.dumps(obj),
            headers={"Authorization": f"Bearer {plane.token}", "Content-Type": "application/json"},
        )
        return answer.status, answer.headers.get("Warning", "")

    status, text = until(lambda: found if (found := warnings(pod(hostPID=True)))[1] else None)
    assert status == 201
    assert "kspec: a-audit: spec.hostPID is true" in text
    refused = create(plane, pod(hostPID=True, hostNetwork=True, hostIPC=True))
    assert refused.status == 403
    for named in ("b-enforce", "c-enforce", "spec.hostNetwork", "spec.hostIPC"):
        assert named in refused.body["message"]


def test_namespaces_are_selected_by_their_labels_and_the_system_is_left_out(plane: Any, started: Any) -> None:
    scope = {"namespaceScope": {"namespaceSelector": {"matchLabels": {"tier": "front"}}}}
    started({"strict": (RULE | scope, "enforce", "Fail")})
    until(lambda: create(plane, BAD, dry_run=True).status == 403)
    for elsewhere in ("default", "kube-system"):
        assert (
            create(plane, BAD | {"metadata": {"name": "a", "namespace": elsewhere}}, dry_run=True).status
            == 201
        )


def test_a_changed_specification_is_in_force_without_a_restart_and_a_wrong_one_never(
    plane: Any, started: Any, tmp_path: Path
) -> None:
    server = started({"strict": (RULE, "enforce", "Fail")})
    path = tmp_path / "specs" / "strict.yaml"
    path.write_text("kind: ClusterSpecification\napiVersion: kspec.dev/v1\nnonsense: 1\n")
    until(lambda: "nonsense" in server.log.read_text(), server.log.read_text)
    assert create(plane, BAD, dry_run=True).status == 403
    assert get(server.port, "/readyz")[0] == 200
    write_spec(path, forbid("hostPID"))
    until(lambda: create(plane, BAD, dry_run=True).status == 201, server.log.read_text)
    assert create(plane, pod(hostPID=True), dry_run=True).status == 403


def test_certificates_rotate_under_load_without_one_failed_review(
    plane: Any, access: Access, tmp_path: Path
) -> None:
    """Lifetimes of seconds: authorities and certificates change several times within the load."""
    write_spec(tmp_path / "strict.yaml", RULE)
    seconds = dt.timedelta(seconds=1)
    periods = Periods(12 * seconds, 6 * seconds, 24 * seconds, 2 * seconds)
    keeper = SelfSigned(Folder(tmp_path / "tls"), ["127.0.0.1"], Publisher(access), periods=periods)
    specs = Specs([str(tmp_path / "strict.yaml")], plane.name)
    options = Options(
        specs, keeper, host="127.0.0.1", port=free_port(), drain_s=0.0, certificate_s=0.2, access=access
    )
    server = Webhook(options)
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: not list(server.not_ready))
    name = register(plane, f"https://127.0.0.1:{options.port}", "strict", RULE)
    try:
        until(lambda: create(plane, BAD, dry_run=True).status == 403)
        bundles, served = set(), set()
        with Load(plane, "shop", pod()) as load:
            end = time.monotonic() + 25
            while time.monotonic() < end:
                bundles.add(configuration(plane, name)["webhooks"][0]["clientConfig"]["caBundle"])
                served.add(server.tls.expires)
                time.sleep(0.1)
        failed = [answer for answer in load.answers if answer[1] != 201]
        assert failed == []
        assert len(load.answers) > 100
        counts = {base64.b64decode(bundle).count(b"BEGIN") for bundle in bundles}
        assert counts >= {1, 2}, "authorities overlapped"
        assert len(bundles) >= 5
        assert len(served) >= 3
        assert create(plane, BAD, dry_run=True).status == 403
        assert get(options.port, "/readyz")[0] == 200
    finally:
        unregister(plane, name)
        server.stop()
        thread.join(20)
    assert not thread.is_alive()


@pytest.mark.parametrize("fails", ["Ignore", "Fail"])
def test_a_server_killed_under_load_is_what_the_failure_policy_says(
    plane: Any, started: Any, fails: str
) -> None:
    server = started({"strict": (RULE, "enforce", fails)})
    with Load(plane, "shop", BAD) as load:
        until(lambda: len(load.answers) > 20)
        server.kill()
        killed = time.monotonic()
        until(lambda: len(load.since(killed)) > 20)
        server.start()
        server.wait_ready()
        back = time.monotonic() + 1.0
        until(lambda: len(load.since(back)) > 20)
    before = [answer for answer in load.answers if answer[0] < killed - 6]
    assert all(status == 403 for _, status, _ in before)
    away = load.since(killed)[:20]
    if fails == "Ignore":
        assert {status for status, _ in away} == {201}
    else:
        assert 201 not in {status for status, _ in away}
        assert all("failed calling webhook" in text for _, text in away)
    assert {status for status, _ in load.since(back)} == {403}
    assert all("denied by strict" in text for _, text in load.since(back))


def test_replicas_share_one_certificate_through_the_secret(plane: Any, access: Access) -> None:
    one, two = ServerTls(), ServerTls()
    keepers = [
        SelfSigned(Secret(access, "kspec-system", "shared"), ["a.svc"], lambda _: None) for _ in range(2)
    ]
    threads = [
        threading.Thread(target=lambda k=k, t=t: (k.tick(t), k.tick(t)))
        for k, t in zip(keepers, (one, two), strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for keeper, tls in zip(keepers, (one, two), strict=True):
        keeper.tick(tls)
    assert one._served == two._served
    assert one.ready
    secret = plane.request("GET", "/api/v1/namespaces/kspec-system/secrets/shared").body
    assert set(secret["data"]) == {"ca.crt", "ca.key", "tls.crt", "tls.key"}
    assert secret["type"] == "kubernetes.io/tls"


CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@contextlib.contextmanager
def served(plane: Any, group: Any, version: Any, kind: str, scope: Any) -> Iterator[str]:
    """A kind that takes anything, as long as this lasts."""
    plural = f"{kind.lower()}s"
    anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    crd = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": scope,
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {"name": version, "served": True, "storage": True, "schema": {"openAPIV3Schema": anything}}
            ],
        },
    }
    assert plane.request("POST", CRDS, crd).status == 201
    try:
        until(lambda: plane.request("GET", f"/apis/{group}/{version}/{plural}").status == 200)
        yield f"/apis/{group}/{version}/{plural}"
    finally:
        plane.request("DELETE", f"{CRDS}/{plural}.{group}")


def test_specifications_of_the_cluster_are_in_force_as_soon_as_they_are_there(
    plane: Any, started: Any
) -> None:
    part = {"enforcement": {"enabled": True, "mode": "enforce"}, **RULE}
    with served(plane, "kspec.io", "v1alpha1", "ClusterSpecification", "Cluster") as path:
        resource = {
            "apiVersion": "kspec.io/v1alpha1",
            "kind": "ClusterSpecification",
            "metadata": {"name": "from-cluster"},
            "spec": part,
        }
        server = started({"file": (forbid("hostPID"), "enforce", "Ignore")}, "--from-cluster")
        assert plane.request("POST", path, resource).status == 201
        until(lambda: "from-cluster" in server.log.read_text(), server.log.read_text)
        name = register(plane, server.url, "from-cluster", part)
        try:
            denied = until(
                lambda: answer if (answer := create(plane, BAD, dry_run=True)).status == 403 else None
            )
            until(lambda: "denied by from-cluster" in create(plane, BAD, dry_run=True).body["message"])
            assert denied.status == 403
        finally:
            unregister(plane, name)


def test_where_cert_manager_is_its_secret_is_waited_for_and_never_written(
    plane: Any, access: Access, tmp_path: Path
) -> None:
    with served(plane, "cert-manager.io", "v1", "Certificate", "Namespaced"):
        published: list[Any] = []
        tls = ServerTls()
        keeper = SelfSigned(Secret(access, "kspec-system", "managed"), ["a.svc"], published.append)
        with pytest.raises(CertificateError, match="cert-manager has not written"):
            keeper.tick(tls)
        assert not tls.ready
        pair = Authority(tmp_path).issue("web")
        fields = {"tls.crt": pair.certificate.read_text(), "tls.key": pair.key.read_text()}
        secrets = "/api/v1/namespaces/kspec-system/secrets"
        secret = {
            "metadata": {
                "name": "managed",
                "annotations": {"cert-manager.io/certificate-name": "kspec-webhook"},
            },
            "type": "kubernetes.io/tls",
            "stringData": fields,
        }
        before = plane.request("POST", secrets, secret).body
        keeper.tick(tls)
        assert tls.ready
        assert not any(published), "its injector writes the caBundle"
        after = plane.request("GET", f"{secrets}/managed").body
        assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
