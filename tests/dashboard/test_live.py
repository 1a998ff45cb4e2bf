"""Who sees what, by a real API server; the dashboard has the rights of config/dashboard only."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
import yaml
from msgspec.structs import replace

from pytest_kspec import clock
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.objects import compliancereport
from pytest_kspec.crds.schema.definitions import find
from pytest_kspec.dashboard import reports as room
from pytest_kspec.dashboard.reports import ReportsSource
from pytest_kspec.dashboard.source import StoreSource
from pytest_kspec.dashboard.viewers import (
    AUDIENCE,
    KNOWN_S,
    REFUSED_S,
    Proxy,
    Viewers,
    _known_for,
)
from pytest_kspec.errors import StoreError
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
NOTHING = "system:serviceaccount:kspec-system:nothing"
USERS = ("everything", "one-cluster", "twins", "one-namespace", "nothing")


@dataclass
class Hub:
    plane: ControlPlane
    client: Client
    uid: str

    def get(self, path: str, user: str, **headers: str) -> Any:
        return self.client.get(
            path, "GET", None, Authorization=f"Bearer {token(self.plane, user)}", **headers
        )

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
        definition = find("compliancereport")
        assert definition is not None
        Cluster(plane).install(definition)
        for item in manifests():
            if item["kind"] in PATHS:
                answer = plane.request("POST", PATHS[item["kind"]].format(namespace=SYSTEM), item)
                assert answer.status == 201, answer
        for user in USERS:
            account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": user}}
            plane.request("POST", PATHS["ServiceAccount"].format(namespace=SYSTEM), account)
        kind = "compliancereports"
        grant(plane, "everything", SYSTEM, {"resources": [kind], "verbs": ["list"]})
        named: dict[str, Any] = {"resources": [kind], "verbs": ["get"]}
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
    ask: Callable[..., Any] = hub.client.get
    named = {"X_Forwarded_User": "jane", "X_Forwarded_Groups": "dev, auditors"}
    assert ask("/api/v1/results", **named).json()["total"] == 4
    assert ask("/api/v1/results", X_Forwarded_User="jane").status == 403
    masters: dict[str, Any] = {"X_Forwarded_User": "jane", "X_Forwarded_Groups": "system:masters"}
    assert ask("/api/v1/results", **masters).status == 403


def test_headers_of_a_proxy_count_from_its_address_only(
    plane: ControlPlane, access: Access, tmp_path: Path
) -> None:
    proxy = Proxy.of(["192.0.2.0/24"], "X-Forwarded-User", "X-Forwarded-Groups", "oidc:", "--proxy-from")
    store = StoreSource(stored(tmp_path / "results.db", one()))
    forged: dict[str, Any] = {
        "X_Forwarded_User": "jane",
        "X_Forwarded_Groups": "auditors",
        "X_Forwarded_For": "192.0.2.7",
    }
    with serving(store, lambda answers: Viewers(access, answers, proxy=proxy)) as client:
        assert client.get("/api/v1/results", **forged).status == 401
        mine = f"Bearer {token(plane, 'nothing')}"
        answer = client.get("/api/v1/results", Authorization=mine, **forged)
        assert (answer.status, answer.json()["error"].split(" may ")[0]) == (403, f"The user {NOTHING}")


class Breaking(StoreSource):
    """A store that is away when it is told to."""

    away = False

    def read(self, ask: Any) -> Any:
        if self.away:
            raise StoreError("connection refused.")
        return super().read(ask)


@pytest.mark.parametrize("path", ["/", "/findings", "/api/v1/results", "/api/summary"])
def test_nothing_of_one_viewer_is_shown_to_another(
    plane: ControlPlane, access: Access, tmp_path: Path, path: str
) -> None:
    """Not by the server's memory, when the store is away, and not by a tag."""
    source = Breaking(stored(tmp_path / "results.db", fleet("uid-hub")))
    headers = {
        user: f"Bearer {token(plane, user)}" for user in ("everything", "one-cluster", "twins", "nothing")
    }
    with serving(source, lambda answers: Viewers(access, answers)) as client:

        def get(user: str, **more: str) -> Any:
            return client.get(path, "GET", None, Authorization=headers[user], **more)

        first, second = get("everything"), get("one-cluster")
        assert first.headers["ETag"] != second.headers["ETag"]
        assert {"Authorization", "Cookie"} <= set(second.headers["Vary"].split(", "))
        assert second.headers["Cache-Control"] == "private, no-cache"
        assert get("everything", If_None_Match=first.headers["ETag"]).status == 304
        other = get("one-cluster", If_None_Match=first.headers["ETag"])
        assert (other.status, other.data) == (200, second.data)
        assert get("nothing").status == 403
        source.away = True
        assert get("everything").status == get("one-cluster").status == 200  # what each saw before
        assert b"uid-hub" not in get("one-cluster").data
        assert b"twin" not in get("one-cluster").data
        unseen = get("twins")  # its rights are not known yet, and what it may see was never read
        assert (unseen.status, unseen.headers["Cache-Control"]) == (503, "no-store")
        assert b"prod-eu" not in unseen.data
        assert get("nothing").status == 403


