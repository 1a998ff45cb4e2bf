"""Reviews that are answered where they are read, without a task for each: nearly all of an API server's are.

An ASGI server makes a scope, an event and a task for every request, which costs more than the rules do. A review that
came whole and needs nothing that is waited for is answered in the parser's last callback instead. Whatever is unusual
about a request (a body that is still coming, a large one, a wrong one, a client that reads too slowly) goes to the
application, which alone refuses requests: nothing is refused, and nothing counted as refused, here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

AtOnce = Callable[[bytes, str, Iterable[tuple[bytes, bytes]], bytes], bytes | None]
"""(path, address of the client, headers, body) → the whole response; None: the application is to answer."""


def protocol(base: type[HttpToolsProtocol], at_once: AtOnce) -> type[HttpToolsProtocol]:
    """`base`, with what `at_once` answers at once."""

    class Direct(base):  # type: ignore[misc, valid-type]
        _parts: list[bytes] | None = None  # of the body, while it may be answered here

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self._parts is not None:  # the application knows how long to wait for the rest
                self._hand_over(self._parts, whole=False)

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
            if (parts := self._parts) is None:
                super().on_message_complete()
                return
            client = self.client[0] if self.client else ""
            try:
                answer = at_once(self.url, client, self.headers, b"".join(parts))
            except Exception:  # noqa: BLE001 - the parser would say 400; the application says what went wrong
                answer = None
            if answer is None:
                self._hand_over(parts, whole=True)
                return
            self._parts = None
            self.transport.write(answer)
            self.on_response_complete()

        def connection_lost(self, exc: Exception | None) -> None:
            self._parts = None
            super().connection_lost(exc)

        def _is_usual(self) -> bool:
            return (
                self.parser.get_method() == b"POST"
                and self.parser.get_http_version() == "1.1"
                and self.parser.should_keep_alive()
                and not self.parser.should_upgrade()
                and not self.expect_100_continue
                and not self.flow.write_paused
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
