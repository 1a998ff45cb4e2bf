"""The ASGI applications: one for API servers and probes, one for who reads. Nothing that a framework is needed for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable
from functools import partial
from typing import Any

import msgspec

from pytest_kspec.cluster.writing.readers import Readers, refusal
from pytest_kspec.enforce.admission import NotAReview
from pytest_kspec.enforce.engines import webhook_client
from pytest_kspec.enforce.engines.webhook import PATH
from pytest_kspec.observe.registry import CONTENT_TYPE
from pytest_kspec.serving.limits import Limits
from pytest_kspec.serving.rate import Rate, client_of
from pytest_kspec.webhook.direct import Answer
from pytest_kspec.webhook.reviews import Reviewer

Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

READ = ("/metrics", webhook_client.PATH)
_JSON = b"application/json"
_TEXT = b"text/plain; charset=utf-8"
_PATH, _PATHS = PATH.encode(), f"{PATH}/".encode()
_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: "


class TooLarge(Exception):
    """The body is larger than allowed."""


class App:
    """ready: why the server is not ready, one text a reason; none: it is.

    ending: whether it only goes on for a while: each answer then is the last one of its connection, so that none is
    closed under a review that is on its way
    """

    def __init__(
        self,
        reviewer: Reviewer,
        limits: Limits,
        rate: Rate,
        ready: Callable[[], Iterable[str]],
        ending: Callable[[], bool] = lambda: False,
    ) -> None:
        self._ending = ending
        self._reviewer = reviewer
        self._limits = limits
        self._rate = rate
        self._ready = ready

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """One HTTP request."""
        path = scope["path"]
        if path == PATH or path.startswith(f"{PATH}/"):
            await self._validate(scope, receive, send)
        elif path == "/healthz":
            await _answer(send, 200, b"ok\n")
        elif path == "/readyz":
            reasons = list(self._ready())
            body = "".join(f"not ready: {reason}\n" for reason in reasons) or "ok\n"
            await _answer(send, 503 if reasons else 200, body.encode())
        else:
            await _answer(send, 404, b"there are /validate, /healthz and /readyz\n")

    def route(self, target: bytes, headers: Iterable[tuple[bytes, bytes]]) -> Answer | None:
        """What answers reviews that come to this target with these headers at once; None: ask the application."""
        # An API server says in the query how long it waits.
        path = target.partition(b"?")[0]
        only = ""
        if path != _PATH:
            only = path.removeprefix(_PATHS).decode("ascii", "replace") if path.startswith(_PATHS) else ""
            if not only or "%" in only:
                return None
        _, content_type = _headers(headers)
        return partial(self.at_once, only) if _is_json(content_type) else None

    def at_once(self, only: str, client: str, body: bytes) -> bytes | None:
        """The whole response to a review that is right and waits for nothing; None: ask the application.

        only: id of the policy that is asked for, "" for all; client: as `client_of` has it
        """
        reviewer, size = self._reviewer, len(body)
        if self._ending() or size > self._limits.body or not reviewer.answers_at_once(size):
            return None
        if (only and reviewer.policy(only) is None) or not self._rate.allow(client):
            return None
        try:
            answer = reviewer.at_once(body, only)
        except NotAReview:
            return None
        return b"%b%d\r\n\r\n%b" % (_HEAD, len(answer), answer)

    async def _validate(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        requests = self._reviewer.metrics.requests
        if scope["method"] != "POST":
            requests["bad_request"].inc()
            await _answer(send, 405, b"POST an AdmissionReview\n", close=True)
            return
        if self._reviewer.policies is None:
            await _answer(send, 503, b"no specification is loaded yet\n", close=True)
            return
        name = scope["path"][len(PATH) + 1 :]
        only = self._reviewer.policy(name) if name else None
        if name and only is None:
            requests["bad_request"].inc()
            await _answer(send, 404, b"this specification is not enforced here\n", close=True)
            return
        client = scope["client"]
        if not self._rate.allow(client_of(client[0]) if client else ""):
            requests["limited"].inc()
            await _answer(send, 429, b"too many reviews a second\n", close=True)
            return
        length, content_type = _headers(scope["headers"])
        if not _is_json(content_type):
            self._reviewer.refuse("bad_request", "the content type is not application/json")
            await _answer(send, 415, b"the content type must be application/json\n", close=True)
            return
        try:
            if length > self._limits.body:
                raise TooLarge
            body = await self._body(receive)
        except TooLarge:
            self._reviewer.refuse("limited", f"the body is larger than {self._limits.body:,} bytes")
            await _answer(send, 413, b"the body is too large\n", close=True)
            return
        except TimeoutError:
            self._reviewer.refuse("limited", f"the body was not received within {self._limits.body_s:g} s")
            await _answer(send, 408, b"the body did not come in time\n", close=True)
            return
        if body is None:
            return  # the client is gone
        try:
            answer = await self._reviewer.review(body, only)
        except NotAReview as error:
            await _answer(send, 400, f"{error}\n".encode(), close=True)
            return
        await _answer(send, 200, answer, _JSON, close=self._ending())

    async def _body(self, receive: Receive) -> bytes | None:
        """The whole body; None where the client leaves before its end. Raises TooLarge, TimeoutError."""
        message = await _next(receive, self._limits.body_s)
        if message["type"] != "http.request":
            return None
        body: bytes = message["body"]
        if not message["more_body"]:
            if len(body) > self._limits.body:
                raise TooLarge
            return body
        parts, size = [body], len(body)
        async with asyncio.timeout(self._limits.body_s):
            while message["more_body"]:
                if size > self._limits.body:
                    raise TooLarge
                message = await receive()
                if message["type"] != "http.request":
                    return None
                parts.append(message["body"])
                size += len(message["body"])
        if size > self._limits.body:
            raise TooLarge
        return b"".join(parts)


class Reading:
    """/metrics and /policies, on a port of their own, for those whom `readers` knows. rate: of one client."""

    def __init__(self, reviewer: Reviewer, readers: Readers, rate: Rate) -> None:
        self._reviewer = reviewer
        self._rate = rate
        self._readers = readers

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """One HTTP request."""
        path = scope["path"]
        if path not in READ:
            await _answer(send, 404, b"there are /metrics and /policies\n", close=True)
            return
        if scope["method"] != "GET":
            await _answer(send, 405, b"GET it\n", close=True)
            return
        client = scope["client"]
        if not self._rate.allow(client_of(client[0]) if client else ""):
            more = [(b"retry-after", b"1")]
            await _answer(send, 429, b"too many requests a second\n", more=more, close=True)
            return
        if refused := refusal(await self._readers.judge(scope["headers"], path), path):
            more = [(b"www-authenticate", refused.challenge.encode())] if refused.challenge else []
            await _answer(send, refused.status, f"{refused.text}\n".encode(), more=more, close=True)
        elif path == webhook_client.PATH:
            await _answer(send, 200, self._policies(), _JSON)
        else:
            await _answer(send, 200, self._reviewer.metrics.registry.text(), CONTENT_TYPE.encode())

    def _policies(self) -> bytes:
        """What is in force here, for `kspec enforce --status`."""
        policies = self._reviewer.policies
        served = [
            webhook_client.ServedPolicy(key, policy.name, str(policy.mode))
            for key, policy in sorted(policies.by_id.items() if policies is not None else ())
        ]
        return msgspec.json.encode(webhook_client.Served(served))


async def _next(receive: Receive, timeout_s: float) -> dict[str, Any]:
    """The next message. Most bodies are there when they are asked for: a timer is set for the others only."""
    coming = receive().__await__()
    try:
        first = next(coming)
    except StopIteration as there:
        message: dict[str, Any] = there.value
        return message
    async with asyncio.timeout(timeout_s):
        return await _Rest(first, coming)


class _Rest:
    """What is still to come of something that was begun outside of the time limit. first: what it waits for."""

    def __init__(self, first: Any, coming: Generator[Any, Any, dict[str, Any]]) -> None:
        self._first = first
        self._coming = coming

    def __await__(self) -> Generator[Any, Any, dict[str, Any]]:
        waits_for = self._first
        while True:
            try:
                sent = yield waits_for
            except BaseException as error:  # noqa: BLE001 - of the limit, or of the server's end, for what waits inside
                going_on = partial(self._coming.throw, error)
            else:
                going_on = partial(self._coming.send, sent)
            try:
                waits_for = going_on()
            except StopIteration as there:
                message: dict[str, Any] = there.value
                return message


def _headers(headers: Iterable[tuple[bytes, bytes]]) -> tuple[int, bytes]:
    """Content length (0 where there is none) and type."""
    length, content_type = 0, b""
    for name, value in headers:
        if name == b"content-length":
            length = int(value) if value.isdigit() else 0
        elif name == b"content-type":
            content_type = value
    return length, content_type


def _is_json(content_type: bytes) -> bool:
    return content_type.partition(b";")[0].strip() == _JSON


async def _answer(
    send: Send,
    status: int,
    body: bytes,
    content_type: bytes = _TEXT,
    *,
    close: bool = False,
    more: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *more]
    if close:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
