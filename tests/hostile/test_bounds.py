"""No answer costs more bytes, pages or seconds than is stated, and one cluster no more than its own."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cluster.inventory.inventory import Inventory
from pytest_kspec.cluster.limits import DEFAULT_LIMITS, Limits, default_limits
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.errors import AccessDenied, SourceUnavailable, Unreachable, UsageError
from tests.cluster.api import PODS, Api, Reply, Request, kubeconfig, listing, page, status
from tests.cluster.objects import pod
from tests.controlplane.process import free_port
from tests.hostile import acts
from tests.hostile.conftest import MIB, SMALL, Start


def refused(start: Start, answer: Any, limits: Limits = SMALL) -> str:
    source, _ = start({PODS: answer}, limits)
    with pytest.raises(SourceUnavailable) as raised:
        Inventory(source).pods()
    assert "t0ken" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("part", acts.WITHOUT_END)
def test_an_answer_without_end_is_given_up(part: str, start: Start) -> None:
    text = refused(start, acts.WITHOUT_END[part])
    said = ("prod: the request to the API server was abandoned", "prod: the API server does not answer")
    assert any(start in text for start in said) or text == "prod: cannot list pods: HTTP 103."


@pytest.mark.parametrize("part", acts.SLOW)
def test_an_answer_that_trickles_is_given_up(part: str, start: Start) -> None:
    text = refused(start, acts.SLOW[part])
    assert text == (
        "prod: the request to the API server was abandoned: one answer took more than 0.6 s "
        "(KSPEC_CLUSTER_SECONDS raises this bound)."
    )


@pytest.mark.parametrize("encoding", ["", "gzip"])
def test_an_answer_may_have_what_is_stated_and_no_more(encoding: str, start: Start) -> None:
    room = 2 * MIB - len(acts.LIST) - 2

    def sized(size: int) -> Reply:
        body = acts.LIST + b" " * size + b"]}"
        return acts.encoded(gzip.compress(body), "gzip") if encoding else Reply(body)

    source, _ = start({PODS: sized(room)})
    assert Inventory(source).pods() == ()
    assert refused(start, sized(room + 1)) == (
        "prod: the request to the API server was abandoned: one answer has more than 2 MiB "
        "(KSPEC_CLUSTER_MIB raises this bound)."
    )


@pytest.mark.parametrize("code", [403, 429, 500, 503])
def test_of_an_error_only_the_beginning_is_read(code: int, start: Start) -> None:
    head = b"HTTP/1.1 %d No\r\nContent-Type: application/json\r\n\r\n" % code
    source, _ = start({PODS: acts.for_ever(head, b"x" * 65536)})
    with pytest.raises(AccessDenied if code == 403 else SourceUnavailable, match="cannot list pods: "):
        Inventory(source).pods()


def tokens(*, every: int | None = None, items: int = 0) -> Any:
    """A list that goes on: with a new token each time, or with the same `every` pages."""
    count = iter(range(10**9))

    def answer(_: Request) -> Reply:
        number = next(count)
        token = f"t{number % every if every else number}"
        return page(*(pod(f"p{number}-{i}", spec={"x": "y" * 1000}) for i in range(items)), token=token)

    return answer


PATIENT = SMALL._replace(read_timeout_s=30.0, request_s=60.0, list_s=120.0)
"""Where another bound than that of time is to be reached."""


def test_a_list_that_does_not_end(start: Start) -> None:
    text = "prod: the list of pods does not end: "
    assert refused(start, tokens(), PATIENT) == text + "it has more than 20 pages."
    for every in (1, 2, 3):
        assert refused(start, tokens(every=every), PATIENT) == text + "a continue token is repeated."


def test_a_list_that_is_too_large_or_too_slow(start: Start) -> None:
    many = SMALL._replace(list_pages=10_000)
    assert refused(start, tokens(items=1000), PATIENT._replace(list_pages=10_000)) == (
        "prod: the request to the API server was abandoned: the list of pods has more than 4 MiB "
        "(KSPEC_CLUSTER_MIB raises this bound)."
    )
    slow = tokens()
    assert refused(start, lambda request: slow(request)._replace(wait_s=0.1), many) == (
        "prod: the request to the API server was abandoned: the list of pods took more than 1.2 s "
        "(KSPEC_CLUSTER_SECONDS raises this bound)."
    )


def test_discovery_is_a_list_too(start: Start) -> None:
    groups = [{"name": f"g{number}.example.com", "versions": [{"version": "v1"}]} for number in range(1000)]
    body = {"kind": "APIGroupList", "groups": groups}
    source, _ = start({"/apis": Reply(body), **{f"/apis/g{n}.example.com/v1": status(503) for n in range(3)}})
    with pytest.raises(SourceUnavailable, match=r"abandoned: the discovery took more than 1\.2 s"):
        source.types()


def test_a_cluster_costs_no_more_than_it_may(start: Start) -> None:
    """Then each further request fails at once: it is not sent."""
    source, api = start({PODS: acts.for_ever(acts.OK, b"X: y\r\n", 0.1)}, SMALL._replace(cluster_s=1.0))
    inventory = Inventory(source)
    reasons = []
    for _ in range(3):
        with pytest.raises(SourceUnavailable) as raised:
            list(source.pages(inventory.types()[0]))
        reasons.append((type(raised.value), str(raised.value)))
    whole = (
        "prod: the request to the API server was abandoned: this cluster took more than 1 s "
        "(KSPEC_CLUSTER_SECONDS raises this bound)."
    )
    assert reasons[-1] == (Unreachable, whole)
    sent = len(api.seen)
    with pytest.raises(Unreachable):
        _ = inventory.info
    assert len(api.seen) == sent


def test_another_look_has_its_own_bounds(start: Start) -> None:
    """What one look at a cluster may cost, the next one may too; it is never granted anew within one."""
    source, _ = start(
        {PODS: listing("Pod", pod("a", spec={"x": "y" * MIB}))}, SMALL._replace(cluster_bytes=2 * MIB)
    )
    inventory = Inventory(source)
    for _ in range(2):
        assert len(inventory.pods()) == 1
        inventory.relist("Pod")
        with pytest.raises(Unreachable, match="this cluster has more than 2 MiB"):
            inventory.pods()
        inventory.renew()


@pytest.mark.parametrize("pause_s", [0.0, 1000.0])
def test_a_server_that_comes_back_is_tried_again_after_a_pause(tmp_path: Path, pause_s: float) -> None:
    port = free_port()
    limits = SMALL._replace(pause_s=pause_s, pause_max_s=pause_s)
    with closing(
        LiveSource("prod", kubeconfig=kubeconfig(tmp_path, f"http://127.0.0.1:{port}"), limits=limits)
    ) as source:
        for _ in range(2):
            with pytest.raises(Unreachable, match="the API server does not answer"):
                source.info()
        with Api(port=port) as api:
            if pause_s:
                with pytest.raises(Unreachable):
                    source.info()
                assert api.seen == []
                source.renew()
            assert source.info().version == "v1.30.1-eks-1"
            assert source.info().uid == "u-1"


def test_bytes_of_all_lists_of_a_cluster_are_counted(start: Start) -> None:
    source, _ = start(
        {PODS: listing("Pod", pod("a", spec={"x": "y" * MIB}))}, SMALL._replace(cluster_bytes=3 * MIB)
    )
    pods = source.types()[0]
    for _ in range(2):
        list(source.pages(pods))
    with pytest.raises(Unreachable, match="this cluster has more than 3 MiB"):
        list(source.pages(pods))


@pytest.mark.parametrize(
    "after",
    ["100000", "-5", "1e9", "nan", "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT", "Thu, 01 Jan 1970 00:00:00 GMT",
     "x", "Fri, 99 Dec 99999 99:99:99 GMT"],
)  # fmt: skip
@pytest.mark.parametrize("code", [429, 503])
def test_a_server_does_not_say_how_long_we_wait(after: str, code: int, start: Start) -> None:
    text = refused(start, status(code, "busy", Retry_After=after))
    assert text == f"prod: cannot list pods: HTTP {code}: busy."


def test_no_wait_goes_beyond_the_bound_of_the_list(start: Start) -> None:
    patient = SMALL._replace(retry_after_max_s=3600.0, list_s=0.3)
    source, api = start({PODS: status(429, "busy", Retry_After="3600")}, patient)
    with pytest.raises(SourceUnavailable, match=r"the list of pods took more than 0\.3 s"):
        Inventory(source).pods()
    assert len(api.paths(PODS)) == 1


@pytest.mark.parametrize(
    "where",
    [
        "http://127.0.0.1:{port}/stolen",
        "//127.0.0.1:{port}/stolen",
        "/stolen",
        "file:///etc/passwd",
        "",
        "::",
    ],
)
@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed(where: str, code: int, start: Start) -> None:
    source, api = start({})
    location = where.format(port=api.url.rpartition(":")[2])
    api.answers[PODS] = Reply(b"{}", code, {"Location": location, "Retry-After": "0"})
    with pytest.raises(SourceUnavailable, match=rf"^prod: cannot list pods: HTTP {code}\.$"):
        Inventory(source).pods()
    assert not api.paths("/stolen")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of a port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        taken: list[socket.socket] = []

        def accept() -> None:
            try:
                while True:
                    taken.append(listening.accept()[0])
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()
        for one in taken:
            one.close()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_says_nothing(scheme: str, silent: str, tmp_path: Path) -> None:
    config = kubeconfig(tmp_path, f"{scheme}://{silent}")
    source = LiveSource("prod", kubeconfig=config, limits=SMALL._replace(connect_timeout_s=0.3))
    with pytest.raises(SourceUnavailable, match="the API server does not answer"):
        Inventory(source).pods()
    source.close()


def test_a_proxy_that_trickles(start: Start, tmp_path: Path) -> None:
    """What a proxy says to CONNECT is read by other code than an answer."""
    _, api = start({})
    api.answers["10.0.0.1:443"] = acts.for_ever(b"HTTP/1.1 200 OK\r\nX-A: ", b"b", 0.1)
    config = kubeconfig(tmp_path, "https://10.0.0.1", name="far", extra={"proxy-url": api.url})
    far = LiveSource("far", kubeconfig=config, limits=SMALL)
    with pytest.raises(SourceUnavailable, match=r"one answer took more than 0\.6 s"):
        Inventory(far).pods()
    far.close()


def test_the_environment_raises_the_bounds_in_proportion() -> None:
    assert default_limits({}) == DEFAULT_LIMITS
    more = default_limits({"KSPEC_CLUSTER_SECONDS": "1200", "KSPEC_CLUSTER_MIB": "8192"})
    assert (more.request_s, more.list_s, more.cluster_s) == (240, 600, 1200)
    assert (more.request_bytes, more.list_bytes, more.cluster_bytes) == (512 * MIB, 4096 * MIB, 8192 * MIB)


@pytest.mark.parametrize("value", ["", "0", "-1", "nan", "inf", "ten", "1e99"])
@pytest.mark.parametrize("name", ["KSPEC_CLUSTER_SECONDS", "KSPEC_CLUSTER_MIB"])
def test_a_bound_that_is_no_number_is_an_error(name: str, value: str) -> None:
    with pytest.raises(UsageError, match=f"^{name}: '{value}' is not a number greater than 0"):
        default_limits({name: value})
