"""`kspec cluster enable | disable | rotate | remove`: shown first, in waves, on real API servers."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cli.commands import cluster_change
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.errors import SourceUnavailable
from pytest_kspec.fleet.targets.find import Wanted, find_targets
from pytest_kspec.fleet.targets.waves import Done, roll_out, waves
from tests.cli.conftest import Kspec, Said
from tests.controlplane.server import ControlPlane
from tests.fleet.targets.conftest import KIND, HubCluster, ca, hub, hub_cluster
from tests.operator.conftest import until

__all__ = ["hub", "hub_cluster"]

POLICY = {
    "apiVersion": "admissionregistration.k8s.io/v1",
    "kind": "ValidatingAdmissionPolicy",
    "metadata": {"name": "kspec-prod-pods", "labels": {"kspec.io/generated": "true"}},
    "spec": {
        "matchConstraints": {
            "resourceRules": [
                {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}
            ]
        },
        "validations": [{"expression": "true"}],
    },
}
POLICIES = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies"
ACCOUNT = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "scanner-of-tests"},
    "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
    "subjects": [{"kind": "ServiceAccount", "name": "scanner", "namespace": "default"}],
}
BINDINGS = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
SECRETS = "/api/v1/namespaces/default/secrets"


class Fleet:
    """ClusterTargets of a hub, and the command about them."""

    def __init__(self, hub: HubCluster, kspec: Kspec) -> None:
        self.hub = hub
        self._kspec = kspec

    def run(self, *words: str) -> Said:
        return self._kspec("cluster", *words, "--kubeconfig", self.hub.plane.kubeconfig())

    def put(self, name: str, plane: ControlPlane | None, token: str = "", **spec: Any) -> None:
        server = (
            {"apiServerURL": plane.url, "caData": ca(plane)}
            if plane
            else {"apiServerURL": "https://127.0.0.1:1"}
        )
        if plane:
            self.hub.secret(f"{name}-token", token=token or plane.token)
        ref = {"name": f"{name}-token" if plane else "none"}
        self.hub.target(name, labels={"fleet": "x"}, authMode="token", tokenSecretRef=ref, **server, **spec)

    def allowed(self) -> dict[str, bool]:
        found = self.hub.writer.list(*KIND, namespace=NAMESPACE)
        return {one["metadata"]["name"]: one["spec"]["allowEnforcement"] for one in found}

    def token(self, name: str) -> str:
        secret = self.hub.writer.get("v1", "Secret", f"{name}-token", namespace=NAMESPACE)
        return base64.b64decode(secret["data"]["token"]).decode()


@pytest.fixture
def fleet(hub: HubCluster, kspec: Kspec) -> Fleet:
    return Fleet(hub, kspec)


@pytest.fixture
def scanner(second_control_plane: ControlPlane) -> Iterator[str]:
    """A token of a ServiceAccount that may everything."""
    plane = second_control_plane
    plane.request("POST", ACCOUNTS, {"metadata": {"name": "scanner"}})
    plane.request("POST", BINDINGS, ACCOUNT)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    yield str(plane.request("POST", f"{ACCOUNTS}/scanner/token", request).body["status"]["token"])
    plane.request("DELETE", f"{SECRETS}?labelSelector=kspec.io/token-binding=true")
    plane.request("DELETE", f"{BINDINGS}/scanner-of-tests")
    plane.request("DELETE", f"{ACCOUNTS}/scanner")


def test_enforcement_is_allowed_in_waves_and_goes_on_where_it_stopped(
    fleet: Fleet, second_control_plane: ControlPlane
) -> None:
    for name in ("a", "c", "d"):
        fleet.put(name, second_control_plane)
    fleet.put("b", None)
    said = fleet.run("enable", "-l", "fleet=x")
    assert (said.code, set(fleet.allowed().values())) == (4, {False})
    assert "Add --yes" in said.err
    assert fleet.run("enable", "-l", "fleet=x", "--dry-run").out.splitlines()[-1] == (
        "nothing was changed (--dry-run)"
    )
    said = fleet.run("enable", "-l", "fleet=x", "--yes")
    assert said.code == 1
    assert said.out.splitlines() == [
        *(
            f"will enable {name}   {second_control_plane.url if name != 'b' else 'https://127.0.0.1:1'}"
            for name in "abcd"
        ),
        "enable: a (wave 1 of 4)",
        "1 done, 1 failed, 2 not tried",
    ]
    assert "b: the Secret does not exist" not in said.err
    assert "the Secret does not exist" in said.err
    assert fleet.allowed() == {"a": True, "b": False, "c": False, "d": False}
    said = fleet.run("enable", "a", "c", "d", "--yes")
    assert said.code == 0
    assert said.out.splitlines()[2:] == [
        "1 skipped: no change needed",
        "enable: c (wave 1 of 2)",
        "enable: d (wave 2 of 2)",
        "2 done, 0 failed, 0 not tried",
    ]
    assert fleet.run("disable", "*", "--yes").code == 0
    assert fleet.allowed() == dict.fromkeys("abcd", False)
    assert fleet.run("disable", "*", "--yes").out.splitlines() == [
        "4 skipped: no change needed",
        "nothing to do",
    ]


def test_the_rights_of_the_engine_that_is_meant_are_proven(
    fleet: Fleet, second_control_plane: ControlPlane
) -> None:
    """Who may write ValidatingAdmissionPolicies only, on a cluster without Kyverno."""
    plane = second_control_plane
    roles = "/apis/rbac.authorization.k8s.io/v1/clusterroles"
    rule = {
        "apiGroups": ["admissionregistration.k8s.io"],
        "resources": ["validatingadmissionpolicies", "validatingadmissionpolicybindings"],
        "verbs": ["list", "patch", "delete"],
    }
    plane.request("POST", ACCOUNTS, {"metadata": {"name": "policies"}})
    plane.request("POST", roles, {"metadata": {"name": "policies-of-tests"}, "rules": [rule]})
    binding = {
        "metadata": {"name": "policies-of-tests"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "policies-of-tests",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "policies", "namespace": "default"}],
    }
    plane.request("POST", BINDINGS, binding)
    try:
        request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
        token = plane.request("POST", f"{ACCOUNTS}/policies/token", request).body["status"]["token"]
        fleet.put("a", plane, token=str(token))
        said = fleet.run("enable", "a", "--yes")
        assert (said.code, fleet.allowed()) == (1, {"a": False})
        assert "create validatingadmissionpolicies.admissionregistration.k8s.io" in said.err
        body = {"rules": [{**rule, "verbs": [*rule["verbs"], "create"]}]}
        assert plane.request("PATCH", f"{roles}/policies-of-tests", body).status == 200
        said = fleet.run("enable", "a", "--yes", "--engine", "kyverno")
        assert (said.code, "validatingpolicies.policies.kyverno.io is not served" in said.err) == (1, True)
        said = fleet.run("enable", "a", "--yes", "--engine", "vap", "--engine", "webhook")
        assert (said.code, "create deployments.apps in kspec-system" in said.err) == (1, True)
        assert "validatingadmissionpolicies" not in said.err
        assert fleet.run("enable", "a", "--yes", "--engine", "job").code == 4
        assert fleet.allowed() == {"a": False}
        said = fleet.run("enable", "a", "--yes")
        assert (said.code, fleet.allowed()) == (0, {"a": True}), said.err
    finally:
        plane.request("DELETE", f"{BINDINGS}/policies-of-tests")
        plane.request("DELETE", f"{roles}/policies-of-tests")
        plane.request("DELETE", f"{ACCOUNTS}/policies")


def test_a_cluster_with_our_policies_is_not_removed(fleet: Fleet, second_control_plane: ControlPlane) -> None:
    plane = second_control_plane
    fleet.put("a", plane)
    fleet.put("dead", None)
    assert plane.request("POST", POLICIES, POLICY).status == 201
    said = fleet.run("remove", "a", "--yes")
    assert said.code == 1
    assert (
        "1 objects of kspec are in the cluster, among them ValidatingAdmissionPolicy kspec-prod-pods"
        in said.err
    )
    assert set(fleet.allowed()) == {"a", "dead"}
    assert fleet.run("remove", "dead", "--yes").code == 1, "what cannot be looked at may have them"
    assert fleet.run("remove", "dead", "--yes", "--orphan").code == 0
    said = fleet.run("remove", "a", "--yes", "--prune")
    assert (said.code, said.err) == (0, "a: removed ValidatingAdmissionPolicy kspec-prod-pods\n")
    assert fleet.allowed() == {}
    assert plane.request("GET", f"{POLICIES}/kspec-prod-pods").status == 404


def test_a_removal_that_is_killed_leaves_no_credentials_behind(
    fleet: Fleet, second_control_plane: ControlPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the ClusterTarget and its Secret: the hub's garbage collector finds the Secret by its owner."""
    fleet.put("a", second_control_plane)
    hub = fleet.hub
    hub.secret("a-kubeconfig", labels={"kspec.io/cluster-target": "a"}, kubeconfig="x")
    (target,) = find_targets(Wanted(("a",)), hub.hub())
    delete = Writer.delete

    def killed(self: Writer, api_version: str, kind: str, name: str, **more: Any) -> bool:
        if kind == "Secret":
            raise KeyboardInterrupt
        return delete(self, api_version, kind, name, **more)

    uid = hub.writer.get(*KIND, "a", namespace=NAMESPACE)["metadata"]["uid"]
    with monkeypatch.context() as patched:
        patched.setattr(Writer, "delete", killed)
        with pytest.raises(KeyboardInterrupt):
            cluster_change._delete(hub.hub(), target)
    assert hub.writer.find(*KIND, "a", namespace=NAMESPACE) is None
    secret = hub.writer.get("v1", "Secret", "a-kubeconfig", namespace=NAMESPACE)
    assert [one["uid"] for one in secret["metadata"]["ownerReferences"]] == [uid]


