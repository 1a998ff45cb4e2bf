"""`kspec fleet enforce --engine webhook` on real API servers; the pods of each are a process of this machine."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cluster.sources.open import open_source
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import SourceError, SourceUnavailable, UsageError
from pytest_kspec.fleet import webhook
from pytest_kspec.fleet.targets import ours
from pytest_kspec.spec.loading import load_spec
from tests.controlplane.process import free_port
from tests.controlplane.server import ControlPlane, Etcd
from tests.fleet.test_enforcing import NODE_PORT, SPEC, Fleet
from tests.fleet.webhooks import DEPLOYMENTS, ROUTED, Played
from tests.webhook.installed import SYSTEM
from tests.webhook.running import until

NAME = "kspec-services-webhook"
HOOKS = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
SECRET = f"/api/v1/namespaces/{SYSTEM}/secrets/{NAME}-tls"
IMAGE = f"registry.example.com/kspec@sha256:{'0' * 64}"
ENGINE = ("--engine=webhook", f"--image={IMAGE}", "-o", "json")
FAILS = (
    SPEC
    + "  clusterRef: ./elsewhere.tar.gz\n  webhooks: {enabled: true, failurePolicy: Fail, timeoutSeconds: 10}\n"
)


@pytest.fixture(scope="module")
def planes(etcd: Etcd) -> Iterator[dict[str, ControlPlane]]:
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(ControlPlane(etcd, flags=(ROUTED,)))
            for name in ("east", "north", "west")
        }


@pytest.fixture
def fleet(tmp_path: Path, planes: dict[str, ControlPlane]) -> Fleet:
    made = Fleet(tmp_path, dict(planes))
    (tmp_path / "spec.yaml").write_text(FAILS)
    return made


def hook(plane: ControlPlane) -> dict[str, Any]:
    return dict(plane.request("GET", f"{HOOKS}/{NAME}").body)


def denied(plane: ControlPlane) -> str:
    answer = plane.request("POST", "/api/v1/namespaces/default/services?dryRun=All", NODE_PORT)
    return "" if answer.status == 201 else str(answer.body["message"])


def test_each_cluster_gets_a_webhook_of_its_own(fleet: Fleet) -> None:
    fleet.away["west"] = f"https://127.0.0.1:{free_port()}"
    fleet.write()
    with ExitStack() as stack:
        played = {
            name: stack.enter_context(Played(plane, fleet.folder)) for name, plane in fleet.planes.items()
        }
        east, north, west = fleet.planes.values()
        since = east.audit_position()
        dry = fleet.run("--mode=enforce", "--dry-run", *ENGINE)
        assert [one["changes"].get("create") for one in dry.json["clusters"]] == [13, 13, None], dry
        assert east.request("GET", f"/api/v1/namespaces/{SYSTEM}").status == 404, "a dry run writes nothing"

        said = fleet.run("--mode=enforce", "--yes", *ENGINE)
        assert said.code == 2, (said.out, said.err)
        states = [(one["name"], one["state"], one["mode"]) for one in said.json["clusters"]]
        assert states == [("east", "ok", "enforce"), ("north", "ok", "enforce"), ("west", "away", "")], (
            said.out
        )
        assert hook(east)["webhooks"][0]["failurePolicy"] == "Fail"
        assert "denied by services" in denied(east)
        assert "denied by services" in denied(north)

        # It was registered after its pods were there.
        order = [
            seen.resource
            for seen in east.requests_seen(user="admin", since=since)
            if seen.verb in ("create", "patch") and "dryRun" not in seen.uri
        ]
        assert order.index("validatingwebhookconfigurations") > order.index("deployments")
        # Each has an authority of its own, whose key nobody else has.
        secrets = [plane.request("GET", SECRET).body["data"] for plane in (east, north)]
        assert secrets[0]["ca.crt"] != secrets[1]["ca.crt"]
        bundles = [hook(plane)["webhooks"][0]["clientConfig"]["caBundle"] for plane in (east, north)]
        assert bundles == [secret["ca.crt"] for secret in secrets]
        for secret in secrets:
            assert base64.b64decode(secret["tls.key"]).decode() not in said.out + said.err

        # What is as it should be stays; one that was away is caught up.
        fleet.away.clear()
        fleet.write()
        said = fleet.run("--mode=enforce", "--yes", *ENGINE)
        assert said.code == 0, (said.out, said.err)
        done = {one["name"]: one["changes"] for one in said.json["clusters"]}
        assert done["east"] == done["north"] == {"create": 0, "change": 0, "keep": 13, "remove": 0}
        assert done["west"]["create"] == 13
        said = fleet.run("--status", "--engine=webhook", "-o", "json")
        assert (said.code, said.json["totals"][0]["ok"]) == (0, 3), said.out

        # A webhook that does not answer is not in force, whatever the registration says.
        played["north"].kill(NAME)
        until(lambda: "availableReplicas" not in _status(north))
        said = fleet.run("--status", "--engine=webhook", "-o", "json")
        assert said.code == 1, said.out
        told = {one["name"]: (one["state"], str(one["problems"])) for one in said.json["clusters"]}
        assert [told[name][0] for name in ("east", "north", "west")] == ["ok", "differs", "ok"]
        assert "0 of 2 replicas are available" in told["north"][1]
        del played["north"].processes[NAME]

        # A change is a rollout: the old files go when the new ones are served.
        (fleet.folder / "spec.yaml").write_text(FAILS.replace("[ClusterIP]", "[ClusterIP, NodePort]"))
        said = fleet.run("--mode=enforce", "--yes", *ENGINE)
        assert said.code == 0, (said.out, said.err)
        assert {one["changes"]["remove"] for one in said.json["clusters"]} == {1}
        assert denied(east) == ""

        source = open_source("east", kubeconfig=str(fleet.folder / "kubeconfig"))
        found = ours.policies(Writer(source))  # type: ignore[arg-type]
        source.close()
        kinds = [one.kind for one in found]
        assert (kinds[0], sorted(set(kinds))[-1], "Deployment" in kinds, "Secret" in kinds) == (
            "ValidatingWebhookConfiguration", "ValidatingWebhookConfiguration", True, True,
        )  # fmt: skip

        # First the registration goes, then what it called.
        since = east.audit_position()
        said = fleet.run("--remove", "--yes", "--engine=webhook", "-o", "json")
        assert said.code == 0, (said.out, said.err)
        gone = [seen.resource for seen in east.requests_seen("delete", user="admin", since=since)]
        assert gone[0] == "validatingwebhookconfigurations"
        assert "deployments" in gone
        assert [plane.request("GET", SECRET).status for plane in (east, north, west)] == [404] * 3
        assert east.request("GET", DEPLOYMENTS).body["items"] == []
        said = fleet.run("--status", "--engine=webhook", "-o", "json")
        assert said.code == 1
        # Everything that the webhook asked was granted to it.
        asked = list(east.requests_seen(since=0, user=f"system:serviceaccount:{SYSTEM}:{NAME}"))
        assert asked
        assert [seen for seen in asked if seen.status == 403] == []


def _status(plane: ControlPlane) -> dict[str, Any]:
    found = plane.request("GET", f"{DEPLOYMENTS}/{NAME}").body["status"]
    return {key: value for key, value in found.items() if value}


def test_a_webhook_that_may_fail_open_is_in_force_when_the_command_ends(
    fleet: Fleet, planes: dict[str, ControlPlane]
) -> None:
    """The webhook writes its certificate into the registration a moment after that is there."""
    fleet.planes = {"east": planes["east"]}
    fleet.write()
    (fleet.folder / "spec.yaml").write_text(SPEC)
    with Played(planes["east"], fleet.folder):
        said = fleet.run("--mode=audit", "--yes", *ENGINE)
        assert (said.code, said.json["clusters"][0]["mode"]) == (0, "audit"), (said.out, said.err)
        registered = hook(planes["east"])["webhooks"][0]
        assert (registered["failurePolicy"], "caBundle" in registered["clientConfig"]) == ("Ignore", True)
        said = fleet.run("--remove", "--yes", "--engine=webhook", "-o", "json")
        assert said.code == 0, (said.out, said.err)


def test_a_webhook_that_does_not_start_is_not_registered(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody runs its pods here."""
    monkeypatch.setattr(webhook, "WAIT_S", 2.0)
    spec = load_spec(fleet.folder / "spec.yaml")
    engine = webhook.Deployed(IMAGE, {spec.name: webhook.packed(spec, [], [])})
    source = open_source("north", kubeconfig=str(fleet.folder / "kubeconfig"))
    from datetime import UTC, datetime

    from pytest_kspec.enforce.engines import Wanted
    from pytest_kspec.enforce.modes import Mode
    from pytest_kspec.enforce.plan import enforcement_plan
    from pytest_kspec.plan.checkset import load_checks

    plan = enforcement_plan(spec, load_checks([]), version="v1.35.0", now=datetime.now(UTC))
    made = engine.generate(Wanted(plan, Mode.ENFORCE, "north"))
    writer = Writer(source)  # type: ignore[arg-type]
    try:
        planned = engine.planned(spec, made.manifests, writer, dry_run=False)
        with pytest.raises(SourceError, match="the webhook did not start") as raised:
            engine.carry_out(spec, planned, writer)
        assert not isinstance(raised.value, SourceUnavailable), "the cluster answers: it is not away"
        assert fleet.planes["north"].request("GET", f"{HOOKS}/{NAME}").status == 404
    finally:
        fleet.run("--remove", "--yes", "--engine=webhook")
        source.close()
    assert fleet.planes["north"].request("GET", f"{DEPLOYMENTS}/{NAME}").status == 404


@pytest.mark.parametrize("image", ["", "kspec", "kspec:latest", "r.example/kspec:1.0", "kspec@sha256:abc"])
def test_an_image_has_a_digest(fleet: Fleet, image: str) -> None:
    with pytest.raises(UsageError, match="by digest"):
        webhook.checked_image(image)
    assert webhook.checked_image(IMAGE) == IMAGE
