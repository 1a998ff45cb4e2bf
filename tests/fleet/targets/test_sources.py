"""Cluster Secrets of Argo CD and ClusterProfiles of a real hub: what others wrote, and what kspec takes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cli.scan_run import scan_result
from pytest_kspec.cluster.writing.reviewing import who_am_i
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.errors import SourceError
from pytest_kspec.fleet.targets.argocd import IN_CLUSTER
from pytest_kspec.fleet.targets.find import Wanted, find_targets
from pytest_kspec.fleet.targets.model import Target
from pytest_kspec.fleet.targets.opening import open_target
from pytest_kspec.fleet.targets.providers import ExecProvider, Provider, Providers
from pytest_kspec.results.verdict import Verdict
from tests.controlplane.certificates import Authority
from tests.controlplane.served import wait_until_served
from tests.controlplane.server import ControlPlane
from tests.crds.conftest import CRD
from tests.fleet.targets.conftest import CANARY, HubCluster, b64, ca
from tests.fleet.targets.test_clustertargets import QUICK, opened, uid

SECRET = {"argocd.argoproj.io/secret-type": "cluster", "env": "prod"}
PROFILE = {
    "apiVersion": CRD[0],
    "kind": CRD[1],
    "metadata": {
        "name": "clusterprofiles.multicluster.x-k8s.io",
        "annotations": {"api-approved.kubernetes.io": "unapproved, of tests"},
    },
    "spec": {
        "group": "multicluster.x-k8s.io",
        "scope": "Namespaced",
        "names": {"kind": "ClusterProfile", "plural": "clusterprofiles"},
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}


def argo(hub: HubCluster, name: str, server: str, config: Any, **more: str) -> None:
    text = config if isinstance(config, str) else json.dumps(config)
    hub.secret(name, labels=SECRET, name=f"argo-{name}", server=server, config=text, **more)


def found(hub: HubCluster, source: str, providers: Providers | None = None) -> dict[str, Target]:
    wanted = Wanted(sources=(source,), namespace=NAMESPACE)
    return {target.name: target for target in find_targets(wanted, hub.hub(providers))}


def failure(target: Target) -> str:
    with pytest.raises(SourceError) as wrong:
        opened(target)
    assert CANARY not in str(wrong.value)
    return str(wrong.value)


def test_clusters_of_argo_cd_are_opened(hub: HubCluster, second_control_plane: ControlPlane) -> None:
    plane = second_control_plane
    config = {"bearerToken": plane.token, "tlsClientConfig": {"insecure": False, "caData": ca(plane)}}
    argo(hub, "a", plane.url, config, namespaces="one,two")
    hub.secret("other", config="{}")
    (target,) = found(hub, "argocd").values()
    assert (target.name, target.server, target.labels) == ("argo-a", plane.url, {"env": "prod"})
    assert target.note == "Argo CD manages only its namespaces one,two."
    assert opened(target) == uid(plane)


def test_a_client_certificate_beside_a_token(
    hub: HubCluster, second_control_plane: ControlPlane, tmp_path: Path
) -> None:
    """Both are sent, as Argo CD does: a certificate that the API server knows is who it is, else the token is."""
    plane = second_control_plane
    (tmp_path / "other").mkdir()
    for name, authority in (("known", plane.authority), ("stale", Authority(tmp_path / "other"))):
        pair = authority.issue(f"certified-{name}")
        tls = {"certData": b64(pair.certificate.read_text()), "keyData": b64(pair.key.read_text())}
        config = {"bearerToken": plane.token, "tlsClientConfig": {"caData": ca(plane), **tls}}
        argo(hub, name, plane.url, config)
    argo(hub, "alone", plane.url, {"tlsClientConfig": {"caData": ca(plane), **tls}})
    targets = found(hub, "argocd")
    assert [identity(targets[f"argo-{name}"])[0] for name in ("known", "stale")] == [
        "certified-known",
        "admin",
    ]
    assert "(401)" in identity(targets["argo-alone"])[1]


def identity(target: Target) -> tuple[str, str]:
    """Whose the credentials are, or why nobody can say."""
    source = target.open(QUICK)
    try:
        return who_am_i(source).username, ""
    except SourceError as error:
        return "", str(error)
    finally:
        source.close()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"username": "a", "password": CANARY}, "has a user name and a password"),
        ({"execProviderConfig": {"command": "sh", "args": ["-c", CANARY]}}, "names a program"),
        ({"awsAuthConfig": {"clusterName": "prod"}}, "'eks' is not a credential provider of kspec"),
        ({"bearerToken": CANARY, "tlsClientConfig": {"insecure": True, "caData": b64("x")}}, "cannot be combined"),
        ({"bearerToken": CANARY, "tlsClientConfig": {"caData": f"!{CANARY}"}}, "`caData` is not base64"),
        ({"tlsClientConfig": {"certData": b64("x")}}, "requires `client-key`"),
        ({"bearerToken": [CANARY]}, "does not have the form of Argo CD"),
        (f"{{{CANARY}", "does not have the form of Argo CD"),
        ({}, "has no credentials"),
        ({"bearerToken": CANARY, "proxyUrl": f"ftp://u:{CANARY}@p"}, "`proxy-url` cannot be used"),
    ],
)  # fmt: skip
def test_what_of_argo_cd_is_not_taken(hub: HubCluster, config: Any, message: str) -> None:
    argo(hub, "a", "https://127.0.0.1:1", config)
    assert message in failure(found(hub, "argocd")["argo-a"])


def test_the_cluster_of_argo_cd_itself_has_no_credentials(hub: HubCluster) -> None:
    argo(hub, "a", IN_CLUSTER, {"tlsClientConfig": {"insecure": False}})
    argo(hub, "b", IN_CLUSTER, {"bearerToken": CANARY})
    targets = found(hub, "argocd")
    assert "it is the cluster in which Argo CD runs. 'kspec fleet scan --source hub'" in failure(
        targets["argo-a"]
    )
    assert "in which Argo CD runs" not in failure(targets["argo-b"]), "what has a token is tried"


SPEC = """\
apiVersion: kspec.dev/v1
kind: ClusterSpecification
metadata: {name: seen, version: 1.0.0}
spec:
  network: {allowedServiceTypes: [ClusterIP]}
  rbac: {forbiddenRules: [{verbs: ["*"], resource: "*"}]}
