"""A rotation that is not alone, or whose answer is lost: the hub never holds a token that was revoked."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.errors import Refused, SourceError, SourceUnavailable
from pytest_kspec.fleet.targets import rotating
from pytest_kspec.fleet.targets.credentials import token_claims
from pytest_kspec.fleet.targets.rotating import rotate
from tests.controlplane.server import ControlPlane
from tests.fleet.targets.conftest import HubCluster, ca

ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
LABELS = "kspec.io/cluster-target=prod,kspec.io/token-binding=true"
BOUND = f"/api/v1/namespaces/default/secrets?labelSelector={LABELS}"


class Rotated:
    """A target of the hub whose credentials are of a ServiceAccount of another cluster."""

    def __init__(self, hub: HubCluster, plane: ControlPlane, token: str) -> None:
        self.hub, self.plane = hub, plane
        hub.secret("prod-token", token=token)
        hub.target(
            "prod",
            authMode="token",
            apiServerURL=plane.url,
            caData=ca(plane),
            tokenSecretRef={"name": "prod-token"},
        )

    def rotate(self) -> rotating.Rotated:
        return rotate(self.hub.hub(), NAMESPACE, "prod", 3600)

    def held(self) -> str:
        secret = self.hub.writer.get("v1", "Secret", "prod-token", namespace=NAMESPACE)
        return base64.b64decode(secret["data"]["token"]).decode()

    def works(self) -> bool:
        """Asked as TokenReview answers: an API server remembers for seconds that it accepted a token."""
        review = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenReview",
            "spec": {"token": self.held()},
        }
        answer = self.plane.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review)
        return bool(answer.body["status"].get("authenticated"))

    def claimed(self) -> str:
        """The Secret that the token of the hub is bound to."""
        return str(token_claims(self.held())["kubernetes.io"]["secret"]["name"])

    def bound(self) -> list[str]:
        """To which tokens in the cluster are bound that were not revoked."""
        return [one["metadata"]["name"] for one in self.plane.request("GET", BOUND).body["items"]]


@pytest.fixture
def prod(hub: HubCluster, second_control_plane: ControlPlane) -> Iterator[Rotated]:
    plane = second_control_plane
    plane.request("POST", ACCOUNTS, {"metadata": {"name": "rotated"}})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"}
    subjects = [{"kind": "ServiceAccount", "name": "rotated", "namespace": "default"}]
    binding = {"metadata": {"name": "rotated"}, "roleRef": role, "subjects": subjects}
    plane.request("POST", BINDINGS, binding)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = str(plane.request("POST", f"{ACCOUNTS}/rotated/token", request).body["status"]["token"])
    made = Rotated(hub, plane, token)
    yield made
    for name in made.bound():
        plane.request("DELETE", f"/api/v1/namespaces/default/secrets/{name}")
    plane.request("DELETE", f"{BINDINGS}/rotated")
    plane.request("DELETE", f"{ACCOUNTS}/rotated")


def test_two_rotations_at_once(prod: Rotated, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one stores its token between the store and the revocation of the first."""
    prod.rotate()
    revoke = rotating._revoke
    slow: list[Any] = []

    def wait(*words: Any) -> tuple[str, ...]:
        slow.append(words)
        return ()

    monkeypatch.setattr(rotating, "_revoke", wait)
    prod.rotate()
    monkeypatch.setattr(rotating, "_revoke", revoke)
    prod.rotate()
    revoke(*slow[0])
    assert prod.works()
    assert len(prod.bound()) == 1


def test_another_hub_with_a_target_of_this_name(prod: Rotated) -> None:
    first = prod.rotate()
    mine = prod.held()
    (other,) = prod.bound()
    # What the other hub stored is bound to a Secret with the same labels, later than ours.
    prod.hub.secret("prod-token", token=mine)
    assert prod.rotate().revoked == (other,)
    theirs = prod.bound()
    prod.hub.secret("prod-token", token=prod.plane.token)
    with pytest.raises(SourceError, match="not a ServiceAccount"):
        prod.rotate()
    assert prod.bound() == theirs
    assert first.account == "default/rotated"


@pytest.mark.parametrize("arrived", [True, False])
def test_a_hub_whose_answer_is_lost(prod: Rotated, monkeypatch: pytest.MonkeyPatch, arrived: bool) -> None:
    """The token is in the Secret, or it is not known whether it will be: it is not revoked."""
    prod.rotate()
    before, patch = prod.held(), Writer.patch

    def lost(self: Writer, *words: Any, **more: Any) -> Any:
        if arrived:
            patch(self, *words, **more)
        raise SourceUnavailable("the connection was lost.", where="hub")

    monkeypatch.setattr(Writer, "patch", lost)
    if arrived:
        assert len(prod.rotate().revoked) == 1
        assert prod.held() != before
        assert len(prod.bound()) == 1
    else:
        with pytest.raises(
            SourceUnavailable, match=r"token was stored: the connection was lost\. Both tokens are valid\."
        ):
            prod.rotate()
        assert prod.held() == before
        assert len(prod.bound()) == 2
    assert prod.works()


def test_a_hub_that_refuses(prod: Rotated, monkeypatch: pytest.MonkeyPatch) -> None:
    prod.rotate()
    before, bound = prod.held(), prod.bound()

    def refuse(*_: Any, **__: Any) -> Any:
        raise Refused("a policy denies it.", where="hub")

    monkeypatch.setattr(Writer, "patch", refuse)
    with pytest.raises(Refused, match="a policy denies it"):
        prod.rotate()
    assert (prod.held(), prod.bound(), prod.works()) == (before, bound, True)


def test_what_a_killed_rotation_left_is_removed_when_its_token_has_expired(
    prod: Rotated, monkeypatch: pytest.MonkeyPatch
) -> None:
    prod.rotate()
    revoke = rotating._revoke

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    def later(source: Any, bound: Any, *words: Any) -> tuple[str, ...]:
        """As if this rotation were of the next week."""
        at = f"{datetime.now(UTC) + timedelta(days=7):%Y-%m-%dT%H:%M:%SZ}"
        return revoke(source, {"metadata": {**bound["metadata"], "creationTimestamp": at}}, *words)

    with monkeypatch.context() as patched:
        patched.setattr(rotating, "_prove", killed)
        with pytest.raises(KeyboardInterrupt):
            prod.rotate()
    (mine, left) = sorted(prod.bound(), key=lambda name: name not in prod.claimed())
    assert prod.rotate().revoked == (mine,)
    assert left in prod.bound()
    monkeypatch.setattr(rotating, "_revoke", later)
    assert left in prod.rotate().revoked
    assert prod.works()
