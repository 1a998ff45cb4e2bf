"""Who sees what, by a real API server; the dashboard has the rights of config/dashboard only."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from msgspec.structs import replace

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.objects import compliancereport
from pytest_kspec.crds.schema.definitions import find
from pytest_kspec.dashboard import reports as room
from pytest_kspec.dashboard.reports import ReportsSource
from pytest_kspec.dashboard.source import StoreSource
from pytest_kspec.dashboard.viewers import AUDIENCE, Proxy, Viewers
from pytest_kspec.results.result import ScanResult
from tests.cli.conftest import ROOT
from tests.controlplane import namespaces
from tests.controlplane.server import ControlPlane
from tests.crds.conftest import Cluster
from tests.reports.results import check, cluster, finding, one, ref, scan
from tests.webhook.installed import PATHS, token

from .conftest import stored
from .serving import Client, serving

SYSTEM = "kspec-system"
USERS = ("everything", "one-cluster", "twins", "one-namespace", "nothing")


@dataclass
class Hub:
    plane: ControlPlane
    client: Client
    uid: str

    def get(self, path: str, user: str, **headers: str) -> Any:
        return self.client.get(path, Authorization=f"Bearer {token(self.plane, user)}", **headers)

    def rows(self, user: str, name: str = "results") -> list[dict[str, Any]]:
        answer = self.get(f"/api/v1/{name}?size=500", user)
        assert answer.status == 200, answer.data
        return list(answer.json()["items"])


def manifests() -> list[dict[str, Any]]:
    kubectl = Path(sys.executable).with_name("kubectl")
    done = subprocess.run(
        [kubectl, "kustomize", ROOT / "config" / "dashboard"], capture_output=True, check=True, timeout=60
    )
    return list(yaml.safe_load_all(done.stdout))


def grant(plane: ControlPlane, user: str, namespace: str, rule: dict[str, Any]) -> None:
    """A Role and its binding for a service account."""
    role = {"metadata": {"name": user}, "rules": [{"apiGroups": ["kspec.io"], **rule}]}
    bound = {
        "metadata": {"name": user},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": user},
        "subjects": [{"kind": "ServiceAccount", "name": user, "namespace": SYSTEM}],
    }
    for kind, item in (("Role", role), ("RoleBinding", bound)):
        item = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": kind, **item}
        answer = plane.request("POST", PATHS[kind].format(namespace=namespace), item)
        assert answer.status == 201, answer


def fleet(uid: str) -> ScanResult:
    twins = tuple(cluster("twin", uid=f"uid-twin-{n}") for n in (1, 2))
    return scan(cluster("hub", uid=uid), cluster("prod-eu"), *twins)


@pytest.fixture(scope="module")
def plane(etcd: Any) -> Iterator[ControlPlane]:
    with ControlPlane(etcd) as plane:
        for name in (SYSTEM, "ops"):
            namespaces.create(plane, name)
        Cluster(plane).install(find("compliancereport"))
        for item in manifests():
            if item["kind"] in PATHS:
                answer = plane.request("POST", PATHS[item["kind"]].format(namespace=SYSTEM), item)
                assert answer.status == 201, answer
        for user in USERS:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": user}}
            plane.request("POST", PATHS["ServiceAccount"].format(namespace=SYSTEM), account)
        kind = "compliancereports"
        grant(plane, "everything", SYSTEM, {"resources": [kind], "verbs": ["list"]})
        named = {"resources": [kind], "verbs": ["get"]}
        grant(plane, "one-cluster", SYSTEM, named | {"resourceNames": ["prod-eu", "twin"]})
        grant(plane, "twins", SYSTEM, named | {"resourceNames": ["uid-twin-1"]})
        grant(plane, "one-namespace", "ops", named)
        yield plane


@pytest.fixture(scope="module")
def access(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Access:
    """The cluster as the Deployment reaches it."""
    path = plane.kubeconfig(path=tmp_path_factory.mktemp("kube") / "config")
    config = yaml.safe_load(path.read_text())
    for user in config["users"]:
        user["user"] = {"token": token(plane, "kspec-dashboard")}
    path.write_text(yaml.safe_dump(config))
    return Access(plane.name, str(path))


@pytest.fixture(scope="module")
def hub(plane: ControlPlane, access: Access, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    uid = access.do(lambda writer: writer.source.info().uid)
    path = stored(tmp_path_factory.mktemp("hub") / "results.db", fleet(uid))
    proxy = Proxy.of(["127.0.0.1/32"], "X-Forwarded-User", "X-Forwarded-Groups", "oidc:", "--proxy-from")
    with serving(StoreSource(path), lambda answers: Viewers(access, answers, proxy=proxy)) as client:
        yield Hub(plane, client, uid)


def test_who_may_list_reports_sees_everything(hub: Hub) -> None:
    assert {row["cluster"] for row in hub.rows("everything")} == {"hub", "prod-eu", "twin"}
    assert len(hub.rows("everything")) == 4


def test_who_may_get_a_name_sees_that_cluster_and_no_shared_name(hub: Hub) -> None:
    assert {row["clusterId"] for row in hub.rows("twins")} == {"uid-twin-1"}
    assert {row["cluster"] for row in hub.rows("one-cluster")} == {"prod-eu"}
    for name in ("findings", "verdicts", "exemptions", "frameworks"):
        assert {row["cluster"] for row in hub.rows("one-cluster", name)} == {"prod-eu"}, name
    page = hub.get("/", "one-cluster").data.decode()
    assert "prod-eu" in page
    assert "hub" not in page
    other = hub.get(f"/cluster?cluster={hub.uid}", "one-cluster")
    assert (other.status, other.headers["Cache-Control"]) == (404, "no-store")


def test_who_may_read_a_namespace_sees_its_findings_only(hub: Hub) -> None:
    assert hub.rows("one-namespace") == hub.rows("one-namespace", "exemptions") == []
    found = hub.rows("one-namespace", "findings")
    assert {(row["clusterId"], row["namespace"]) for row in found} == {(hub.uid, "ops")}
    page = hub.get(f"/cluster?cluster={hub.uid}", "one-namespace").data.decode()
    assert "findings of these namespaces only" in page
    assert "Score" not in page
    other = hub.rows("everything", "findings")
    hidden = next(row for row in other if row["namespace"] != "ops" and row["clusterId"] == hub.uid)
    assert hub.get(f"/finding?id={hidden['id']}", "one-namespace").status == 404


@pytest.mark.parametrize("path", ["/", "/findings", "/api/v1/results", "/api/summary", "/api/failures"])
def test_who_may_nothing_gets_403_and_nothing_is_kept(hub: Hub, path: str) -> None:
    tagged = hub.get(path, "everything")
    answer = hub.get(path, "nothing", If_None_Match=tagged.headers["ETag"])
    assert (answer.status, answer.headers["Cache-Control"]) == (403, "no-store")
    assert "ETag" not in answer.headers
    assert b"prod-eu" not in answer.data


@pytest.mark.parametrize(
    "sent", ["", "Bearer", "Bearer wrong", "Bearer a b", "Basic YTpi", "Bearer " + "x" * 20_000]
)
def test_who_is_not_known_gets_401(hub: Hub, sent: str) -> None:
    answer = hub.client.get("/api/v1/results", Authorization=sent)
    assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
    page = hub.client.get("/", Authorization=sent, Accept="text/html")
    assert (page.status, page.headers["Location"]) == (303, "/login")


def test_signing_in_and_out(hub: Hub) -> None:
    mine = token(hub.plane, "everything", audience=AUDIENCE)
    form = f"token={mine}".encode()
    wrong = hub.client.get("/login", "POST", form, Origin="https://evil.example")
    assert (wrong.status, "Set-Cookie" in wrong.headers) == (403, False)
    refused = hub.client.get("/login", "POST", b"token=nonsense")
    assert (refused.status, "Set-Cookie" in refused.headers) == (401, False)
    answer = hub.client.get("/login", "POST", form, Origin=hub.client.address)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith(f"kspec={mine}; HttpOnly; Max-Age=")
    assert "SameSite=strict" in cookie
    far = hub.client.get("/login", "POST", form, Host="dashboard.example.com")
    assert far.headers["Set-Cookie"].startswith("__Host-kspec=")
    assert far.headers["Set-Cookie"].endswith("Secure")
    page = hub.client.page("/", Cookie=f"kspec={mine}")
    assert "Sign out" in page
    assert mine not in page
    out = hub.client.get("/logout", "POST", b"", Cookie=f"kspec={mine}")
    assert "Max-Age=0" in out.headers["Set-Cookie"]


def test_a_proxy_names_its_users_and_no_one_of_the_system(hub: Hub) -> None:
    grant_user = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "oidc"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "everything"},
        "subjects": [{"kind": "Group", "name": "oidc:auditors", "apiGroup": "rbac.authorization.k8s.io"}],
    }
    assert hub.plane.request("POST", PATHS["RoleBinding"].format(namespace=SYSTEM), grant_user).status == 201
    ask = hub.client.get
    named = {"X_Forwarded_User": "jane", "X_Forwarded_Groups": "dev, auditors"}
    assert ask("/api/v1/results", **named).json()["total"] == 4
    assert ask("/api/v1/results", X_Forwarded_User="jane").status == 403
    masters = {"X_Forwarded_User": "jane", "X_Forwarded_Groups": "system:masters"}
    assert ask("/api/v1/results", **masters).status == 403


def test_a_dashboard_that_may_not_ask_shows_nothing(hub: Hub, plane: ControlPlane, tmp_path: Path) -> None:
    path = plane.kubeconfig(path=tmp_path / "config")
    config = yaml.safe_load(path.read_text())
    for user in config["users"]:
        user["user"] = {"token": token(plane, "nothing")}
    path.write_text(yaml.safe_dump(config))
    access = Access(plane.name, str(path))
    store = stored(tmp_path / "results.db", one())
    with serving(StoreSource(store), lambda answers: Viewers(access, answers)) as client:
        answer = client.get("/api/v1/results", Authorization=f"Bearer {token(plane, 'everything')}")
    assert (answer.status, answer.headers["Cache-Control"]) == (503, "no-store")
    assert "TokenReview was rejected" in answer.json()["error"]


def wide() -> ScanResult:
    """More findings than a report can hold."""
    many = tuple(
        finding(ref("Deployment", f"service-{n:05}"), "spec.replicas", n, "must be " + "x" * 200)
        for n in range(3000)
    )
    made = check("network.defaultDeny", "Each namespace denies by default", "high", "fail", findings=many)
    return replace(scan(cluster("wide", uid="uid-wide", checks=(made,))), finished_at="2026-11-25T06:00:00Z")


def test_reports_of_a_cluster_are_shown_as_a_store_would(
    plane: ControlPlane, access: Access, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(room, "REFRESH_S", 0.0)
    admin = Cluster(plane).writer
    for result in (one(), wide()):
        made = compliancereport.build(result.clusters[0], result.finished_at)
        made.pop("status")
        admin.apply(made)
    admin.apply(
        {
            "apiVersion": compliancereport.API_VERSION,
            "kind": "ComplianceReport",
            "metadata": {"name": "of-v03", "namespace": SYSTEM},
            "spec": {
                "clusterSpecRef": {"name": "old", "version": "1"},
                "clusterName": "local",
                "scanTime": "2026-01-03T10:00:00Z",
                "summary": {"total": 2, "passed": 1, "failed": 1, "passRate": 50},
                "results": [
                    {"name": "pod-security", "status": "Fail", "severity": "High", "message": "2 pods"},
                    {"name": "network", "status": "Pass"},
                ],
            },
        }
    )
    with (
        serving(ReportsSource(access)) as client,
        serving(StoreSource(stored(tmp_path / "s.db", one(), wide()))) as other,
    ):
        mine, theirs = client.json("/api/v1/results"), other.json("/api/v1/results")
        assert [row for row in mine["items"] if row["cluster"] != "local"] == theirs["items"]
        assert {row["cluster"]: row["findings"] for row in mine["items"]}["wide"] == 3000
        (old,) = client.json("/api/v1/results?q=local")["items"]
        assert (old["state"], old["pass"], old["fail"]) == ("fail", 1, 1)
        some = "/api/v1/findings?q=prod-eu&size=500"
        assert [row["what"] for row in client.json(some)["items"]] == [
            row["what"] for row in other.json(some)["items"]
        ]
        for found in admin.list(compliancereport.API_VERSION, "ComplianceReport", namespace=SYSTEM):
            admin.delete(
                compliancereport.API_VERSION,
                "ComplianceReport",
                found["metadata"]["name"],
                namespace=SYSTEM,
            )
        assert client.json("/api/v1/results")["items"] == []