"""
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces/default"
ROLE = {
    "metadata": {"name": "argo"},
    "rules": [
        {
            "apiGroups": ["", "rbac.authorization.k8s.io"],
            "resources": ["*"],
            "verbs": ["get", "list", "watch"],
        }
    ],
}
BINDING = {
    "metadata": {"name": "argo"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "argo"},
    "subjects": [{"kind": "ServiceAccount", "name": "argo", "namespace": "default"}],
}


def test_some_namespaces_of_a_cluster_are_not_the_cluster(
    hub: HubCluster, second_control_plane: ControlPlane, tmp_path: Path
) -> None:
    """What cannot be read beyond them is an error of each requirement, and none passes for what is in them."""
    plane, accounts = second_control_plane, "/api/v1/namespaces/default/serviceaccounts"
    made = {f"{RBAC}/roles": ROLE, f"{RBAC}/rolebindings": BINDING, accounts: {"metadata": {"name": "argo"}}}
    try:
        for path, body in made.items():
            assert plane.request("POST", path, body).status == 201
        token = plane.request("POST", f"{accounts}/argo/token", {"spec": {}}).body["status"]["token"]
        config = {"bearerToken": token, "tlsClientConfig": {"caData": ca(plane)}}
        argo(hub, "some", plane.url, config, namespaces="default", clusterResources="false")
        (tmp_path / "spec.yaml").write_text(SPEC)
        source = found(hub, "argocd")["argo-some"].open(QUICK)
        try:
            names = [str(tmp_path / "spec.yaml")]
            (cluster,) = scan_result(names, clusters=["some"], opened={"some": source}).clusters
        finally:
            source.close()
    finally:
        for path in made:
            plane.request("DELETE", f"{path}/argo")
    assert [check.verdict for check in cluster.checks] == [Verdict.ERROR] * 2
    assert all("forbidden" in check.reason for check in cluster.checks)


def test_a_cluster_of_argo_cd_is_named_by_its_secret(hub: HubCluster) -> None:
    """Argo CD calls it otherwise, and so does every table."""
    with pytest.raises(SourceError) as wrong:
        opened(open_target("argocd", f"{NAMESPACE}/argo-two", hub=hub.hub()))
    assert "argocd:NAME has the name of the Secret: see `ref` in 'kspec cluster list" in str(wrong.value)


def test_a_cluster_of_argo_cd_that_is_renamed_keeps_its_token(
    hub: HubCluster, second_control_plane: ControlPlane
) -> None:
    """Also where somebody else took its former name."""
    plane = second_control_plane
    config = {"bearerToken": plane.token, "tlsClientConfig": {"caData": ca(plane)}}
    argo(hub, "one", plane.url, config)
    hub.writer.patch("v1", "Secret", "one", {"stringData": {"name": "prod"}}, namespace=NAMESPACE)
    argo(hub, "two", plane.url, {**config, "bearerToken": "another"})
    hub.writer.patch("v1", "Secret", "two", {"stringData": {"name": "argo-one"}}, namespace=NAMESPACE)
    targets = found(hub, "argocd")
    assert (identity(targets["prod"])[0], targets["prod"].ref) == ("admin", f"argocd:{NAMESPACE}/one")
    assert "(401)" in identity(targets["argo-one"])[1]
    again = open_target("argocd", f"{NAMESPACE}/one", hub=hub.hub())
    assert opened(again) == uid(plane)


def test_a_secret_of_argo_cd_without_a_server_is_named(hub: HubCluster) -> None:
    hub.secret("broken", labels=SECRET, config="{}")
    assert "the Secret has no key 'server'" in failure(found(hub, "argocd")["broken"])


@pytest.fixture
def profiles(hub: HubCluster) -> Iterator[HubCluster]:
    hub.writer.apply(PROFILE, field_manager="test")
    wait_until_served(hub.writer, "multicluster.x-k8s.io/v1alpha1", "ClusterProfile")
    yield hub
    hub.clear()
    hub.writer.delete(*CRD, "clusterprofiles.multicluster.x-k8s.io")


def profile(hub: HubCluster, name: str, status: Any) -> None:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"env": "prod"}}
    head = {"apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ClusterProfile"}
    hub.put({**head, "metadata": metadata, "status": status})


def test_clusters_of_the_inventory_are_opened_by_a_listed_program(
    profiles: HubCluster, second_control_plane: ControlPlane, tmp_path: Path
) -> None:
    plane = second_control_plane
    helper = tmp_path / "helper"
    answer = {"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1"}
    said = json.dumps({**answer, "status": {"token": plane.token}})
    helper.write_text(f"#!/bin/sh\necho \"$1 $KUBERNETES_EXEC_INFO\" > {tmp_path}/asked\necho '{said}'\n")
    helper.chmod(0o700)
    program = ExecProvider(str(helper), ("{clusterName}",), pass_cluster_info=True)
    providers = Providers((Provider("ours", ("127.0.0.1",), exec=program),))
    extension = {"name": "client.authentication.k8s.io/exec", "extension": {"region": "eu"}}
    cluster = {"server": plane.url, "certificate-authority-data": ca(plane), "extensions": [extension]}
    access = [{"name": "foreign", "cluster": {"server": "https://x"}}, {"name": "ours", "cluster": cluster}]
    properties = [{"name": "clusterName", "value": "prod"}, {"name": "a.b/region", "value": "eu"}]
    profile(profiles, "a", {"accessProviders": access, "properties": properties})
    profile(profiles, "old", {"credentialProviders": access, "properties": properties})
    profile(profiles, "foreign", {"accessProviders": access[:1]})
    profile(profiles, "odd", {"accessProviders": [{"name": 1}]})
    targets = found(profiles, "clusterprofile", providers)
    assert list(targets) == [f"{NAMESPACE}/{name}" for name in ("a", "foreign", "odd", "old")]
    assert targets[f"{NAMESPACE}/a"].labels == {"env": "prod", "clusterName": "prod", "a.b/region": "eu"}
    for name in ("a", "old"):
        assert opened(targets[f"{NAMESPACE}/{name}"]) == uid(plane)
    first, _, info = (tmp_path / "asked").read_text().partition(" ")
    assert first == "prod"
    assert json.loads(info)["spec"]["cluster"]["config"] == {"region": "eu"}
    assert "no credential provider of kspec can access this cluster" in failure(
        targets[f"{NAMESPACE}/foreign"]
    )
    assert "is malformed" in failure(targets[f"{NAMESPACE}/odd"])
