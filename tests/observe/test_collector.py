"""A scan's trace in OpenTelemetry's own collector, which is built once with Go (some minutes)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.controlplane.build import built
from tests.controlplane.process import Process, free_port
from tests.docs.pages import ROOT
from tests.observe.test_tracing import LIMIT_S, scan
from tests.operator.conftest import OperatorProcess, Specs
from tests.operator.test_live import UNMET

MODULE = ROOT / "tests" / "collector"
SOURCE = hashlib.sha256((MODULE / "main.go").read_bytes()).hexdigest()[:12]
FLAGS = ("-trimpath", "-mod=readonly", "-ldflags", f"-s -w -X main.source={SOURCE}")
"""Another source is another build: what is kept is named by the flags."""

WITHOUT = "No collector: install Go 1.26+."


@pytest.fixture
def collector(tmp_path: Path) -> Iterator[tuple[int, Path]]:
    """Its port, and the file that it writes."""
    program = built(MODULE, "collector", ".", FLAGS, WITHOUT)
    port, out = free_port(), tmp_path / "traces.json"
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{port}"}}}},
        "exporters": {"file": {"path": str(out), "flush_interval": "100ms"}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["file"]}},
        },
    }
    path = tmp_path / "collector.yaml"
    path.write_text(yaml.safe_dump(config), encoding="utf-8")
    process = Process("collector", [program, f"--config=file:{path}"], tmp_path)
    process.start()

    def ready() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
        return False

    process.wait_until(ready, LIMIT_S)
    yield port, out
    process.stop()


def spans(out: Path) -> list[dict[str, Any]]:
    lines = (
        [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []
    )
    return [
        span
        for line in lines
        for group in line["resourceSpans"]
        for scope in group["scopeSpans"]
        for span in scope["spans"]
    ]


@pytest.mark.long
def test_the_trace_of_a_scan_arrives_whole(collector: tuple[int, Path]) -> None:
    port, out = collector
    done = scan("-n", "2", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}")
    assert done.returncode == 1, done.stderr
    assert "traces were" not in done.stdout
    deadline = time.monotonic() + LIMIT_S
    while "RUN kspec" not in {span["name"] for span in spans(out)}:
        assert time.monotonic() < deadline, spans(out)
        time.sleep(0.2)
    found = spans(out)
    by_id = {span["spanId"]: span for span in found}
    requirements = [span for span in found if span["name"].startswith("requirement ")]
    assert len(requirements) == 39
    assert {span["traceId"] for span in found} == {found[0]["traceId"]}
    for span in requirements:
        cluster = by_id[span["parentSpanId"]]
        assert cluster["name"] == "cluster prod-eu"
        assert by_id[cluster["parentSpanId"]]["name"] == "RUN kspec"


@pytest.mark.long
def test_reconciliations_of_an_operator_and_the_scans_of_each_are_one_trace(
    collector: tuple[int, Path],
    specs: Specs,
    start: Callable[..., OperatorProcess],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port, out = collector
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "500")
    specs.put("traced", UNMET)
    operator = start("--leader-elect=false", "--scan-interval=5s")
    specs.wait("traced", "False", said=operator.said)

    def whole() -> list[list[str]]:
        found = spans(out)
        by_id = {span["spanId"]: span for span in found}
        return [_path(span, by_id) for span in found if span["name"].startswith("requirement ")]

    wanted = ["requirement", "cluster", "RUN", "reconcile"]
    deadline = time.monotonic() + LIMIT_S
    while wanted not in whole():
        assert time.monotonic() < deadline, spans(out)
        time.sleep(0.2)
    (*_, last) = [span for span in spans(out) if span["name"] == "reconcile clusterspec"]
    attributes = {one["key"]: one["value"]["stringValue"] for one in last["attributes"]}
    assert attributes == {"kspec.controller": "clusterspec", "kspec.object": "traced"}


def _path(span: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> list[str]:
    """First words of the name of a span and of those above it."""
    found = [span["name"].split()[0]]
    while span := by_id.get(span.get("parentSpanId", ""), {}):
        found.append(span["name"].split()[0])
    return found
