"""Traces: what a run, a review or a reconciliation spent its time on, for an OpenTelemetry collector.

Off unless the usual variables of OpenTelemetry name a collector, and nothing of OpenTelemetry is imported then. This
module is what the others use; `otel` is the one that knows the library.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from pytest_kspec.observe.spans import END_S, LEAST_S, TRACEPARENT, Attributes, Backend, Span
from pytest_kspec.regexes import regex

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")

_TRACEPARENT = regex(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class _Nothing:
    def set(self, attributes: Attributes) -> None:
        pass

    def fail(self, kind: str, text: str) -> None:
        pass


_NOTHING = _Nothing()
_backend: Backend | None = None


def wanted(environment: Mapping[str, str]) -> bool:
    """Whether the variables ask for traces."""
    exporter = environment.get("OTEL_TRACES_EXPORTER", "").strip().lower()
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none":
        return False
    return exporter == "otlp" or any(environment.get(name) for name in ENDPOINTS)


def begin(service: str, environment: Mapping[str, str] | None = None, parent: str = "") -> str:
    """Trace this process, if that is asked for. Returns why it is asked for and cannot be done, else "".

    service: its name where OTEL_SERVICE_NAME gives none; parent: a traceparent, by default that of the environment
    """
    global _backend
    environment = os.environ if environment is None else environment
    if _backend is not None or not wanted(environment):
        return ""
    protocol = environment.get(
        "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", environment.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")
    )
    if protocol not in ("", "http/protobuf"):
        fix = "Set OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf."
        return f"no traces are sent: the protocol {protocol} is not supported. {fix}"
    try:
        from pytest_kspec.observe.otel import Traces
    except ImportError:
        return "no traces are sent: install OpenTelemetry with: pip install 'pytest-kspec[otel]'."
    _backend = Traces(service, parent or environment.get(TRACEPARENT, ""))
    return ""


def is_on() -> bool:
    """Whether this process is traced."""
    return _backend is not None


@contextmanager
def span(name: str, attributes: Attributes | None = None, *, server: bool = False) -> Iterator[Span]:
    """A span around this block. server: it is what someone asked this process for, such as a review."""
    if _backend is None:
        yield _NOTHING
        return
    with _backend.span(name, attributes or {}, server=server) as made:
        yield made


def carrier() -> dict[str, str]:
    """Variables for a process that is started here: its spans belong to the one that is open. {} without traces."""
    return _backend.carrier() if _backend is not None else {}


def handed_on(environment: Mapping[str, str]) -> str:
    """The traceparent for what is started elsewhere, such as a Job: of the open span, else of the environment."""
    parent = carrier().get(TRACEPARENT, "") or environment.get(TRACEPARENT, "").strip()
    return parent if _TRACEPARENT.fullmatch(parent) else ""


def end(waited_s: float = 0.0) -> str:
    """Send what is left, and trace no more. Returns why something was not sent, else "".

    waited_s: how long the end of the run was held up by its other processes
    """
    global _backend
    if _backend is None:
        return ""
    problem, _backend = _backend.end(max(LEAST_S, END_S - waited_s)), None
    return problem