def test_policies_are_applied_where_that_is_allowed(
    fleet: Fleet, second_control_plane: ControlPlane, write_spec: Callable[..., Path]
) -> None:
    plane = second_control_plane
    fleet.put("a", plane, allowEnforcement=True)
    fleet.put("b", plane)
    spec = str(write_spec("podSecurity: {enforce: baseline}"))
    said = fleet.run("sync", "a", "b", "-s", spec, "--mode", "audit", "--yes")
    assert said.code == 0, said.err
    assert said.out.splitlines()[:2] == [f"will sync a   {plane.url}", "1 skipped: not allowed there"]
    made = plane.request("GET", POLICIES).body["items"]
    assert {one["metadata"]["labels"]["kspec.io/cluster-spec"] for one in made} == {"shop"}
    assert fleet.run("remove", "a", "--yes", "--prune").code == 0
    assert plane.request("GET", POLICIES).body["items"] == []
    assert fleet.run("sync", "b", "--yes").code == 4


def test_no_command_applies_policies_where_that_is_not_allowed(
    fleet: Fleet, second_control_plane: ControlPlane, write_spec: Callable[..., Path], kspec: Kspec
) -> None:
    fleet.put("b", second_control_plane)
    words = (
        "--cluster",
        "target:b",
        "--kubeconfig",
        fleet.hub.plane.kubeconfig(),
        "--mode",
        "audit",
        "--yes",
    )
    said = kspec("enforce", write_spec("podSecurity: {enforce: baseline}"), *words)
    assert said.code == 2
    assert "allowEnforcement of the ClusterTarget b is not set" in said.err
    assert second_control_plane.request("GET", POLICIES).body["items"] == []


