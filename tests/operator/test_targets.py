"""What is said of the cluster of a ClusterTarget, on a real hub: of clusters that answer, refuse, die and come back."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest

from pytest_kspec import clock
from pytest_kspec.cluster.limits import Limits
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.fleet.targets.look import Look, look_at
from pytest_kspec.fleet.targets.model import Target
from pytest_kspec.operator.metrics import Metrics, State
from pytest_kspec.operator.targets import PACE, Targets, notes, told
from tests.cluster.api import Api, Reply, status
from tests.controlplane.certificates import Authority
from tests.fleet.targets.conftest import CANARY, KIND, HubCluster, b64, hub, hub_cluster

__all__ = ["hub", "hub_cluster"]

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
QUICK = Limits(connect_timeout_s=1.0, read_timeout_s=2.0, retries=0)
NODES = Reply(
    {"kind": "PartialObjectMetadataList", "metadata": {"remainingItemCount": 2}, "items": [{"metadata": {}}]}
)


class World:
    """A hub, a controller, and a cluster that a test scripts."""

    def __init__(self, hub: HubCluster, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.hub = hub
        self.now = NOW
        monkeypatch.setattr(clock, "now", lambda: self.now)
        self.authority = Authority(folder)
        self.metrics = Metrics(State(lambda: True, lambda: 0, lambda: 0.0, lambda: 0))
        self.controller = Targets(
            hub.access,
            hub.hub(),
            self.known,
            look=lambda target: look_at(target, QUICK),
            metrics=self.metrics,
        )

    def known(self) -> dict[tuple[str, str], Any]:
        found = self.hub.writer.list(*KIND)
        return {(one["metadata"]["namespace"], one["metadata"]["name"]): one for one in found}

    def put(self, name: str, url: str, token: str = CANARY, **spec: Any) -> None:
        self.hub.secret(f"{name}-token", token=token)
        ref = {"name": f"{name}-token"}
        ca = b64(self.authority.bundle)
        self.hub.target(name, apiServerURL=url, caData=ca, authMode="token", tokenSecretRef=ref, **spec)

    def look(self, name: str, seconds: float = 60) -> dict[str, Any]:
        """The status after a look so much later."""
        self.now += timedelta(seconds=seconds)
        self.wait = self.controller.reconcile((NAMESPACE, name))
        found: dict[str, Any] = self.hub.writer.get(*KIND, name, namespace=NAMESPACE)["status"]
        return found

    def said(self, name: str, **more: Any) -> dict[str, tuple[str, str]]:
        found = self.look(name, **more)
        return {one["type"]: (one["status"], one["reason"]) for one in found["conditions"]}

    def events(self, name: str) -> list[str]:
        found = self.hub.writer.list("v1", "Event", namespace=NAMESPACE)
        return [one["reason"] for one in found if one["involvedObject"]["name"] == name]

    def serve(self, **answers: Any) -> Api:
        import ssl

        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        pair = self.authority.issue("server", hosts=("127.0.0.1",))
        tls.load_cert_chain(pair.certificate, pair.key)
        return Api({"/api/v1/nodes": NODES, **answers}, tls)


@pytest.fixture
def world(hub: HubCluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    return World(hub, monkeypatch, tmp_path)


def test_a_cluster_that_answers(world: World) -> None:
    with world.serve() as api:
        world.put("up", api.url)
        found = world.look("up")
    assert {key: found[key] for key in ("reachable", "version", "platform", "nodeCount", "uid")} == {
        "reachable": True, "version": "v1.30.1-eks-1", "platform": "eks", "nodeCount": 3, "uid": "u-1",
    }  # fmt: skip
    assert [(one["type"], one["status"], one["reason"]) for one in found["conditions"]] == [
        ("Ready", "True", "ClusterReachable"),
        ("CredentialsValid", "True", "CredentialsValid"),
    ]
    assert found["lastChecked"] == "2026-11-29T12:01:00Z"
    assert {request.headers["authorization"] for request in api.seen} == {f"Bearer {CANARY}"}
    registry = world.metrics.registry
    assert registry.value("kspec_cluster_target_healthy", "up", NAMESPACE) == 1
    assert registry.value("kspec_cluster_target_nodes", "up", NAMESPACE) == 3
    facts = ("eks", "v1.30.1-eks-1", api.url)
    assert registry.value("kspec_cluster_target_info", "up", NAMESPACE, *facts) == 1
    world.hub.writer.delete(*KIND, "up", namespace=NAMESPACE)
    assert world.controller.reconcile((NAMESPACE, "up")) is None
    assert registry.value("kspec_cluster_target_healthy", "up", NAMESPACE) is None


def test_metrics_call_a_cluster_unhealthy_from_the_second_failure_on(world: World) -> None:
    with world.serve() as api:
        world.put("gone", api.url)
        world.look("gone")
    healthy = []
    for _ in range(2):
        world.look("gone")
        healthy.append(world.metrics.registry.value("kspec_cluster_target_healthy", "gone", NAMESPACE))
    assert healthy == [1, 0]
    assert world.metrics.registry.value("kspec_cluster_target_nodes", "gone", NAMESPACE) == 3, "as last seen"


def test_a_cluster_that_dies_is_unreachable_since_then_and_comes_back(world: World) -> None:
    with world.serve() as api:
        world.put("c", api.url)
        assert world.said("c")["Ready"] == ("True", "ClusterReachable")
    first = world.look("c")
    assert (first["conditions"][0]["status"], first["consecutiveFailures"]) == ("Unknown", 1)
    assert world.wait is not None
    assert PACE.again_s <= world.wait < 2 * PACE.again_s
    second = world.look("c", 10)
    assert (second["conditions"][0]["status"], second["conditions"][0]["reason"]) == ("False", "Unreachable")
    assert second["conditions"][0]["message"].startswith("Unreachable since 2026-11-29T12:02:00Z: ")
    assert second["unreachableSince"] == "2026-11-29T12:02:00Z"
    assert (second["reachable"], second["version"]) == (False, "v1.30.1-eks-1")
    assert second["conditions"][1]["status"] == "Unknown"
    waits = []
    for _ in range(8):
        assert world.look("c", 600)["unreachableSince"] == "2026-11-29T12:02:00Z"
        waits.append(world.wait or 0.0)
    assert waits == sorted(waits)
    assert PACE.longest_s <= waits[-1] <= 1.1 * PACE.longest_s
    with world.serve() as other:
        world.put("c", other.url)
        assert world.said("c") == {
            "Ready": ("True", "ClusterReachable"),
            "CredentialsValid": ("True", "CredentialsValid"),
        }
    assert sorted(set(world.events("c"))) == ["TargetReachable", "TargetUnreachable"]


@pytest.mark.parametrize("answer", [status(401, "Unauthorized"), status(403, "no")], ids=["401", "403"])
def test_credentials_that_are_refused(world: World, answer: Reply) -> None:
    with world.serve(**{"/version": answer}) as api:
        world.put("c", api.url)
        world.look("c")
        assert world.said("c") == {
            "Ready": ("False", "Unreachable"),
            "CredentialsValid": ("False", "InvalidCredentials"),
        }


def test_credentials_that_are_not_there_or_have_ended(world: World) -> None:
    world.hub.target(
        "none", apiServerURL="https://127.0.0.1:1", authMode="token", tokenSecretRef={"name": "x"}
    )
    assert world.said("none")["CredentialsValid"] == ("False", "InvalidCredentials")
    old = jwt.encode({"iat": 1, "exp": int(time.time()) - 5, "sub": CANARY}, "k" * 32, algorithm="HS256")
    world.put("old", "https://127.0.0.1:1", token=old)
    found = world.look("old")
    assert found["conditions"][1]["reason"] == "InvalidCredentials"
    assert "The credentials expired at" in found["conditions"][1]["message"]
    assert CANARY not in str(found) + str(world.look("none"))


def test_a_cluster_that_was_built_anew_is_named(world: World) -> None:
    kube_system = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": "u-2"}}
    with world.serve() as api:
        world.put("again", api.url)
        world.look("again")
        api.answers["/api/v1/namespaces/kube-system"] = Reply(kube_system)
        assert world.look("again")["uid"] == "u-2"
    assert world.events("again") == ["TargetReplaced"]


def test_the_second_name_of_a_cluster_says_so(world: World) -> None:
    with world.serve() as api:
        world.put("one", api.url)
        world.put("two", api.url)
        world.look("one")
        assert "same cluster" not in world.look("one")["conditions"][0]["message"]
        message = world.look("two")["conditions"][0]["message"]
    assert message.endswith(f"This is the same cluster as {NAMESPACE}/one.")


def test_one_that_is_suspended_is_left_alone(world: World) -> None:
    with world.serve() as api:
        world.put("idle", api.url, suspend=True)
        assert world.said("idle")["Ready"] == ("Unknown", "Suspended")
        assert api.seen == []


def test_one_that_is_gone_is_forgotten(world: World) -> None:
    assert world.controller.reconcile((NAMESPACE, "gone")) is None


def test_nothing_is_written_while_nothing_changes(world: World) -> None:
    with world.serve() as api:
        world.put("same", api.url)
        first = world.look("same")
        assert world.look("same", 60) == first
        assert world.look("same", 300)["lastChecked"] != first["lastChecked"]


def test_a_token_that_is_replaced_is_used(world: World) -> None:
    """Refused once, it is read again: the Secret was rotated meanwhile."""
    accepted = "first"

    def version(request: Any) -> Reply:
        ok = request.headers.get("authorization") == f"Bearer {accepted}"
        return Reply({"gitVersion": "v1.30.1"}) if ok else status(401)

    with world.serve(**{"/version": version}) as api:
        world.put("c", api.url, token="first")
        assert world.said("c")["Ready"][0] == "True"
        accepted = "second"
        world.hub.secret("c-token", token="second")
        assert world.said("c")["Ready"][0] == "True"


@pytest.mark.parametrize(
    ("days", "expected"),
    [((8, 6.9), ["CredentialsExpiring"]), ((8, 7.1), []), ((6, 5), []), ((0.9, 0.8), [])],
)
def test_credentials_are_named_a_week_before_they_end(days: tuple[float, float], expected: list[str]) -> None:
    end = (NOW + timedelta(days=10)).isoformat()
    one, other = (
        {"lastChecked": (NOW + timedelta(days=10 - left)).isoformat(), "credentialsExpire": end}
        for left in days
    )
    assert [note.reason for note in notes(one, other)] == expected


def test_what_a_status_may_hold_breaks_nothing() -> None:
    """Anybody who may write a status may write anything into it."""
    target = Target("a", "target:a/a", "target", lambda _: None)  # type: ignore[arg-type,return-value]
    seen = Look(target, False, None)

    def odd(value: Any) -> dict[str, Any]:
        return {"consecutiveFailures": value, "unreachableSince": value}

    pauses: tuple[object, ...] = (-1, "x", True, None, [], 1 << 70)
    for value in pauses:
        said, fields = told(seen, odd(value), NOW)
        assert fields["consecutiveFailures"] >= 1
        assert notes(odd(value), {"conditions": [], "lastChecked": value}) == []
        assert said[0].status in ("False", "Unknown")
