"""A collector of traces: takes OTLP by HTTP, with OpenTelemetry's own message types, and keeps the spans."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


class Seen(NamedTuple):
    """One span."""

    name: str
    id: str
    parent: str
    trace: str
    service: str
    kind: int
    failed: bool
    attributes: dict[str, Any]
    said: str
    """Beside its status."""


class Collector:
    """port: where it listens; hangs: it takes requests and does not answer until it is closed."""

    def __init__(self, *, hangs: bool = False) -> None:
        self.spans: list[Seen] = []
        self.closing = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 20

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if hangs:
                    collector.closing.wait(120)
                    return
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                collector.take(ExportTraceServiceRequest.FromString(body))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.1,), daemon=True).start()

    @property
    def environment(self) -> dict[str, str]:
        """Variables that send traces here."""
        return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}"}

    def take(self, request: ExportTraceServiceRequest) -> None:
        for group in request.resource_spans:
            service = {one.key: one.value.string_value for one in group.resource.attributes}["service.name"]
            for scope in group.scope_spans:
                assert scope.scope.name == "pytest-kspec"
                for one in scope.spans:
                    attributes = {
                        pair.key: getattr(pair.value, pair.value.WhichOneof("value"))
                        for pair in one.attributes
                    }
                    ids = (one.span_id.hex(), one.parent_span_id.hex(), one.trace_id.hex())
                    self.spans.append(
                        Seen(
                            one.name,
                            *ids,
                            service,
                            one.kind,
                            one.status.code == 2,
                            attributes,
                            one.status.message,
                        )
                    )

    def named(self, start: str) -> list[Seen]:
        return [one for one in self.spans if one.name.startswith(start)]

    def path(self, span: Seen) -> list[str]:
        """First words of its name and of those above it."""
        by_id = {one.id: one for one in self.spans}
        found = [span.name.split()[0]]
        while span.parent in by_id:
            span = by_id[span.parent]
            found.append(span.name.split()[0])
        return found

    def close(self) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def collecting(*, hangs: bool = False) -> Iterator[Collector]:
    made = Collector(hangs=hangs)
    try:
        yield made
    finally:
        made.close()
