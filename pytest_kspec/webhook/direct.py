"""Reviews that are answered where they are read, without a task for each: nearly all of an API server's are.

An ASGI server makes a scope, an event and a task for every request, which costs more than the rules do. A review that
came whole and needs nothing that is waited for is answered in the parser's last callback instead; one whose head equals
an earlier one but for the length, before the parser: seven callbacks for the same few lines are a fifth of a review.
Whatever is unusual about a request (a body that is still coming, a large one, a wrong one, a client that reads too
slowly) goes to the application, which alone refuses requests: nothing is refused, and nothing counted as refused, here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

AtOnce = Callable[[bytes, str, Iterable[tuple[bytes, bytes]], bytes], bytes | None]
"""(path, address of the client, headers, body) → the whole response; None: the application is to answer."""

KNOWN_HEADS = 256
"""Heads that are remembered; an API server has one for each path."""
LONGEST_HEAD = 2048
_END = b"\r\n\r\n"
_LENGTH = b"\r\nContent-Length: "
_DIGITS = 8


class _Head(NamedTuple):
    """What the parser says of a request up to its body. around: its text, without the length."""

    around: bytes
    length: bytes
    size: int


class _Known(NamedTuple):
    """Of a usual request. headers: without its length."""

    url: bytes
    headers: tuple[tuple[bytes, bytes], ...]


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
    return _Head(data[:at] + data[stop:end], length, size)


def _remember(
    known: dict[bytes, _Known],
    head: _Head,
    url: bytes,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    data: bytes,
) -> None:
    """What the parser made of these bytes, if that is what they seemed to be."""
    rest = tuple(one for one in headers if one[0] != b"content-length")
    if len(rest) == len(headers) - 1 and body == data[head.size :]:
        if len(known) >= KNOWN_HEADS:
            known.clear()
        known[head.around] = _Known(url, rest)


def protocol(base: type[HttpToolsProtocol], at_once: AtOnce) -> type[HttpToolsProtocol]:
    """`base`, with what `at_once` answers at once. Heads are known to all its connections."""
    known: dict[bytes, _Known] = {}

    class Direct(base):  # type: ignore[misc, valid-type]
        _parts: list[bytes] | None = None  # of the body, while it may be answered here
        _within = False  # a request
        _answered: tuple[bytes, list[tuple[bytes, bytes]], bytes] | None = None  # its path, headers and body
        _refused_here = False  # this request is for the application

        def data_received(self, data: bytes) -> None:
            head = None if self._within else _head(data)
            if head is not None and (usual := known.get(head.around)) is not None and self._is_free():
                headers = (*usual.headers, (b"content-length", head.length))
                answer = self._ask(usual.url, headers, data[head.size :])
                if answer is not None:
                    self._unset_keepalive_if_required()
                    self._headers_are_here()
                    self.transport.write(answer)
                    self.on_response_complete()
                    return
                self._refused_here = True
            self._answered = None
            super().data_received(data)
            if self._parts is not None:  # the application knows how long to wait for the rest
                self._hand_over(self._parts, whole=False)
            if head is not None and self._answered is not None:
                _remember(known, head, *self._answered, data)

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
            answer = self._ask(self.url, self.headers, body)
            if answer is None:
                self._hand_over(parts, whole=True)
                return
            self._answered = self.url, self.headers, body
            self._parts = None
            self.transport.write(answer)
            self.on_response_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._parts = None
            super().connection_lost(exc)

        def _ask(self, url: bytes, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes | None:
            try:
                return at_once(url, self.client[0] if self.client else "", headers, body)
            except Exception:  # noqa: BLE001 - the parser would say 400; the application says what went wrong
                return None

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
