"""A SOCKS5 proxy on loopback: every name leads to loopback, and what was asked is noted."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Self


class SocksServer:
    """asked: `HOST:PORT USER:PASSWORD` of each connection, without a user `HOST:PORT`."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        handler = type("Handler", (_Handler,), {"owner": self})
        self._server = ThreadingTCPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseRequestHandler):
    owner: SocksServer

    def handle(self) -> None:
        with contextlib.suppress(OSError, struct.error, IndexError):
            self._serve()

    def _serve(self) -> None:
        methods = self._take(self._take(2)[1])
        who = ""
        if 2 in methods:
            self.request.sendall(b"\x05\x02")
            user = self._take(self._take(2)[1]).decode()
            who = f" {user}:{self._take(self._take(1)[0]).decode()}"
            self.request.sendall(b"\x01\x00")
        else:
            self.request.sendall(b"\x05\x00")
        kind = self._take(4)[3]
        host = self._take(self._take(1)[0]).decode() if kind == 3 else socket.inet_ntoa(self._take(4))
        (port,) = struct.unpack("!H", self._take(2))
        self.owner.asked.append(f"{host}:{port}{who}")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as other:
            self.request.sendall(b"\x05\x00\x00\x01" + bytes(6))
            self._relay(other)

    def _take(self, count: int) -> bytes:
        found = b""
        while len(found) < count:
            part = self.request.recv(count - len(found))
            if not part:
                raise OSError
            found += part
        return found

    def _relay(self, other: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self.request, selectors.EVENT_READ, other)
            selector.register(other, selectors.EVENT_READ, self.request)
            while True:
                for key, _ in selector.select(10):
                    part = key.fileobj.recv(1 << 16)  # type: ignore[union-attr]  # both are sockets
                    if not part:
                        return
                    key.data.sendall(part)
