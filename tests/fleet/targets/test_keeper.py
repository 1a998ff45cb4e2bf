"""Credentials in memory: loaded once, renewed before they end, kept while their store is away."""

from __future__ import annotations

import base64
import ssl
import threading
from pathlib import Path
from typing import Any

import jwt
import pytest

from pytest_kspec.cluster.api.contexts import Cluster, Context, User
from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.errors import AccessDenied, SourceUnavailable
from pytest_kspec.fleet.targets.keeper import AGAIN_S, REREAD_S, Keeper
from pytest_kspec.kube.resources import ResourceType
from tests.cluster.api import PODS, Api, Reply, Request, page, status
from tests.controlplane.certificates import Authority

CANARY = "c4n4ry-5ecret"


class Store:
    """tokens: what is there; the last one stays. An error is raised."""

    def __init__(self, *tokens: str | SourceUnavailable) -> None:
        self.tokens = list(tokens)
        self.reads = 0
        self.time = 1_000_000.0

    def load(self) -> Context:
        self.reads += 1
        token = self.tokens.pop(0) if len(self.tokens) > 1 else self.tokens[0]
        if isinstance(token, SourceUnavailable):
            raise token
        return Context("a", Cluster(server="https://a"), User(token=token))

    def keeper(self) -> Keeper:
        return Keeper(self.load, clock=lambda: self.time, now=lambda: self.time)

    def minted(self, seconds: float) -> str:
        claims = {"iat": int(self.time), "exp": int(self.time + seconds)}
        return jwt.encode(claims, "k" * 32, algorithm="HS256")


def test_the_same_context_until_it_is_read_again() -> None:
    store = Store(CANARY)
    keeper = store.keeper()
    first = keeper.context()
    store.time += REREAD_S - 1
    assert keeper.context() is first
    assert store.reads == 1
    store.time += 1
    assert keeper.context() is first, "the same credentials keep their connections"
    assert store.reads == 2


@pytest.mark.parametrize(
    ("life", "after"), [(100.0, 80.0), (300.0, 240.0), (100_000.0, REREAD_S), (12.0, AGAIN_S)]
)
def test_renewed_at_80_percent_of_their_life(life: float, after: float) -> None:
    store = Store("")
    store.tokens = [store.minted(life), CANARY]
    keeper = store.keeper()
    first = keeper.context()
    store.time += after - 1
    assert keeper.context() is first
    store.time += 1
    assert keeper.context().user.token == CANARY


@pytest.mark.parametrize(
    ("claims", "after"),
    [
        ({"nbf": 600, "exp": 3600}, REREAD_S),  # the clock of who minted it is ahead of ours
        ({"nbf": 600, "exp": 700}, REREAD_S),
        ({"iat": -7200, "exp": -3600}, AGAIN_S),  # ours is ahead: the API server says whether it has ended
        ({"iat": 100_000, "exp": 50}, 40.0),  # minted in the future
    ],
)
def test_clocks_that_differ(claims: dict[str, int], after: float) -> None:
    """A token is used, whatever our clock says of it, and not read again more often than each few seconds."""
    store = Store("")
    token = jwt.encode(
        {name: int(store.time) + of for name, of in claims.items()}, "k" * 32, algorithm="HS256"
    )
    store.tokens = [token, CANARY]
    keeper = store.keeper()
    assert keeper.context().user.token == token
    store.time += after - 1
    assert keeper.context().user.token == token
    store.time += 1
    assert keeper.context().user.token == CANARY


def test_what_was_read_last_is_kept_until_it_ends() -> None:
    away = SourceUnavailable("the store is sealed.")
    store = Store("")
    store.tokens = [store.minted(1000), away]
    keeper = store.keeper()
    first = keeper.context()
    store.time += 900
    assert keeper.context() is first
    reads = store.reads
    store.time += AGAIN_S - 1
    assert keeper.context() is first
    assert store.reads == reads, "a store that is away is not flooded"
    store.time += 200
    with pytest.raises(SourceUnavailable, match="sealed"):
        keeper.context()
    store.tokens = [CANARY]
    store.time += AGAIN_S
    assert keeper.context().user.token == CANARY


def test_a_refusal_loads_once_for_all_who_were_refused() -> None:
    store = Store("first", "second", "third")
    keeper = store.keeper()
    first = keeper.context()
    keeper.refused(first)  # also a moment after it was loaded: it may have been revoked since
    second = keeper.context()
    assert second.user.token == "second"
    keeper.refused(first)  # by a slower thread
    keeper.refused(second)  # at once: a cluster that accepts nothing
    assert keeper.context() is second
    store.time += AGAIN_S
    keeper.refused(second)
    assert keeper.context().user.token == "third"


def test_a_rotation_ends_no_scan(tmp_path: Path) -> None:
    """The token is replaced, and the old one revoked, between two lists of one connection."""
    authority = Authority(tmp_path)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    pair = authority.issue("server", hosts=("127.0.0.1",))
    tls.load_cert_chain(pair.certificate, pair.key)
    stored = accepted = "first"

    def pods(request: Request) -> Reply:
        return page() if request.headers["authorization"] == f"Bearer {accepted}" else status(401)

    with Api({PODS: pods}, tls) as api:
        authority_data = base64.b64encode(authority.bundle).decode()

        def load() -> Context:
            cluster = Cluster(server=api.url, certificate_authority_data=authority_data)
            return Context("a", cluster, User(token=stored))

        source = LiveSource("a", credentials=Keeper(load))
        pod = ResourceType("", "v1", "Pod", "pods", True)
        try:
            assert list(source.pages(pod)) == [b"[]"]
            stored = accepted = "second"
            assert list(source.pages(pod)) == [b"[]"]
            accepted = "third"
            with pytest.raises(AccessDenied, match="unauthorized"):
                list(source.pages(pod))
        finally:
            source.close()
    tokens = [request.headers["authorization"].partition(" ")[2] for request in api.seen]
    assert tokens == ["first", "first", "second", "second", "second"]


def test_many_threads_read_once() -> None:
    store = Store(CANARY)
    keeper = store.keeper()
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(keeper.context())) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert store.reads == 1
    assert {id(one) for one in found} == {id(found[0])}


def test_a_first_failure_is_not_repeated_at_once() -> None:
    store = Store(SourceUnavailable("away"), CANARY)
    keeper = store.keeper()
    for _ in range(3):
        with pytest.raises(SourceUnavailable):
            keeper.context()
    assert (store.reads, keeper.holds) == (1, False)
    store.time += AGAIN_S
    assert keeper.context().user.token == CANARY


def test_a_context_shows_no_credentials() -> None:
    user = User(token=CANARY, password=CANARY, client_key_data=CANARY)
    context = Context("a", Cluster(server="https://a", proxy_url=f"http://u:{CANARY}@p"), user)
    assert CANARY not in f"{context!r} {context} {context.user!r} {[context]}"
