import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.limits import Limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.errors import AccessDenied, Malformed, NotServed, SourceUnavailable
from pytest_kspec.kube.resources import ClusterInfo
from tests.cluster.api import (
    CORE,
    PODS,
    Api,
    Reply,
    Request,
    group_version,
    kubeconfig,
    listing,
    page,
    status,
)
from tests.cluster.objects import pod

QUICK = Limits(connect_timeout_s=2.0, read_timeout_s=0.5, retries=2, backoff_s=0.01, retry_after_max_s=0.2)

Start = Callable[..., tuple[Inventory, Api]]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    with ExitStack() as stack:

        def run(answers: dict[str, Any], limits: Limits = QUICK, **options: Any) -> tuple[Inventory, Api]:
            api = stack.enter_context(Api(answers))
            source = LiveSource("prod", kubeconfig=kubeconfig(tmp_path, api.url, **options), limits=limits)
            stack.callback(source.close)
            return Inventory(source), api

        yield run


def names(inventory: Inventory) -> list[str]:
    return [p.name for p in inventory.pods()]


def test_what_is_sent_and_what_is_known(start: Start) -> None:
    inventory, api = start({PODS: page(pod("a"))})
    assert names(inventory) == ["a"]
    assert inventory.info == ClusterInfo("prod", "live", "v1.30.1-eks-1", "u-1")
    assert [t.resource for t in inventory.types()] == ["pods", "secrets"]
    (request,) = [r for r in api.seen if r.path == PODS]
    assert request.query == {"limit": "500"}
    assert "authorization" not in request.headers  # as kubectl: not over plain HTTP
    assert request.headers["user-agent"] == "pytest-kspec/0.1.0"
    assert request.headers["accept"] == "application/json"


def test_continue_is_followed(start: Start) -> None:
    inventory, api = start(
        {PODS: [page(pod("a"), token="t=1&x"), page(pod("b"), token="t2"), page(pod("c"))]}
    )
    assert names(inventory) == ["a", "b", "c"]
    assert api.paths(PODS) == [
        {"limit": "500"},
        {"limit": "500", "continue": "t=1&x"},
        {"limit": "500", "continue": "t2"},
    ]


def test_a_continue_token_that_comes_back_ends_the_list(start: Start) -> None:
    inventory, _ = start({PODS: page(pod("a"), token="t")})
    with pytest.raises(SourceUnavailable, match="the list of pods does not end"):
        inventory.pods()


def test_an_expired_list_starts_again(start: Start) -> None:
    gone = status(410, "The provided continue parameter is too old")
    inventory, api = start(
        {PODS: [page(pod("old"), token="t"), gone, page(pod("a"), token="u"), page(pod("b"))]}
    )
    assert names(inventory) == ["a", "b"]
    assert [q.get("continue") for q in api.paths(PODS)] == [None, "t", None, "u"]


def test_a_list_that_always_expires_is_an_error(start: Start) -> None:
    def expire(request: Request) -> Reply:
        return status(410) if "continue" in request.query else page(pod("a"), token="t")

    inventory, api = start({PODS: expire})
    with pytest.raises(
        SourceUnavailable,
        match=r"the list of pods expired 4 times before its last page \(410 Gone, or another",
    ):
        inventory.pods()
    assert len(api.paths(PODS)) == 8


def test_429_waits_as_long_as_it_is_told(start: Start) -> None:
    inventory, api = start(
        {PODS: [status(429, Retry_After="1"), page(pod("a"))]}, QUICK._replace(retry_after_max_s=5)
    )
    began = time.monotonic()
    assert names(inventory) == ["a"]
    assert 1.0 <= time.monotonic() - began < 4.0
    assert len(api.paths(PODS)) == 2


