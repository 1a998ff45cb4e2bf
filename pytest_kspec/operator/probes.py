"""Small HTTP servers of the operator: `/healthz` and `/readyz` on one address, `/metrics` on another.

Few clients, each for a short time: a prober that is slow or many of them cost a bounded number of threads.
"""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import AF_INET6
from typing import TYPE_CHECKING, Any, NamedTuple

from pytest_kspec.errors import UsageError
from pytest_kspec.serving.rate import Rate, client_of

if TYPE_CHECKING:
    from pytest_kspec.operator.guarded import Guard

MOST_CONNECTIONS = 32
PATIENCE_S = 5.0
LIFE_S = 30.0
SMALL = 1024
"""Bytes that are not worth compressing."""


class Page(NamedTuple):
    """An answer."""

    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class Probes:
    """A server of these pages by path. Raises UsageError where the address cannot be had.

    address: `HOST:PORT`, or `:PORT` for all addresses
    rate: requests a second of one client, twice as many at once; 0: no limit, for probes of a kubelet
    guard: whom each page is for, over HTTPS; None: for everybody, over HTTP
    """

    def __init__(
        self,
        address: str,
        pages: Mapping[str, Callable[[], Page]],
        option: str,
        rate: float = 0.0,
        guard: Guard | None = None,
    ) -> None:
        host, port = parse_address(address, option)
        of_class = {"pages": dict(pages), "rate": Rate(rate, 2.0, time.monotonic), "lock": threading.Lock()}
        handler = type("Handler", (_Handler,), of_class | {"guard": guard})
        family = {"address_family": AF_INET6} if ":" in host else {}
        server = type("Server", (_Server,), family | {"guard": guard})
        self._guard = guard
        try:
            self._server = server((host, port), handler)
        except OSError as error:
            raise UsageError(
                f"cannot listen there: {error.strerror or error}.", where=f"{option} {address}"
            ) from error
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.2,), daemon=True).start()

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        if self._guard is not None:
            self._guard.close()


def parse_address(address: str, option: str) -> tuple[str, int]:
    """Host ("" for all) and port. Raises UsageError."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UsageError(
            f"'{address}' is not an address.", where=option, fix="Write :8080 or 127.0.0.1:8080."
        )
    return host.strip("[]"), int(port)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    guard: Guard | None

    def __init__(self, *args: Any) -> None:
        self._room = threading.BoundedSemaphore(MOST_CONNECTIONS)
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Refuse what there is no room for."""
        if not self._room.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """One connection; ended after LIFE_S whatever it does."""
        try:
            if self.guard is not None:
                request.settimeout(PATIENCE_S)
                # The handshake comes with the first byte that is read, and so within the time of this thread.
                context = self.guard.context()
                request = context.wrap_socket(request, server_side=True, do_handshake_on_connect=False)
            end = threading.Timer(LIFE_S, self.shutdown_request, [request])
            end.daemon = True
            end.start()
            try:
                super().process_request_thread(request, client_address)
            finally:
                end.cancel()
        except OSError:
            self.shutdown_request(request)  # gone before it began
        finally:
            self._room.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of ours."""


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE_S
    pages: Mapping[str, Callable[[], Page]]
    rate: Rate
    lock: threading.Lock
    guard: Guard | None

    def do_GET(self) -> None:
        with self.lock:
            allowed = self.rate.allow(client_of(self.client_address[0]))
        path = self.path.partition("?")[0]
        make = self.pages.get(path)
        refused = None
        if not allowed:
            page = Page(429, b"too many requests a second\n")
        elif make is None:
            page = Page(404, b"not found\n")
        elif self.guard is not None and (refused := self.guard.refuses(self.headers.items(), path)):
            page = Page(refused.status, f"{refused.text}\n".encode())
        else:
            page = make()
        body = page.body
        self.send_response(page.status)
        self.send_header("Content-Type", page.content_type)
        if not allowed:
            self.send_header("Retry-After", "1")
        if refused is not None and refused.challenge:
            self.send_header("WWW-Authenticate", refused.challenge)
        if len(body) > SMALL and "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body, 1)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Without versions, which clients of these pages do not need."""
        return "kspec"

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""
