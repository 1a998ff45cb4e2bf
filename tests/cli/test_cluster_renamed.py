"""A cluster that is renamed keeps its credentials: a new ClusterTarget refers to them, and the old one is removed."""

from __future__ import annotations

import base64
from typing import Any

from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.fleet.targets.sharing import same_cluster
from tests.cli.test_cluster_change import POLICIES, POLICY, SECRETS, Fleet, fleet, hub, hub_cluster, scanner
from tests.controlplane.server import ControlPlane
from tests.fleet.targets.conftest import HubCluster, ca
from tests.fleet.targets.test_clustertargets import embedded
from tests.operator.conftest import until

__all__ = ["fleet", "hub", "hub_cluster", "scanner"]

OF = "kspec.io/cluster-target"


def test_its_secret_goes_with_the_last_target_that_uses_it(
    fleet: Fleet, second_control_plane: ControlPlane
) -> None:
    plane, made = second_control_plane, fleet.hub
    made.secret("old-kubeconfig", labels={OF: "old"}, kubeconfig=embedded(plane))
    for name in ("old", "new", "newer"):
        ref = {"name": "old-kubeconfig"}
        made.target(name, authMode="kubeconfig", kubeconfigSecretRef=ref, apiServerURL=plane.url)
    for name, heir in (("old", "new"), ("new", "newer")):
        said = fleet.run("remove", name, "--yes")
        assert (said.code, said.err) == (
            0,
            f"{name}: policies on the cluster are kept, because {heir} is the same cluster\n"
            f"{name}: the Secret old-kubeconfig is kept, because {heir} uses it\n",
        )
        secret = made.writer.get("v1", "Secret", "old-kubeconfig", namespace=NAMESPACE)
        assert secret["metadata"]["labels"][OF] == heir
        assert "ownerReferences" not in secret["metadata"], "the hub would delete it with its owner"
        assert fleet.run("status", heir).code == 0
    assert fleet.run("remove", "newer", "--yes").code == 0
    assert made.writer.find("v1", "Secret", "old-kubeconfig", namespace=NAMESPACE) is None


def test_what_another_namespace_or_store_has_is_another_secret(
    fleet: Fleet, second_control_plane: ControlPlane
) -> None:
    plane, made = second_control_plane, fleet.hub
    made.secret("a-kubeconfig", labels={OF: "a"}, kubeconfig=embedded(plane))
    made.target(
        "a", authMode="kubeconfig", kubeconfigSecretRef={"name": "a-kubeconfig"}, apiServerURL=plane.url
    )
    for name, more in (("b", {"namespace": "default"}), ("c", {"store": "vault"})):
        ref = {"name": "a-kubeconfig", **more}
        made.target(name, authMode="kubeconfig", kubeconfigSecretRef=ref, apiServerURL=plane.url)
    assert fleet.run("remove", "a", "--yes").err == ""
    assert made.writer.find("v1", "Secret", "a-kubeconfig", namespace=NAMESPACE) is None


def test_a_rotation_under_the_new_name_revokes_the_token_of_the_old_one(
    fleet: Fleet, second_control_plane: ControlPlane, scanner: str
) -> None:
    plane = second_control_plane
    fleet.put("old", plane, scanner)
    assert fleet.run("rotate", "old", "--yes").code == 0
    first = fleet.token("old")
    common = {"apiServerURL": plane.url, "caData": ca(plane), "authMode": "token"}
    fleet.hub.target("new", tokenSecretRef={"name": "old-token"}, **common)
    assert fleet.run("remove", "old", "--yes").code == 0
    assert fleet.token("old") == first
    said = fleet.run("rotate", "new", "--yes")
    assert "; earlier tokens revoked: 1" in said.err
    assert fleet.run("status", "new").code == 0
    plane.tokens |= {"first": first}
    # An API server remembers for ten seconds that it accepted a token.
    until(lambda: plane.request("GET", "/api/v1/nodes", user="first").status == 401)
    left = plane.request("GET", f"{SECRETS}?labelSelector=kspec.io/token-binding=true").body["items"]
    labels = [one["metadata"]["labels"][OF] for one in left]
    assert (labels.count("old"), labels.count("new")) == (0, 1)


def test_a_hub_that_is_its_own_target_keeps_what_its_token_is_bound_to(
    fleet: Fleet, hub_cluster: HubCluster
) -> None:
    """That Secret is beside the ClusterTarget, with its label."""
    made, plane = fleet.hub, hub_cluster.plane
    made.secret("shared", token=plane.token)
    made.secret("kspec-old-1", labels={OF: "old", "kspec.io/token-binding": "true"})
    for name in ("old", "new"):
        made.target(
            name,
            authMode="token",
            tokenSecretRef={"name": "shared"},
            apiServerURL=plane.url,
            caData=ca(plane),
        )
    said = fleet.run("remove", "old", "--yes")
    assert "the Secret kspec-old-1 is kept, because new uses it" in said.err
    assert fleet.run("status", "new").code == 0
    held = made.writer.get("v1", "Secret", "shared", namespace=NAMESPACE)
    assert base64.b64decode(held["data"]["token"]).decode() == plane.token
    assert fleet.run("remove", "new", "--yes", "--orphan").code == 0
    assert made.writer.find("v1", "Secret", "kspec-old-1", namespace=NAMESPACE) is None


def test_policies_in_force_stay_with_the_new_name(fleet: Fleet, second_control_plane: ControlPlane) -> None:
    """They are refused for the last name, and for all names at once."""
    plane, made = second_control_plane, fleet.hub
    made.secret("old-kubeconfig", labels={OF: "old"}, kubeconfig=embedded(plane))
    for name in ("old", "new"):
        ref = {"name": "old-kubeconfig"}
        made.target(name, authMode="kubeconfig", kubeconfigSecretRef=ref, apiServerURL=plane.url)
    assert plane.request("POST", POLICIES, POLICY).status == 201
    both = fleet.run("remove", "old", "new", "--yes")
    assert (both.code, "1 objects of kspec are in the cluster" in both.err) == (1, True)
    assert set(fleet.allowed()) == {"old", "new"}
    said = fleet.run("remove", "old", "--yes")
    assert said.code == 0, said.err
    assert "policies on the cluster are kept, because new is the same cluster" in said.err
    assert fleet.run("remove", "new", "--yes").code == 1
    assert fleet.run("remove", "new", "--yes", "--prune").code == 0
    assert plane.request("GET", f"{POLICIES}/kspec-prod-pods").status == 404


def _target(name: str, uid: str = "", server: str = "https://a/", secret: str = "s") -> dict[str, Any]:
    spec = {"apiServerURL": server, "tokenSecretRef": {"name": secret}}
    return {"metadata": {"name": name, "namespace": "x"}, "spec": spec, "status": {"uid": uid} if uid else {}}


def test_what_is_the_same_cluster() -> None:
    others = [
        _target("uid", "1", "https://b", "t"),
        _target("rebuilt", "2"),
        _target("unseen", server="https://a"),
        _target("elsewhere", server="https://b"),
        _target("behind-another-proxy", secret="t"),
        {"metadata": {"name": "odd"}, "spec": None, "status": None},
    ]
    assert same_cluster(_target("me", "1"), others) == ["uid", "unseen"]
    assert same_cluster(_target("me"), others) == ["rebuilt", "unseen"]