def test_429_does_not_wait_for_an_hour_nor_for_ever(start: Start) -> None:
    inventory, api = start({PODS: status(429, "busy", Retry_After="3600")})
    began = time.monotonic()
    with pytest.raises(SourceUnavailable, match=r"^prod: cannot list pods: HTTP 429: busy\.$"):
        inventory.pods()
    assert time.monotonic() - began < 5.0
    assert len(api.paths(PODS)) == 3


@pytest.mark.parametrize(
    "bad",
    [
        status(500),
        status(503),
        page(pod("a"))._replace(cut=20),
        page(pod("a"))._replace(cut=0),
        page()._replace(wait_s=2),
    ],
)
def test_a_bad_moment_is_survived(bad: Reply, start: Start) -> None:
    inventory, api = start({PODS: [bad, page(pod("a"))]})
    assert names(inventory) == ["a"]
    assert len(api.paths(PODS)) == 2


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (status(500, "etcd\nis gone"), "cannot list pods: HTTP 500: etcd is gone."),
        (
            page(pod("a"))._replace(cut=20),
            "the API server does not answer (ProtocolError): IncompleteRead(",
        ),
        (
            Reply(act=lambda wire: None),
            "the API server does not answer (ProtocolError): Connection aborted: Remote end closed connection",
        ),
        (page()._replace(wait_s=3), "the API server does not answer (ReadTimeoutError)"),
        (Reply(b"<html>Log in</html>"), "the list of pods is not a JSON object."),
        (Reply(b'{"items":[{"metadata":{}'), "the list of pods is not one complete JSON document."),
        (Reply(b"{}", 302, {"Location": "http://127.0.0.1:1/"}), "cannot list pods: HTTP 302."),
    ],
)
def test_a_bad_day_is_an_error_in_the_end(bad: Reply, message: str, start: Start) -> None:
    inventory, api = start({PODS: bad})
    began = time.monotonic()
    with pytest.raises((SourceUnavailable, Malformed), match=r"^prod: ") as raised:
        inventory.pods()
    assert message in str(raised.value)
    assert str(raised.value).count("(") == str(raised.value).count(")")  # a text that was cut is closed
    assert time.monotonic() - began < 10
    assert len(api.paths(PODS)) <= 3
    assert "t0ken" not in repr(raised.value)


def test_a_cluster_that_dies_between_two_kinds_fails_fast(start: Start) -> None:
    inventory, api = start({PODS: page(pod("a"))})
    assert names(inventory) == ["a"]
    api.stop()
    for kind in ("Secret", "Secret"):
        with pytest.raises(SourceUnavailable, match="the API server does not answer"):
            inventory.list(kind)
    assert names(inventory) == ["a"]


def test_refusals_name_verb_and_kind(start: Start) -> None:
    text = 'secrets is forbidden: User "u" cannot list resource "secrets"'
    inventory, _ = start({PODS: status(403, ""), "/api/v1/secrets": status(403, text)})
    with pytest.raises(AccessDenied) as raised:
        inventory.pods()
    grant = "Grant the verb list on {} to the user of the scan, cluster-wide."
    assert str(raised.value) == "prod: cannot list pods: forbidden. " + grant.format("pods")
    with pytest.raises(AccessDenied) as raised:
        inventory.list("Secret")
    assert str(raised.value) == f"prod: cannot list secrets: forbidden ({text}). " + grant.format("secrets")


def test_the_list_of_a_namespace_needs_no_right_in_others(start: Start) -> None:
    inventory, _ = start({"/api/v1/namespaces/shop/pods": status(403, "")})
    with pytest.raises(AccessDenied) as raised:
        Writer(cast(LiveSource, inventory.source)).list("v1", "Pod", namespace="shop")
    assert str(raised.value).endswith("Grant the verb list on pods to this user, in namespace shop.")


def test_a_kind_that_vanished_is_not_served(start: Start) -> None:
    inventory, _ = start({PODS: status(404)})
    with pytest.raises(NotServed, match="the kind Pod in API group core is not served"):
        inventory.pods()


