"""Spans by OpenTelemetry's SDK: a provider of our own, so that no other tracing in this process is touched."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import requests
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
from opentelemetry.trace import SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from pytest_kspec.observe.spans import TRACEPARENT, Attributes

SCOPE = "pytest-kspec"
_FORMAT = TraceContextTextMapPropagator()
_OPEN: ContextVar[trace.Span | None] = ContextVar("kspec_span", default=None)


class _Span:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def set(self, attributes: Attributes) -> None:
        self._span.set_attributes(dict(attributes))

    def fail(self, kind: str, text: str) -> None:
        self._span.set_attribute("error.type", kind)
        self._span.set_status(StatusCode.ERROR, text)


class _Unreachable(Exception):
    """Not one of the errors after which the library waits and tries again."""


class _Session(requests.Session):
    """ends: what is left is not waited with for somebody to be there. unreachable: nobody was."""

    ends = unreachable = False

    def request(self, *args: Any, **more: Any) -> requests.Response:
        try:
            return super().request(*args, **more)
        except requests.ConnectionError:
            if not self.ends:
                raise
        try:  # the collector may have closed a connection that was kept
            return super().request(*args, **more)
        except requests.ConnectionError:
            self.unreachable = True
            raise _Unreachable from None


class _Exporter(OTLPSpanExporter):
    """Counts the spans that a collector took."""

    taken = 0

    def __init__(self) -> None:
        self.session = _Session()
        super().__init__(session=self.session)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        if result is SpanExportResult.SUCCESS:
            self.taken += len(spans)
        return result


class Traces:
    """Spans of this process. parent: the traceparent that it was given, "" for none."""

    def __init__(self, service: str, parent: str) -> None:
        name = os.environ.get("OTEL_SERVICE_NAME") or service
        self._provider = TracerProvider(
            resource=Resource.create({"service.name": name}), shutdown_on_exit=False
        )
        self._exporter = _Exporter()
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._made, self._counting = 0, threading.Lock()
        self._tracer = self._provider.get_tracer(SCOPE)
        self._given = _FORMAT.extract({"traceparent": parent}, Context()) if parent else Context()
        # What a dead collector costs is said once, at the end, and not line by line in the output of a run.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)

    @contextmanager
    def span(self, name: str, attributes: Attributes, *, server: bool) -> Iterator[_Span]:
        """As `tracing.span`; an exception that passes is its error, by type."""
        kind = SpanKind.SERVER if server else SpanKind.INTERNAL
        span = self._tracer.start_span(name, self._context(), kind, dict(attributes))
        token = _OPEN.set(span)
        made = _Span(span)
        try:
            yield made
        except BaseException as error:
            made.fail(type(error).__name__, "")
            raise
        finally:
            _OPEN.reset(token)
            span.end()
            if span.get_span_context().trace_flags.sampled:
                with self._counting:
                    self._made += 1

    def carrier(self) -> dict[str, str]:
        """As `tracing.carrier`."""
        found: dict[str, str] = {}
        _FORMAT.inject(found, self._context())
        return {TRACEPARENT: found["traceparent"]} if "traceparent" in found else {}

    def end(self, within_s: float) -> str:
        """As `Backend.end`: the library's own bounds do not hold while an export hangs."""
        self._exporter.session.ends = True
        ending = threading.Thread(target=self._provider.shutdown, daemon=True)
        ending.start()
        ending.join(within_s)
        if ending.is_alive():
            return f"traces were not all sent: the collector did not answer within {within_s:.2g} s."
        # The library drops without a word what a slow collector leaves no room for.
        if lost := self._made - self._exporter.taken:
            count = "1 span was" if lost == 1 else f"{lost} spans were"
            why = "; the collector could not be reached" if self._exporter.session.unreachable else ""
            return f"traces were not all sent: {count} lost{why}."
        return ""

    def _context(self) -> Context:
        span = _OPEN.get()
        return trace.set_span_in_context(span, Context()) if span is not None else self._given
