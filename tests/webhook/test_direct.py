"""What is answered at once is what the application would have answered, byte for byte, however a request comes."""

import asyncio
import itertools
import time
from typing import Any

import pytest
import uvicorn
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.server import ServerState

from pytest_kspec.observe import tracing
from pytest_kspec.serving import limits
from pytest_kspec.serving.limits import Limits
from pytest_kspec.serving.rate import Rate
from pytest_kspec.webhook import direct
from pytest_kspec.webhook.app import App
from pytest_kspec.webhook.breaker import Breaker
from pytest_kspec.webhook.large import Budget, Large
from pytest_kspec.webhook.metrics import Metrics
from pytest_kspec.webhook.reviews import Reviewer
from tests.webhook.reviewing import NOW, body, forbid, pod, policies, policy

LIMITS = Limits(body=20_000, body_s=0.3)


class Audit:
    """Keeps records."""

    def __init__(self) -> None:
        self.records: list[Any] = []

    def put(self, record: Any) -> None:
        self.records.append(record)


class Transport(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 5), "sockname": ("192.0.2.2", 443)})
        self.written = b""
        self.writes = 0
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data
        self.writes += 1

    def is_closing(self) -> Any:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class Side:
    """One server: its application, with `direct` before it or not.

    at_once: how many it answered there; parsed: how many requests the parser saw
    """

    def __init__(self, is_direct: Any, *, rate: float = 0.0, labels: Any = None) -> None:
        self.metrics = Metrics()
        given_policies = policies(policy(forbid("hostNetwork")))
        large = Large(Budget(above=8_000))
        breaker = Breaker(time.monotonic)
        self.audit = Audit()
        self.reviewer = Reviewer(
            self.metrics, breaker, given_policies, excluded=frozenset({"left-out"}), labels=labels,
            audit=self.audit, large=large, now=lambda: NOW,
        )  # fmt: skip
        self.app = App(self.reviewer, LIMITS, Rate(rate, 1.0, lambda: 0.0), list)
        self.at_once = self.parsed = 0
        side = self

        class Counted(limits.protocol(LIMITS, lambda: None)):
            def on_message_begin(self) -> None:
                side.parsed += 1
                super().on_message_begin()

        self.protocol: Any = Counted
        if is_direct:
            self.protocol = direct.protocol(self.protocol, self._route)

    def _route(self, *head: Any) -> Any:
        answer = self.app.route(*head)

        def counted(*asked: Any) -> bytes | None:
            assert answer is not None
            response = answer(*asked)
            self.at_once += response is not None
            return response

        return answer and counted

    def connect(self) -> Any:
        """A connection to it."""
        config = uvicorn.Config(
            self.app, http=self.protocol, ws="none", lifespan="off", access_log=False, log_config=None,
            server_header=False, date_header=False, proxy_headers=False,
        )  # fmt: skip
        config.load()
        protocol = self.protocol(config=config, server_state=ServerState(), app_state={})
        protocol.connection_made(Transport())
        return protocol

    @property
    def counted(self) -> list[Any]:
        """What its metrics say, without how long anything took."""
        lines = self.metrics.registry.text().decode().splitlines()
        return [line for line in lines if "seconds" not in line or "_count" in line]


async def exchange(side: Any, chunks: Any, turns: int = 12) -> tuple[Any, Any]:
    """What is written to one connection that sends these; and whether it is closed. turns: of the loop, for each."""
    protocol = side.connect()
    for chunk in chunks:
        if protocol.transport.closed:
            break
        protocol.data_received(chunk)
        for _ in range(turns):
            await asyncio.sleep(0)
    for _ in range(100):
        if protocol.cycle is None or protocol.cycle.response_complete or protocol.transport.closed:
            break
        await asyncio.sleep(0.01)
    transport = protocol.transport
    protocol.connection_lost(None)
    return transport.written, transport.closed


def request(
    content: bytes,
    *,
    path: str = "/validate",
    version: str = "1.1",
    method: str = "POST",
    kind: str = "application/json",
    more: Any = (),
) -> bytes:
    """The bytes of a request."""
    head = [f"{method} {path} HTTP/{version}", "Host: webhook", f"Content-Type: {kind}", *more]
    head += [] if any("chunked" in line for line in more) else [f"Content-Length: {len(content)}"]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + content


