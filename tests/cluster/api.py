"""A small API server over real HTTP whose answers a test scripts: what a real one does only on bad days."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qs, urlsplit

import yaml

PODS = "/api/v1/pods"


class Wire(NamedTuple):
    """A connection after the headers of a request. send: raises OSError where nobody listens any more."""

    send: Callable[[bytes], object]
    wait: Callable[[float], bool]
    """For so many seconds; True as soon as the server ends."""


class Request(NamedTuple):
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    method: str = "GET"
    body: Any = None
    fields: tuple[tuple[str, str], ...] = ()
    """Header fields as they were sent."""
    peer: str = ""
    """The common name of the client's certificate."""


class Reply(NamedTuple):
    """cut: send only this many bytes of the body, then break the connection. act: write to the connection instead."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = {}  # noqa: RUF012  # never changed
    cut: int | None = None
    wait_s: float = 0.0
    act: Callable[[Wire], None] | None = None


Answer = Reply | Callable[[Request], Reply]


def status(code: int, message: str = "", **headers: str) -> Reply:
    body = {"kind": "Status", "code": code, "message": message}
    return Reply(body, code, {name.replace("_", "-"): value for name, value in headers.items()})


def page(*items: Any, token: str = "") -> Reply:
    return listing("Pod", *items, **{"continue": token})


def group_version(*resources: tuple[str, str, bool]) -> Answer:
    verbs = ["get", "list"]

    def answer(request: Request) -> Reply:
        body = {
            "kind": "APIResourceList",
            "groupVersion": request.path.removeprefix("/apis/").removeprefix("/api/"),
            "resources": [
                {"name": name, "kind": kind, "namespaced": namespaced, "verbs": verbs}
                for name, kind, namespaced in resources
            ],
        }
        return Reply(body)

    return answer


def listing(kind: str, *items: Any, api_version: str = "v1", **more: Any) -> Reply:
    """A list as a real API server sends it."""
    metadata = {"resourceVersion": "1", **more}
    return Reply(
        {"kind": f"{kind}List", "apiVersion": api_version, "metadata": metadata, "items": list(items)}
    )


CORE: dict[str, Answer | list[Answer]] = {
    "/api": Reply({"kind": "APIVersions", "versions": ["v1"]}),
    "/apis": Reply({"kind": "APIGroupList", "groups": []}),
    "/api/v1": group_version(("pods", "Pod", True), ("secrets", "Secret", True), ("pods/log", "Pod", True)),
    "/version": Reply({"gitVersion": "v1.30.1-eks-1"}),
    "/api/v1/namespaces/kube-system": Reply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "kube-system", "uid": "u-1"}}
    ),
}


class Api:
    """answers: path → one reply for all requests, or a list of replies of which the last stays."""

    def __init__(
        self,
        answers: dict[str, Answer | list[Answer]] | None = None,
        tls: ssl.SSLContext | None = None,
        port: int = 0,
    ) -> None:
        self.answers: dict[str, Answer | list[Answer]] = {**CORE, **(answers or {})}
        self.seen: list[Request] = []
        self._stop = threading.Event()
        handler = type("Handler", (_Handler,), {"api": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        self._server.daemon_threads = True
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait(self, seconds: float) -> bool:
        return self._stop.wait(seconds)

    @property
    def stopped(self) -> bool:
        return self._stop.is_set()

    def reply(self, request: Request) -> Reply:
        self.seen.append(request)
        answer = self.answers.get(request.path, status(404))
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        made = answer if isinstance(answer, Reply) else answer(request)
        if made.wait_s:
            self._stop.wait(made.wait_s)
        return made

    def paths(self, path: str) -> list[dict[str, str]]:
        return [request.query for request in self.seen if request.path == path]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: Api

    def do_GET(self) -> None:
        if self.api.stopped:
            self.close_connection = True
            return
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        headers = {k.lower(): v for k, v in self.headers.items()}
        fields = tuple(self.headers.items())
        raw = self.rfile.read(int(headers.get("content-length", 0))) or b"null"
        sent = raw.decode() if "form" in headers.get("content-type", "") else json.loads(raw)
        reply = self.api.reply(
            Request(parts.path, query, headers, self.command, sent, fields, _peer(self.connection))
        )
        if reply.act is not None:
            with contextlib.suppress(OSError):
                reply.act(Wire(self.connection.sendall, self.api.wait))
            self.close_connection = True
            return
        body = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        try:
            self.send_response(reply.status)
            for name, value in {"Content-Type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body if reply.cut is None else body[: reply.cut])
            if reply.cut is not None:
                self.close_connection = True
        except OSError:
            self.close_connection = True

    do_CONNECT = do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


def _peer(connection: Any) -> str:
    read = getattr(connection, "getpeercert", None)
    certificate = (read() if read is not None else None) or {}
    names = [value for rdn in certificate.get("subject", ()) for key, value in rdn if key == "commonName"]
    return names[0] if names else ""


def kubeconfig(
    folder: Path,
    url: str,
    *,
    user: dict[str, Any] | None = None,
    name: str = "prod",
    ca: bytes = b"",
    extra: Mapping[str, Any] | None = None,
    **cluster: Any,
) -> str:
    """A kubeconfig of one context. extra: further fields of its cluster."""
    cluster |= extra or {}
    if ca:
        cluster["certificate-authority-data"] = base64.b64encode(ca).decode()
    path = folder / f"{name}.kubeconfig"
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": {"server": url, **cluster}}],
        "users": [{"name": name, "user": {"token": "t0ken"} if user is None else user}],
    }
    path.write_text(yaml.safe_dump(data))
    return str(path)