def test_a_token_is_replaced_and_the_one_before_is_revoked(
    fleet: Fleet, second_control_plane: ControlPlane, scanner: str
) -> None:
    plane = second_control_plane
    fleet.put("a", plane, scanner)
    # Of a hub that is its own target, the credentials themselves are in a Secret with this label.
    beside = {"name": "a-kubeconfig", "labels": {"kspec.io/cluster-target": "a"}}
    made = plane.request("POST", SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": beside})
    assert made.status == 201
    said = fleet.run("rotate", "a", "--yes", "--lifetime", "1h")
    assert said.code == 0, said.err
    assert "a: a token of default/scanner, valid until " in said.err
    first = fleet.token("a")
    assert first != scanner
    said = fleet.run("rotate", "a", "--yes")
    assert "; earlier tokens revoked: 1" in said.err
    second = fleet.token("a")
    assert second not in (first, scanner)
    for token in (first, second, scanner):
        assert token not in said.out + said.err
    plane.tokens |= {"first": first, "second": second}
    assert plane.request("GET", "/api/v1/nodes", user="second").status == 200
    # An API server remembers for ten seconds that it accepted a token.
    until(lambda: plane.request("GET", "/api/v1/nodes", user="first").status == 401)
    left = plane.request("GET", f"{SECRETS}?labelSelector=kspec.io/cluster-target=a").body["items"]
    assert sorted(one["type"] for one in left) == ["Opaque", "kspec.io/token-binding"]
    plane.request("DELETE", f"{SECRETS}/a-kubeconfig")


def test_what_cannot_be_replaced_stays(fleet: Fleet, second_control_plane: ControlPlane) -> None:
    fleet.put("user", second_control_plane)
    said = fleet.run("rotate", "user", "--yes")
    assert said.code == 1
    assert "the credentials are admin, which is not a ServiceAccount" in said.err
    assert fleet.token("user") == second_control_plane.token
    fleet.hub.target(
        "p", apiServerURL="https://127.0.0.1:1", authMode="provider", credentialProvider={"name": "eks"}
    )
    assert "authMode provider has no token that kspec could replace" in fleet.run("rotate", "p", "--yes").err
    assert fleet.run("rotate", "user", "--yes", "--lifetime", "48h").code == 4


@pytest.mark.parametrize(
    "words",
    [
        ("enable",),
        ("remove", "a", "--prune", "--orphan"),
        ("disable", "--from", "contexts", "a"),
        ("enable", "none"),
    ],
)
def test_usage(fleet: Fleet, words: tuple[str, ...]) -> None:
    said = fleet.run(*words, "--yes")
    assert (said.code, said.out) == (4, "")


def test_waves() -> None:
    assert [len(wave) for wave in waves(list(range(25)))] == [3, 3, 3, 3, 3, 3, 3, 3, 1]
    assert [len(wave) for wave in waves(list(range(3)))] == [1, 1, 1]
    assert waves([]) == []
    tried = []

    def change(number: int) -> None:
        tried.append(number)
        if number == 4:
            raise SourceUnavailable("no")

    done = list(roll_out(range(30), str, change))
    assert tried == [0, 1, 2, 3, 4, 5], "a wave is ended, and no other is begun"
    assert [(one.name, one.wave) for one in done if one.problem] == [("4", 2)]
    assert done[0] == Done("0", 1, None)