GOOD, BAD = body(pod()), body(pod(hostNetwork=True), uid="other")
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BAD), BAD)
KINDS = {
    "allowed": request(GOOD),
    "denied": request(BAD),
    "of one specification": request(BAD, path="/validate/strict"),
    "of none": request(BAD, path="/validate/nope"),
    "of a name that is no ASCII": request(BAD, path="/validate/%ff"),
    "with a query": request(BAD, path="/validate?timeout=5s"),
    "as an API server asks": request(
        BAD,
        path="/validate/strict?timeout=10s",
        more=(
            "User-Agent: kube-apiserver-admission",
            "Accept: application/json, */*",
            "Accept-Encoding: gzip",
        ),
    ),
    "of an empty name": request(BAD, path="/validate/"),
    "with a fragment": request(BAD, path="/validate/strict#x"),
    "of a whole address": request(BAD, path="http://webhook/validate"),
    "with a character set": request(BAD, kind="application/json; charset=utf-8"),
    "of another type": request(BAD, kind="text/plain"),
    "no review": request(b"{}"),
    "no JSON": request(b"\xff\x00"),
    "empty": request(b""),
    "excluded": request(body(pod(hostNetwork=True), namespace="left-out")),
    "in chunks": request(CHUNKED, more=("Transfer-Encoding: chunked",)),
    "HTTP/1.0": request(BAD, version="1.0"),
    "closing": request(BAD, more=("Connection: close",)),
    "expecting": request(BAD, more=("Expect: 100-continue",)),
    "upgrading": request(BAD, more=("Connection: Upgrade", "Upgrade: websocket")),
    "GET": request(b"", method="GET"),
    "a probe": request(b"", method="GET", path="/healthz"),
    "of no path": request(b"", path="/else"),
    "too large": request(body(pod(hostname="x" * 30_000))),
    "odd headers": request(BAD, more=("X-A: " + "b" * 300, "x-a:", "content-type: application/json")),
}
AT_ONCE = (
    "allowed", "denied", "of one specification", "with a query", "as an API server asks", "with a character set",
    "excluded", "odd headers",
)  # fmt: skip


def both(chunks: Any, turns: int = 12, **given: Any) -> Any:
    """Written and closed by a server with `direct` and by one without; each must also count the same."""

    async def run() -> tuple[Any, ...]:
        sides = [Side(True, **given), Side(False, **given)]
        said = [await exchange(side, chunks, turns) for side in sides]
        assert sides[0].counted == sides[1].counted
        assert sides[0].audit.records == sides[1].audit.records
        return sides[0], *said

    return asyncio.run(run())


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_request_gets_the_same_answer(kind: str) -> None:
    side, ours, theirs = both([KINDS[kind]])
    assert ours == theirs
    assert ours[0].startswith(b"HTTP/1.")
    assert side.at_once == (kind in AT_ONCE)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.sampled_from([kind for kind in KINDS if kind != "upgrading"]), min_size=1, max_size=4),
    st.lists(st.integers(0, 1500), max_size=4),
)
def test_however_requests_come_the_answers_are_the_same(kinds: Any, cuts: Any) -> None:
    stream = b"".join(KINDS[kind] for kind in kinds)
    at = sorted({0, *(cut for cut in cuts if cut < len(stream)), len(stream)})
    _, ours, theirs = both([stream[start:end] for start, end in itertools.pairwise(at)])
    assert ours == theirs


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.sampled_from([kind for kind in KINDS if kind != "upgrading"]), min_size=2, max_size=6),
    st.sampled_from(AT_ONCE),
    st.integers(0, 3),
)
def test_whatever_heads_are_known_the_answers_are_the_same(kinds: Any, first: Any, cut: Any) -> None:
    """Each request whole, as clients send them; of one, the end comes with the next."""
    chunks = [KINDS[first], *(KINDS[kind] for kind in kinds)]
    if cut:
        chunks[1:3] = [(chunks[1] + chunks[2])[: -cut * 100], (chunks[1] + chunks[2])[-cut * 100 :]]
    _, ours, theirs = both(chunks)
    assert ours == theirs


def test_a_request_that_is_known_waits_for_the_one_before() -> None:
    """The application has not answered that yet."""
    side, ours, theirs = both([KINDS["allowed"], KINDS["of no path"], KINDS["denied"]], turns=0)
    assert ours == theirs
    assert ours[0].index(b" 404 ") < ours[0].index(b'"uid":"other"')
    assert (side.at_once, side.parsed) == (1, 3)


def test_a_head_that_is_known_is_not_read_again() -> None:
    """Whatever the length is, and on each connection."""
    longer = request(body(pod(hostNetwork=True, hostname="x" * 300)))
    side, ours, theirs = both([KINDS["allowed"], KINDS["denied"], longer, KINDS["no review"]])
    assert ours == theirs
    assert (side.at_once, side.parsed) == (3, 2)

    async def again() -> Any:
        return await exchange(side, [KINDS["denied"]])

    asyncio.run(again())
    assert side.parsed == 2


@pytest.mark.parametrize(
    "odd",
    [
        KINDS["denied"],
        KINDS["denied"] + b"\r\n",
        KINDS["denied"][:-1],
        KINDS["denied"] + KINDS["denied"],
        b"\r\n" + KINDS["denied"],
        KINDS["denied"].replace(b"Content-Length: ", b"Content-Length: 0"),
        KINDS["denied"].replace(b"Content-Length: ", b"Content-Length: +"),
        KINDS["denied"].replace(b"Content-Length: ", b"Content-Length:  "),
        KINDS["denied"].replace(b"Content-Length: ", b"Content-Length: 1\r\nContent-Length: "),
        KINDS["denied"].replace(b"\r\n\r\n", b"\r\nContent-Length: 1\r\n\r\n", 1),
        KINDS["denied"].replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n", 1),
        KINDS["denied"].replace(b"\r\n\r\n", b"\r\n x: folded\r\n\r\n", 1),
        KINDS["denied"].replace(b"\r\nContent-Length", b"\nContent-Length"),
    ],
)
def test_what_only_looks_like_a_request_that_is_known(odd: bytes) -> None:
    """The parser decides, as it does without what is remembered; also twice, and within another request."""
    usual = KINDS["denied"]
    before: tuple[list[bytes], ...] = ([], [usual], [usual, odd], [usual, usual[:-5]], [usual, usual[:20]])
    for chunks in [*([*first, odd] for first in before), [usual, odd, usual]]:
        _, ours, theirs = both(chunks)
        assert ours == theirs


