"""`kspec enforce --engine webhook`, with `kspec webhook` running behind a Service, as it does in a cluster."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cli.main import main
from pytest_kspec.enforce import seen
from pytest_kspec.enforce.webhook_install import service_names
from tests.controlplane import namespaces
from tests.controlplane.server import STRATEGIC_PATCH, ControlPlane, Etcd
from tests.webhook.installed import install_rights
from tests.webhook.reviewing import container, forbid, pod, require
from tests.webhook.running import Running, until, write_spec

CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
PODS = "/api/v1/namespaces/shop/pods"
SYSTEM = "kspec-system"
NAME = "kspec-webhook"
BAD = pod(hostNetwork=True)
RULE = forbid("hostNetwork")


@pytest.fixture(scope="module")
def plane(etcd: Etcd) -> Iterator[Any]:
    """A cluster that calls Services at their endpoints: there is no kube-proxy."""
    with ControlPlane(etcd, flags=["--enable-aggregator-routing=true"]) as plane:
        for name in ("shop", SYSTEM):
            namespaces.create(plane, name)
        install_rights(plane)
        yield plane


def own_address() -> Any:
    """An address of this machine that is not loopback, where no API server calls an endpoint. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))
        return probe.getsockname()[0]


def behind_a_service(port: Any, read_port: Any) -> Iterator[Any]:
    """(path, object) of a Service and its one pod, which is this machine at these ports.

    An API server proxies requests to pods only; webhooks it calls at any endpoint.
    """
    meta, address = {"name": NAME, "namespace": SYSTEM}, own_address()
    core = f"/api/v1/namespaces/{SYSTEM}"
    yield f"{core}/pods", BAD | {"metadata": meta}
    ports = [("https", 443, port), ("read", 9444, read_port)]
    service = [{"name": name, "port": number, "targetPort": target} for name, number, target in ports]
    yield f"{core}/services", {"metadata": meta, "spec": {"ports": service}}
    endpoint = {"addresses": [address], "targetRef": {"kind": "Pod", **meta}, "conditions": {"ready": True}}
    yield (
        f"/apis/discovery.k8s.io/v1/namespaces/{SYSTEM}/endpointslices",
        {
            "metadata": meta | {"labels": {"kubernetes.io/service-name": NAME}},
            "addressType": "IPv4",
            "endpoints": [endpoint],
            "ports": [{"name": name, "port": target, "protocol": "TCP"} for name, _, target in ports],
        },
    )


class Installed(Running):
    """`kspec webhook` for all specifications in `specs`, where one named prod is from the start."""

    def __init__(self, plane: Any, folder: Any) -> None:
        self.specs = folder / "specs"
        self.specs.mkdir()
        self.kubeconfig = plane.kubeconfig(path=folder / "kubeconfig")
        write_spec(self.specs / "prod.yaml", RULE)
        hosts = [f"--hostname={name}" for name in service_names(NAME, SYSTEM)]
        super().__init__(
            folder, str(self.specs), f"--self-signed={folder / 'tls'}", f"--cluster={plane.name}",
            f"--kubeconfig={self.kubeconfig}", *hosts, host="0.0.0.0", tokens=True,
        )  # fmt: skip


@pytest.fixture
def webhook(plane: Any, tmp_path: Path) -> Iterator[Any]:
    server = Installed(plane, tmp_path)
    made = []
    try:
        for path, obj in behind_a_service(server.port, server.read_port):
            answer = plane.request("POST", path, obj)
            assert answer.status == 201, answer
            made.append(f"{path}/{NAME}")
        addresses = {"podIP": own_address(), "podIPs": [{"ip": own_address()}]}
        running = {"status": {"phase": "Running", **addresses}}
        assert plane.request("PATCH", f"{made[0]}/status", running).status == 200
        server.wait_ready()
        yield server
    finally:
        if server.process.poll() is None:
            server.stop()
        plane.request("DELETE", CONFIGURATIONS)
        for path in reversed(made):
            plane.request("DELETE", path, {"gracePeriodSeconds": 0})