def test_401_is_tried_again_with_new_credentials(start: Start) -> None:
    inventory, api = start({PODS: [status(401), page(pod("a"))]})
    assert names(inventory) == ["a"]
    inventory, api = start({PODS: status(401)})
    with pytest.raises(AccessDenied, match=r"cannot list pods: unauthorized\. Log in again"):
        inventory.pods()
    assert len(api.paths(PODS)) == 2


def test_only_metadata_of_secrets_is_asked_for_and_kept(start: Start) -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "hunter2"}
    secret = {
        "metadata": {"name": "s", "namespace": "x", "annotations": annotations},
        "data": {"a": "hunter2"},
    }
    inventory, api = start({"/api/v1/secrets": listing("Secret", secret)})
    (page_,) = inventory.source.pages(next(t for t in inventory.types() if t.kind == "Secret"))
    assert b"hunter2" not in bytes(page_)
    (found,) = inventory.list("Secret")
    assert found.raw == {
        "metadata": {"name": "s", "namespace": "x", "annotations": {}},
        "kind": "Secret",
        "apiVersion": "v1",
    }
    (accept,) = {r.headers["accept"] for r in api.seen if r.path == "/api/v1/secrets"}
    assert accept == "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"


def test_discovery_of_old_servers(start: Start) -> None:
    def versions(group: str, *names: str) -> dict[str, Any]:
        listed = [{"version": name} for name in names]
        return {"name": group, "versions": listed, "preferredVersion": {"version": names[-1]}}

    groups = [
        versions("apps", "v1beta1", "v1"),
        versions("custom.example.com", "v1"),
        versions("down.example.com", "v1"),
    ]
    inventory, _ = start(
        {
            "/apis": Reply({"kind": "APIGroupList", "groups": groups}),
            "/apis/apps/v1": group_version(("deployments", "Deployment", True)),
            "/apis/apps/v1beta1": group_version(
                ("deployments", "Deployment", True), ("scales", "Scale", True)
            ),
            "/apis/custom.example.com/v1": group_version(("things", "Thing", False)),
            "/apis/down.example.com/v1": status(503),
        }
    )
    assert [tuple(t) for t in inventory.types()] == [
        ("", "v1", "Pod", "pods", True),
        ("", "v1", "Secret", "secrets", True),
        ("apps", "v1", "Deployment", "deployments", True),
        ("apps", "v1beta1", "Scale", "scales", True),
        ("custom.example.com", "v1", "Thing", "things", False),
    ]


def test_aggregated_discovery(start: Start) -> None:
    def aggregated(*groups: tuple[str, list[tuple[str, str, str, list[str]]]]) -> Reply:
        items = [
            {
                "metadata": {"name": group},
                "versions": [
                    {
                        "version": version,
                        "resources": [
                            {
                                "resource": plural,
                                "responseKind": {"kind": kind},
                                "scope": "Namespaced",
                                "verbs": verbs,
                            }
                        ],
                    }
                    for version, plural, kind, verbs in versions
                ],
            }
            for group, versions in groups
        ]
        return Reply({"kind": "APIGroupDiscoveryList", "items": items})

    inventory, api = start(
        {
            "/api": aggregated(("", [("v1", "pods", "Pod", ["list"])])),
            "/apis": aggregated(
                (
                    "autoscaling",
                    [
                        ("v2", "horizontalpodautoscalers", "HPA", ["list"]),
                        ("v1", "horizontalpodautoscalers", "HPA", ["list"]),
                    ],
                ),
                ("x.io", [("v1", "reviews", "Review", ["create"])]),
            ),
            PODS: page(),
        }
    )
    assert [t.api_version + " " + t.plural for t in inventory.types()] == [
        "v1 pods",
        "autoscaling/v2 horizontalpodautoscalers",
    ]
    assert [r.path for r in api.seen] == ["/api", "/apis"]
    assert "as=APIGroupDiscoveryList" in api.seen[0].headers["accept"]