def test_a_length_before_the_request_is_no_part_of_its_head() -> None:
    """Without that line it would be a request that is known: one after an empty line."""
    usual = b"\r\n" + KINDS["denied"]
    length = usual[usual.index(b"\r\nContent-Length") : usual.index(b"\r\n\r\n")]
    odd = length + usual.replace(length, b"")
    _, ours, theirs = both([usual, usual, odd])
    assert ours == theirs
    assert b" 400 " in ours[0]


def test_requests_that_come_at_once_are_all_answered_in_their_order() -> None:
    side, ours, theirs = both([KINDS["denied"] + KINDS["allowed"] + KINDS["no review"] + KINDS["allowed"]])
    assert ours == theirs
    assert ours[0].index(b'"uid":"other"') < ours[0].index(b'"uid":"705') < ours[0].index(b"400 Bad Request")
    assert side.at_once == 2


def test_a_body_that_does_not_come_is_given_up() -> None:
    _, ours, theirs = both([KINDS["denied"][:-10]])
    assert ours == theirs
    assert b" 408 " in ours[0]


def test_while_the_server_ends_each_answer_is_the_last_of_its_connection() -> None:
    """A connection that is closed under a review on its way is an EOF to the API server."""

    async def run() -> None:
        side = Side(True)
        side.app._ending = lambda: True
        written, closed = await exchange(side, [KINDS["denied"]])
        assert (side.at_once, closed) == (0, True)
        assert b"connection: close" in written
        assert b'"allowed":false' in written

    asyncio.run(run())


def test_a_defect_is_the_application_s_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_given: Any) -> None:
        raise TypeError("a defect")

    monkeypatch.setattr(Reviewer, "_count", breaks)
    _, ours, theirs = both([KINDS["denied"]])
    assert ours == theirs
    assert b" 500 " in ours[0]


def test_a_client_above_its_rate_is_told() -> None:
    side, ours, theirs = both([KINDS["denied"]] * 3, rate=2.0)
    assert ours == theirs
    assert (ours[0].count(b" 200 OK"), ours[0].count(b" 429 ")) == (2, 1)
    assert side.at_once == 2


def test_who_reads_no_answers_is_not_written_to() -> None:
    """Else a client that only sends would fill the memory with answers."""

    async def run() -> None:
        side = Side(True)
        protocol = side.connect()
        protocol.pause_writing()
        protocol.data_received(KINDS["denied"])
        for _ in range(12):
            await asyncio.sleep(0)
        written = protocol.transport.writes
        protocol.resume_writing()
        assert (side.at_once, written) == (0, 0)
        for _ in range(12):
            await asyncio.sleep(0)
        assert protocol.transport.written.endswith(b"}")
        protocol.connection_lost(None)

    asyncio.run(run())


def test_what_has_to_be_waited_for_goes_to_the_application(monkeypatch: pytest.MonkeyPatch) -> None:
    class Unasked:
        async def of(self, namespace: str) -> dict[str, Any]:
            return {"team": namespace}

    async def run() -> None:
        side = Side(True, labels=Unasked())
        assert side.reviewer.policies is not None
        side.reviewer.policies.needs_labels = True
        written, _ = await exchange(side, [KINDS["denied"]])
        assert (side.at_once, b'"allowed":false' in written) == (0, True)

    asyncio.run(run())
    monkeypatch.setattr(tracing, "is_on", lambda: True)
    side, ours, theirs = both([KINDS["denied"]])
    assert (ours, side.at_once) == (theirs, 0)


def test_a_connection_is_closed_when_it_was_idle_and_not_before() -> None:
    async def run() -> None:
        side = Side(True)
        protocol = side.connect()
        for _ in range(2):
            protocol.data_received(KINDS["denied"])
        assert (side.at_once, side.parsed) == (2, 1)
        timer = protocol.timeout_keep_alive_task
        assert timer is not None
        timer.cancel()
        protocol.timeout_keep_alive_handler()  # set by the first, and due: the second came in the meantime
        assert not protocol.transport.closed
        assert protocol.timeout_keep_alive_task.when() > asyncio.get_running_loop().time()
        protocol._idle_since -= protocol.timeout_keep_alive
        protocol.timeout_keep_alive_task.cancel()
        protocol.timeout_keep_alive_handler()
        assert protocol.transport.closed
        protocol.connection_lost(None)

    asyncio.run(run())
