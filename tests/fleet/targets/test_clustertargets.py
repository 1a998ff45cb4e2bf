"""ClusterTargets of a real hub as sources: each kind of credentials opens a real API server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_kspec.cluster.limits import Limits
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.errors import Malformed, NotFound, SourceError, UsageError
from pytest_kspec.fleet.targets.find import Wanted, find_targets
from pytest_kspec.fleet.targets.model import Target
from pytest_kspec.fleet.targets.opening import open_target
from pytest_kspec.secretstores.allowed import Allowed, Rule
from tests.controlplane.server import ControlPlane
from tests.fleet.targets.conftest import CANARY, HubCluster, ca

QUICK = Limits(connect_timeout_s=2.0, read_timeout_s=5.0, retries=0)


def uid(plane: ControlPlane) -> str:
    return str(plane.request("GET", "/api/v1/namespaces/kube-system").body["metadata"]["uid"])


def opened(target: Target) -> str:
    """UID of the cluster that it opens."""
    source = target.open(QUICK)
    try:
        return source.info().uid
    finally:
        source.close()


def found(hub: HubCluster, **more: Any) -> dict[str, Target]:
    return {target.name: target for target in find_targets(Wanted(**more), hub.hub())}


def failure(target: Target) -> str:
    with pytest.raises(SourceError) as wrong:
        opened(target)
    assert CANARY not in str(wrong.value)
    return str(wrong.value)


def embedded(plane: ControlPlane, **user: Any) -> str:
    """A kubeconfig without files."""
    data = yaml.safe_load(plane.kubeconfig().read_text(encoding="utf-8"))
    data["clusters"][0]["cluster"] = {"server": plane.url, "certificate-authority-data": ca(plane)}
    data["users"][0]["user"] = user or {"token": plane.token}
    return yaml.safe_dump(data)


def test_each_kind_of_credentials_opens_the_cluster(
    hub: HubCluster, second_control_plane: ControlPlane
) -> None:
    plane = second_control_plane
    common = {"apiServerURL": plane.url, "caData": ca(plane)}
    hub.secret("token", token=f"{plane.token}\r\n")
    hub.target("by-token", authMode="token", tokenSecretRef={"name": "token"}, **common)
    hub.target("by-account", authMode="serviceAccount", serviceAccountSecretRef={"name": "token"}, **common)
    pair = plane.authority.issue("certified")
    binding = {
        "metadata": {"name": "certified"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "User", "name": "certified", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
    assert plane.request("POST", bindings, binding).status == 201
    hub.secret(
        "pair",
        **{"tls.crt": pair.certificate.read_text(), "tls.key": pair.key.read_text()},
    )
    hub.target(
        "by-certificate",
        authMode="clientCertificate",
        clientCertificateSecretRef={"name": "pair"},
        **common,
    )
    hub.secret("config", kubeconfig=embedded(plane))
    hub.target(
        "by-kubeconfig",
        authMode="kubeconfig",
        kubeconfigSecretRef={"name": "config"},
        apiServerURL=plane.url,
    )
    targets = found(hub)
    assert {name: opened(target) for name, target in targets.items()} == dict.fromkeys(
        ["by-account", "by-certificate", "by-kubeconfig", "by-token"], uid(plane)
    )
    plane.request("DELETE", f"{bindings}/certified")
    assert targets["by-token"].server == plane.url
    assert targets["by-token"].ref == f"target:{NAMESPACE}/by-token"


def test_names_namespaces_and_labels(hub: HubCluster) -> None:
    spec: dict[str, Any] = {
        "apiServerURL": "https://127.0.0.1:1",
        "authMode": "token",
        "tokenSecretRef": {"name": "x"},
    }
    hub.target("a", labels={"env": "prod"}, **spec)
    hub.target("a", namespace="default", labels={"env": "dev"}, suspend=True, **spec)
    everything = found(hub)
    assert list(everything) == ["a", "default/a"]
    assert (everything["a"].suspended, everything["default/a"].suspended) == (False, True)
    assert list(found(hub, selector="env=dev")) == ["default/a"]
    assert list(found(hub, namespace="default")) == ["default/a"]
    assert list(found(hub, names=("default/*",))) == ["default/a"]


def test_a_secret_of_another_namespace_is_not_read_unless_allowed(
    hub: HubCluster, second_control_plane: ControlPlane
) -> None:
    plane = second_control_plane
    hub.secret("token", token=plane.token)
    spec = {"apiServerURL": plane.url, "caData": ca(plane), "authMode": "token"}
    hub.target("thief", namespace="default", tokenSecretRef={"name": "token", "namespace": NAMESPACE}, **spec)
    target = found(hub)["default/thief"]
    assert "an object of the namespace default may not refer to kubernetes:kspec-system/token" in failure(
        target
    )
    allowed = Allowed((Rule("default", "kubernetes", f"{NAMESPACE}/token"),))
    (again,) = find_targets(Wanted(), hub.hub(allowed=allowed))
    assert opened(again) == uid(plane)


@pytest.mark.parametrize(
    ("user", "message"),
    [
        ({"exec": {"command": "sh", "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never"}},
         "may not have `exec`"),
        ({"auth-provider": {"name": "oidc"}}, "may not have `auth-provider`"),
        ({"tokenFile": "/etc/passwd"}, "may not name a file: `token-file`"),
        ({"client-certificate": "/a", "client-key": "/b"}, "may not name a file: `client-certificate`"),
        ({"username": "a", "password": CANARY}, "may not have a user name"),
        ({}, "has no credentials"),
    ],
    ids=["exec", "auth-provider", "tokenFile", "certificate", "password", "nobody"],
)  # fmt: skip
def test_a_kubeconfig_in_a_secret_names_nothing_of_this_machine(
    hub: HubCluster, second_control_plane: ControlPlane, user: dict[str, Any], message: str
) -> None:
    data = yaml.safe_load(embedded(second_control_plane))
    data["users"][0]["user"] = user
    hub.secret("config", kubeconfig=yaml.safe_dump(data))
    url = second_control_plane.url
    hub.target("t", authMode="kubeconfig", kubeconfigSecretRef={"name": "config"}, apiServerURL=url)
    assert message in failure(found(hub)["t"])


@pytest.mark.parametrize(
    ("kubeconfig", "message"),
    [
        ("a: [", "is not valid YAML"),
        (f"token: {CANARY}", "has no `current-context`"),
        (f"[{CANARY}]", "this is not a kubeconfig"),
        ("a: 1\n---\nb: 1", "more than one document"),
        ("current-context: x", "the context 'x' is not in the kubeconfig"),
        (" ", "has no `current-context`"),
    ],
)
def test_what_is_no_kubeconfig_is_not_shown(hub: HubCluster, kubeconfig: str, message: str) -> None:
    hub.secret("config", kubeconfig=kubeconfig)
    ref = {"name": "config"}
    hub.target("t", authMode="kubeconfig", kubeconfigSecretRef=ref, apiServerURL="https://127.0.0.1:1")
    assert message in failure(found(hub)["t"])


def test_two_servers_are_none(hub: HubCluster, second_control_plane: ControlPlane) -> None:
    hub.secret("config", kubeconfig=embedded(second_control_plane))
    ref = {"name": "config"}
    hub.target("t", authMode="kubeconfig", kubeconfigSecretRef=ref, apiServerURL="https://127.0.0.1:1")
    assert "apiServerURL and the kubeconfig name different servers" in failure(found(hub)["t"])


def test_what_is_missing_is_that_clusters_error(hub: HubCluster) -> None:
    spec = {"apiServerURL": "https://127.0.0.1:1", "authMode": "token"}
    hub.secret("empty", token="", other=CANARY)
    hub.secret("odd", token=f"{CANARY}\n{CANARY}")
    hub.target("none", tokenSecretRef={"name": "none"}, **spec)
    hub.target("key", tokenSecretRef={"name": "empty", "key": "x"}, **spec)
    hub.target("empty", tokenSecretRef={"name": "empty"}, **spec)
    hub.target("odd", tokenSecretRef={"name": "odd"}, **spec)
    hub.target("vault", tokenSecretRef={"name": "../x", "store": "vault"}, **spec)
    provider: dict[str, Any] = {"authMode": "provider", "credentialProvider": {"name": "sh"}}
    hub.target("provider", **spec | provider)
    said = {name: failure(target) for name, target in found(hub).items()}
    assert "the Secret does not exist" in said["none"]
    assert "the Secret has no key 'x'. It has: empty, other" not in said["key"]
    assert "It has: other, token" in said["key"]
    assert "the secret is empty" in said["empty"]
    assert "the token is empty or contains characters" in said["odd"]
    assert "this is not the name of a secret in vault" in said["vault"]
    assert "'sh' is not a credential provider of kspec" in said["provider"]


def test_an_object_that_the_server_let_in_before_is_an_error_of_its_cluster(hub: HubCluster) -> None:
    """An older definition may have accepted what ours does not."""
    from pytest_kspec.fleet.targets.clustertargets import target_of

    metadata = {"name": "old", "namespace": NAMESPACE}
    for spec in (None, {"authMode": "password", "apiServerURL": f"x{CANARY}"}, {"authMode": CANARY}):
        target = target_of(hub.hub(), {"metadata": metadata, "spec": spec})
        assert isinstance(target.problem, Malformed)
        assert "the ClusterTarget is not valid" in failure(target)


def test_a_reference_finds_its_target_in_any_process(
    hub: HubCluster, second_control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    plane = second_control_plane
    config = str(hub.plane.kubeconfig())
    hub.secret("token", token=plane.token)
    hub.target(
        "a", authMode="token", tokenSecretRef={"name": "token"}, apiServerURL=plane.url, caData=ca(plane)
    )
    for rest in ("a", f"{NAMESPACE}/a", f"{NAMESPACE}/a@{hub.plane.name}"):
        assert opened(open_target("target", rest, kubeconfig=config)) == uid(plane)
    with pytest.raises(NotFound):
        open_target("target", "none", kubeconfig=config)
    monkeypatch.setenv("KSPEC_HUB", "elsewhere")
    with pytest.raises(UsageError, match="elsewhere"):
        open_target("target", "a", kubeconfig=config)
    for rest in ("", "A", "a/b/c", "a@", "/a"):
        with pytest.raises(UsageError):
            open_target("target", rest, kubeconfig=config)


def test_a_hub_without_targets_says_what_is_missing(
    second_control_plane: ControlPlane, tmp_path: Path
) -> None:
    from pytest_kspec.fleet.targets.hub import open_hub

    hub = open_hub(second_control_plane.name, str(second_control_plane.kubeconfig()))
    with pytest.raises(SourceError, match=r"ClusterTarget in kspec\.io/v1alpha1 is not served"):
        find_targets(Wanted(), hub)