def test_a_tag_changes_with_what_it_is_of(plane: ControlPlane, access: Access, tmp_path: Path) -> None:
    path = stored(tmp_path / "results.db", fleet("uid-hub"))
    mine = {user: f"Bearer {token(plane, user)}" for user in ("everything", "twins")}
    with serving(StoreSource(path), lambda answers: Viewers(access, answers)) as client:
        tags = {
            (page, user): client.get(page, Authorization=mine[user]).headers["ETag"]
            for page in ("/", "/api/v1/results")
            for user in mine
        }

        def statuses() -> list[int]:
            return [
                client.get(page, Authorization=mine[user], If_None_Match=tag).status
                for (page, user), tag in tags.items()
            ]

        assert statuses() == [304] * 4
        later = replace(
            scan(cluster("prod-eu", checks=(check("c", "t", "low", "pass"),))),
            finished_at="2026-11-27T06:00:00Z",
        )
        stored(Path(path), later)
        assert statuses() == [200, 304, 200, 304], "what a viewer may not see changes nothing for it"


class Seconds:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_who_loses_the_token_or_the_right_sees_nothing_a_minute_later(
    plane: ControlPlane, access: Access, tmp_path: Path
) -> None:
    for user in ("leaves", "demoted"):
        account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": user}}
        plane.request("POST", PATHS["ServiceAccount"].format(namespace=SYSTEM), account)
        grant(plane, user, SYSTEM, {"resources": ["compliancereports"], "verbs": ["list"]})
    mine = {user: f"Bearer {token(plane, user)}" for user in ("leaves", "demoted", "everything")}
    seconds = Seconds()
    store = StoreSource(stored(tmp_path / "results.db", one()))
    with serving(store, lambda answers: Viewers(access, answers, clock=seconds)) as client:

        def answers() -> list[int]:
            return [client.get("/", Authorization=text).status for text in mine.values()]

        tags = [client.get("/", Authorization=text).headers["ETag"] for text in mine.values()]
        accounts = PATHS["ServiceAccount"].format(namespace=SYSTEM)
        assert plane.request("DELETE", f"{accounts}/leaves").status == 200
        bindings = PATHS["RoleBinding"].format(namespace=SYSTEM)
        assert plane.request("DELETE", f"{bindings}/demoted").status == 200
        assert answers() == [200, 200, 200]  # as the page says: within a minute

        def become(expected: list[int], step: float) -> None:
            """A minute or ten seconds later by the clock of the dashboard; the API server has caches of its own."""
            deadline = time.monotonic() + 60.0
            seconds.now += step
            while (now := answers()) != expected:
                assert time.monotonic() < deadline, now
                time.sleep(0.5)
                seconds.now += step

        become([401, 403, 200], KNOWN_S)
        kept = [
            client.get("/", Authorization=text, If_None_Match=tag)
            for text, tag in zip(mine.values(), tags, strict=True)
        ]
        assert [one.status for one in kept] == [401, 403, 304]
        assert [one.headers["Cache-Control"] for one in kept[:2]] == ["no-store"] * 2
        grant_again = {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "demoted"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "demoted"},
            "subjects": [{"kind": "ServiceAccount", "name": "demoted", "namespace": SYSTEM}],
        }
        assert plane.request("POST", bindings, grant_again).status == 201
        assert answers() == [401, 403, 200]
        become([401, 200, 200], REFUSED_S)


def test_an_answer_about_a_token_is_believed_no_longer_than_the_token_says() -> None:
    now = datetime(2026, 11, 29, 12, tzinfo=UTC)
    with clock.at(now):
        for left, expected in ((3600, KNOWN_S), (7, 7.0), (-5, 0.0)):
            ends = jwt.encode({"exp": int(now.timestamp()) + left}, "k" * 32, algorithm="HS256")
            assert _known_for(ends) == expected
        assert _known_for("opaque") == KNOWN_S


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
