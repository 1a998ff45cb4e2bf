"""Reviews that are answered where they are read, without a task for each: nearly all of an API server's are.

An ASGI server makes a scope, an event and a task for every request, which costs more than the rules do. A review that
came whole and needs nothing that is waited for is answered in the parser's last callback instead; one whose head equals
an earlier one but for the length, before the parser: seven callbacks for the same few lines are a fifth of a review.
Whatever is unusual about a request (a body that is still coming, a large one, a wrong one, a client that reads too
slowly) goes to the application, which alone refuses requests: nothing is refused, and nothing counted as refused, here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import inf
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from pytest_kspec.serving.rate import client_of

Answer = Callable[[str, bytes], bytes | None]
"""(client, body) → the whole response; None: the application is to answer."""
Route = Callable[[bytes, Iterable[tuple[bytes, bytes]]], Answer | None]
"""(target, headers) → what answers such requests; None: the application. It is asked once for each head."""

KNOWN_HEADS = 256
"""Heads that are remembered; an API server has one for each path."""
LONGEST_HEAD = 2048
_END = b"\r\n\r\n"
_LENGTH = b"\r\nContent-Length: "
_DIGITS = 8


class _Head(NamedTuple):
    """The text of a request up to its body. before, after: what is around the length."""

    before: bytes
    after: bytes
    size: int


class _Known(NamedTuple):
    """A head that the parser has read, and what answers its requests."""

    before: bytes
    after: bytes
    answer: Answer

    def body(self, data: bytes) -> bytes | None:
        """That of a request which is whole in these bytes, and nothing else is; None: it is another one."""
        if not data.startswith(self.before):
            return None
        start = len(self.before)
        stop = data.find(b"\r", start, start + _DIGITS + 1)
        if stop < 0 or not data.startswith(self.after, stop):
            return None
        length, body = data[start:stop], data[stop + len(self.after) :]
        return body if length.isdigit() and int(length) == len(body) else None


def _head(data: bytes) -> _Head | None:
    """That of a request which is whole in these bytes, and nothing else is."""
    end = data.find(_END, 0, LONGEST_HEAD)
    at = data.find(_LENGTH, 0, end) if end > 0 else -1
    if at < 0 or not data[:1].isalpha():  # empty lines before a request would make a header its first line
        return None
    start = at + len(_LENGTH)
    stop = data.find(b"\r\n", start, end + 2)
    length = data[start:stop]
    size = end + len(_END)
    if not 0 < len(length) <= _DIGITS or not length.isdigit() or int(length) != len(data) - size:
        return None
    return _Head(data[:start], data[stop:size], size)


def protocol(base: type[HttpToolsProtocol], route: Route) -> type[HttpToolsProtocol]:
    """`base`, with what `route` answers at once. Heads are known to all its connections."""
    known: dict[tuple[bytes, bytes], _Known] = {}

    class Direct(base):  # type: ignore[misc, valid-type]
        _client = ""
        _usual: _Known | None = None  # the head that came last
        _parts: list[bytes] | None = None  # of the body, while it may be answered here
        _within = False  # a request
        _answered: tuple[Answer, bytes] | None = None  # what answered it here, and its body
        _refused_here = False  # this request is for the application
        _idle_since = -inf  # of the loop's clock: the last answer from here

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._client = client_of(self.client[0]) if self.client else ""

        def data_received(self, data: bytes) -> None:
            head = None
            if not self._within:
                usual = self._usual
                body = usual.body(data) if usual is not None else None
                if body is None and (head := _head(data)) is not None:
                    usual = self._usual = known.get((head.before, head.after))
                    body = data[head.size :] if usual is not None else None
                if usual is not None and body is not None and self._is_free():
                    response = self._ask(usual.answer, body)
                    if response is not None:
                        self._write(response)
                        return
                    self._refused_here = True
            self._answered = None
            super().data_received(data)
            if self._parts is not None:  # the application knows how long to wait for the rest
                self._hand_over(self._parts, whole=False)
            if head is not None and self._answered is not None:
                self._remember(head, data, *self._answered)

        def on_message_begin(self) -> None:
            self._within = True
            super().on_message_begin()

        def on_headers_complete(self) -> None:
            if self._is_usual():
                self._headers_are_here()
                self._parts = []
            else:
                super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            if self._parts is not None:
                self._parts.append(body)
            else:
                super().on_body(body)

        def on_message_complete(self) -> None:
            self._within = self._refused_here = False
            if (parts := self._parts) is None:
                super().on_message_complete()
                return
            body = b"".join(parts)
            answer = route(self.url, self.headers) if self._has_length(body) else None
            response = self._ask(answer, body) if answer is not None else None
            if answer is None or response is None:
                self._hand_over(parts, whole=True)
                return
            self._answered = answer, body
            self._parts = None
            self._write(response)

        def connection_lost(self, exc: Exception | None) -> None:
            self._parts = None
            super().connection_lost(exc)

        def timeout_keep_alive_handler(self) -> None:
            """The timer goes on over what is answered here: to set it anew costs as much as to read a head."""
            self.timeout_keep_alive_task = None
            left = self._idle_since + self.timeout_keep_alive - self.loop.time()
            if left > 0:
                self._wake_in(left)
            else:
                super().timeout_keep_alive_handler()

        def _wake_in(self, seconds: float) -> None:
            self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

        def _ask(self, answer: Answer, body: bytes) -> bytes | None:
            try:
                return answer(self._client, body)
            except Exception:  # noqa: BLE001 - the parser would say 400; the application says what went wrong
                return None

        def _write(self, response: bytes) -> None:
            """As uvicorn does when a response is complete, where nothing is paused and nothing waits."""
            if self._deadline is not None:
                self._headers_are_here()
            self.transport.write(response)
            self.server_state.total_requests += 1
            self._idle_since = self.loop.time()
            if self.timeout_keep_alive_task is None:
                self._wake_in(self.timeout_keep_alive)

        def _has_length(self, body: bytes) -> bool:
            """Whether its headers say how long it is, once: then the parser has seen to it."""
            lengths = [value for name, value in self.headers if name == b"content-length"]
            return len(lengths) == 1 and lengths[0].isdigit() and int(lengths[0]) == len(body)

        def _remember(self, head: _Head, data: bytes, answer: Answer, body: bytes) -> None:
            """What the parser made of these bytes, if that is what they seemed to be."""
            if body == data[head.size :]:
                if len(known) >= KNOWN_HEADS:
                    known.clear()
                found = _Known(head.before, head.after, answer)
                known[head.before, head.after] = self._usual = found

        def _is_usual(self) -> bool:
            return (
                self.parser.get_method() == b"POST"
                and self.parser.get_http_version() == "1.1"
                and self.parser.should_keep_alive()
                and not self.parser.should_upgrade()
                and not self.expect_100_continue
                and not self._refused_here
                and self._is_free()
            )

        def _is_free(self) -> bool:
            """Nothing else is to be answered before."""
            return (
                not self.flow.write_paused
                and not self.pipeline
                and (self.cycle is None or self.cycle.response_complete)
                and not self.transport.is_closing()
            )

        def _hand_over(self, parts: list[bytes], *, whole: bool) -> None:
            """Tell the application what it would have been told before."""
            self._parts = None
            super().on_headers_complete()
            if self.transport.is_closing():
                return
            for part in parts:
                super().on_body(part)
            if whole:
                super().on_message_complete()

    return Direct