@pytest.mark.parametrize(
    ("answers", "error", "message"),
    [
        ({"/api": status(403)}, AccessDenied, "cannot read /api: forbidden."),
        ({"/api": status(401)}, AccessDenied, "cannot read /api: unauthorized."),
        ({"/api": status(502)}, SourceUnavailable, "/api answers with HTTP 502"),
        (
            {"/api": Reply(b"<html>")},
            SourceUnavailable,
            "/api does not answer with JSON: not a Kubernetes API server?",
        ),
        ({"/api": Reply([1])}, SourceUnavailable, "does not answer with a discovery document"),
        (
            {"/api": Reply({}), "/apis": Reply({})},
            Malformed,
            "/api is not a discovery document: it is not APIVersions.",
        ),
        ({"/api/v1": group_version()}, SourceUnavailable, "its discovery lists no kinds"),
        ({"/api/v1": status(500)}, SourceUnavailable, "/api/v1 answers with HTTP 500"),
        ({"/api": Reply(b"[" * 100_000)}, SourceUnavailable, "/api does not answer with JSON"),
    ],
)
def test_without_discovery_every_kind_is_an_error(
    answers: Any, error: type[Exception], message: str, start: Start
) -> None:
    inventory, _ = start(answers)
    for call in (inventory.pods, inventory.workloads, inventory.types):
        with pytest.raises(error) as raised:
            call()
        assert message in str(raised.value)


def test_version_and_uid_that_may_not_be_read(start: Start) -> None:
    inventory, _ = start({"/api/v1/namespaces/kube-system": status(403)})
    assert inventory.info == ClusterInfo("prod", "live", "v1.30.1-eks-1", "")
    inventory, _ = start({"/version": status(403, "no")})
    with pytest.raises(AccessDenied, match="cannot get the API server's version: forbidden"):
        _ = inventory.info
    inventory, _ = start({"/version": Reply(b"oops")})
    with pytest.raises(
        SourceUnavailable, match="/version answers with HTTP 200, not with the API server's version"
    ):
        _ = inventory.info


def test_workers_share_what_one_of_them_listed(tmp_path: Path) -> None:
    answers = {**CORE, PODS: page(pod("a")), "/api/v1/secrets": status(403)}
    shared = tmp_path / "shared"
    with Api(answers) as api:
        config = kubeconfig(tmp_path, api.url)
        found = []
        for _ in range(3):
            inventory = Inventory(LiveSource("prod", kubeconfig=config, limits=QUICK), shared)
            with pytest.raises(AccessDenied) as refused:
                inventory.list("Secret")
            found.append((names(inventory), inventory.pods()[0].raw, inventory.info, str(refused.value)))
        assert found[0] == found[1] == found[2]
        assert len(api.seen) == len({r.path for r in api.seen}) == len(answers)
    assert {p.stat().st_mode & 0o077 for p in shared.rglob("*") if p.is_file()} == {0}


def test_workers_at_the_same_time_wait_for_the_first(tmp_path: Path) -> None:
    answers = {**CORE, PODS: page(pod("a"))._replace(wait_s=0.2)}
    with Api(answers) as api, ThreadPoolExecutor(6) as workers:
        config = kubeconfig(tmp_path, api.url)

        def work(_: int) -> list[str]:
            return names(Inventory(LiveSource("prod", kubeconfig=config, limits=QUICK), tmp_path / "shared"))

        assert list(workers.map(work, range(6))) == [["a"]] * 6
        assert len(api.paths(PODS)) == 1


def test_a_shared_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with Api({PODS: page(pod("a"))}) as api:
        source = LiveSource("prod", kubeconfig=kubeconfig(tmp_path, api.url), limits=QUICK)
        with pytest.raises(
            SourceUnavailable, match=r"workers could not share types: .*set TMPDIR to another"
        ):
            Inventory(source, tmp_path / "file").pods()