@pytest.fixture
def kspec(webhook: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Any:
    """kspec enforce --engine webhook: code, output, notes."""
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("KUBECONFIG", str(webhook.kubeconfig))

    def enforce(path: str, *words: Any) -> tuple[Any, Any, Any]:
        code = main(["enforce", str(path), "--engine", "webhook", *words, "--yes"])
        said = capsys.readouterr()
        return code, said.out, said.err

    return enforce


def create(plane: Any, obj: Any = BAD, query: str = "?dryRun=All") -> Any:
    return plane.request("POST", f"{PODS}{query}", obj)


def names(plane: Any) -> list[Any]:
    return [item["metadata"]["name"] for item in plane.request("GET", CONFIGURATIONS).body["items"]]


def test_from_dry_run_to_removal_through_the_service(plane: Any, webhook: Any, kspec: Any) -> None:
    prod = webhook.specs / "prod.yaml"
    code, out, err = kspec(prod, "--dry-run")
    assert (code, names(plane)) == (0, [])
    assert "1 to create; nothing was applied" in out
    assert "kube-system is not excluded" not in err, "the registration leaves it out"
    code, out, _ = kspec(prod, "--status")
    assert (code, "nothing is in force" in out) == (1, True)
    code, out, _ = kspec(prod, "--preview")
    assert (code, "0 of 0 objects would be denied" in out) == (0, True), "nor are its own pods meant"

    code, out, err = kspec(prod)
    assert (code, names(plane)) == (0, ["kspec-prod-webhook"])
    assert (
        "it has no caBundle yet; unless a public authority signed the webhook's certificate, every request is refused"
        in err
    )
    refused = until(lambda: answer if (answer := create(plane)).status == 403 else None)
    assert "denied by prod: 1 violation: spec.hostNetwork is true" in refused.body["message"]
    assert create(plane, pod()).status == 201
    code, out, _ = kspec(prod, "--status")
    assert (code, "kspec-prod-webhook: enforce" in out) == (0, True), out
    assert "1 unchanged" in kspec(prod)[1]

    write_spec(prod, RULE | {"network": {"allowedServiceTypes": ["ClusterIP"]}})
    code, out, _ = kspec(prod, "--status")
    assert code == 1
    assert "differs from what would be applied now: webhooks[0].rules[0].resources" in out
    assert "1 to change" in kspec(prod)[1]

    code, out, _ = kspec(prod, "--remove")
    assert (code, names(plane)) == (0, [])
    until(lambda: create(plane).status == 201)


def test_status_is_what_the_webhook_does_and_not_what_was_registered(
    plane: Any, webhook: Any, kspec: Any, tmp_path: Path
) -> None:
    prod, other = webhook.specs / "prod.yaml", tmp_path / "other.yaml"
    write_spec(other, RULE, fails="Ignore")
    kspec(prod)
    kspec(other)
    assert names(plane) == ["kspec-other-webhook", "kspec-prod-webhook"]
    until(lambda: "denied by prod" in create(plane).body.get("message", ""))
    code, out, _ = until(lambda: said if "does not serve" in (said := kspec(other, "--status"))[1] else None)
    assert code == 1
    assert "kspec-other-webhook: not in force" in out
    assert "does not serve this specification; until then every request is admitted" in out

    write_spec(prod, RULE, mode="audit")
    said = until(
        lambda: said if "the webhook runs in mode audit" in (said := kspec(prod, "--status"))[1] else None
    )
    assert said[0] == 1
    assert "kspec-prod-webhook: audit" in said[1]
    assert create(plane).status == 201
    kspec(other, "--remove")
    assert names(plane) == ["kspec-prod-webhook"]


def test_a_dead_webhook_locks_out_and_what_the_docs_say_lets_in_again(
    plane: Any, webhook: Any, kspec: Any
) -> None:
    prod = webhook.specs / "prod.yaml"
    kspec(prod)
    until(lambda: create(plane).status == 403)
    webhook.kill()
    assert "failed calling webhook" in create(plane, pod()).body["message"]
    own = pod() | {"metadata": {"name": "webhook", "namespace": SYSTEM}}
    answer = plane.request("POST", f"/api/v1/namespaces/{SYSTEM}/pods?dryRun=All", own)
    assert answer.status == 201, "its own pods can always be made again"
    code, out, _ = kspec(prod, "--status")
    assert (code, "the running webhook could not be queried" in out) == (1, True)
    selector = "?labelSelector=kspec.io/cluster-spec=prod,kspec.io/generated=true"
    assert plane.request("DELETE", f"{CONFIGURATIONS}{selector}").status == 200
    until(lambda: create(plane, pod()).status == 201)


def test_a_resize_is_judged_as_any_change_of_the_pod(
    plane: Any, webhook: Any, kspec: Any, tmp_path: Path
) -> None:
    """By the webhook and by the API server's own policies."""
    resources = {"limits": {"memory": "64Mi"}, "requests": {"memory": "32Mi"}}
    assert create(plane, pod(containers=[container(resources=resources)]), "").status == 201
    prod, vap = webhook.specs / "prod.yaml", tmp_path / "vap.yaml"
    for path in (prod, vap):
        write_spec(path, require("resources.limits.memory", value="64Mi"))

    def resize(**asked: Any) -> Any:
        patch = {"spec": {"containers": [{"name": "app", "resources": asked}]}}
        return plane.request("PATCH", f"{PODS}/web/resize?dryRun=All", patch, content_type=STRATEGIC_PATCH)

    def judged(word: Any) -> None:
        refused = until(
            lambda: answer if (answer := resize(limits={"memory": "128Mi"})).status == 403 else None
        )
        assert word in refused.body["message"]
        wrong = "spec.containers[app].resources.limits.memory is 128Mi, must be 64Mi"
        assert wrong in refused.body["message"]
        assert resize(requests={"memory": "48Mi"}).status == 200

    try:
        assert resize(limits={"memory": "128Mi"}).status == 200
        kspec(prod)
        judged("denied by prod")

        def asked() -> list[Any]:
            entries = [json.loads(line) for line in (tmp_path / "audit.log").read_text().splitlines()]
            return [entry for entry in entries if entry["resource"]["name"] != seen.NAME]

        assert {entry["subresource"] for entry in until(asked)} == {"resize"}
        kspec(prod, "--remove")
        until(lambda: resize(limits={"memory": "128Mi"}).status == 200)
        assert main(["enforce", str(vap), "--yes"]) == 0
        judged("vap is violated: ")
    finally:
        main(["enforce", str(vap), "--remove"])
        plane.request("DELETE", f"{PODS}/web", {"gracePeriodSeconds": 0})
