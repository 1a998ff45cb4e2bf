"""Traces of scans as a collector gets them, and collectors that are not there."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from pytest_kspec.observe import tracing
from pytest_kspec.observe.otel import Traces
from pytest_kspec.observe.spans import TRACEPARENT
from pytest_kspec.operator.scans import ScanFailed, Scanner
from tests.controlplane.process import free_port
from tests.docs.pages import ROOT
from tests.observe.collector import Collector, collecting
from tests.webhook.reviewing import body, pod
from tests.webhook.test_reviews import RULE, policy, reviewer

SPEC = "examples/01-quickstart/strict.yaml"
LIMIT_S = 120.0
CODE = """
import sys
from pytest_kspec.cli.main import main
try:
    main(["scan", sys.argv[1], "--quiet"])
finally:
    assert not [name for name in sys.modules if name.startswith("opentelemetry")]
"""


OTHERS = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

kept = InMemorySpanExporter()
mine = TracerProvider()
mine.add_span_processor(SimpleSpanProcessor(kept))
trace.set_tracer_provider(mine)
opened = mine.get_tracer("theirs").start_as_current_span("outer")
opened.__enter__()


def pytest_unconfigure():
    opened.__exit__(None, None, None)
    assert trace.get_tracer_provider() is mine
    print("theirs:", [one.name for one in kept.get_finished_spans()])
"""


def environment(**more: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    kept.pop(TRACEPARENT, None)
    return {**kept, **more}


def scan(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest_kspec.cli.main", "scan", SPEC, *words],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as made:
        yield made


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
    ],
    ids=["unset", "disabled", "no-exporter"],
)
def test_nothing_is_imported_unless_a_collector_is_named(variables: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE, SPEC],
        cwd=ROOT,
        env=environment(**variables),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert "Error" not in done.stderr, done.stderr
    assert "NOT COMPLIANT" in done.stdout


@pytest.mark.parametrize("words", [(), ("-n", "2")], ids=["one-process", "workers"])
def test_a_scan(collector: Collector, words: tuple[str, ...]) -> None:
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    done = scan(*words, TRACEPARENT=f"00-{trace}-{parent}-01", **collector.environment)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "traces" not in done.stdout
    (run,) = collector.named("RUN")
    assert (run.trace, run.parent, run.service, run.kind) == (trace, parent, "kspec", 2)
    assert run.attributes["cicd.pipeline.name"] == "kspec"
    assert run.attributes["cicd.pipeline.result"] == "failure"
    assert {one.trace for one in collector.spans} == {trace}
    requirements = collector.named("requirement")
    assert len(requirements) == 39
    assert {tuple(collector.path(one)) for one in requirements} == {("requirement", "cluster", "RUN")}
    clusters = collector.named("cluster")
    assert {one.attributes["k8s.cluster.name"] for one in clusters} == {"prod-eu"}
    assert all(one.attributes["k8s.cluster.uid"] for one in clusters)
    lists = collector.named("list")
    assert {tuple(collector.path(one)[-2:]) for one in lists} == {("cluster", "RUN")}
    assert {"list pods", "list namespaces"} <= {one.name for one in lists}
    results = {one.attributes["cicd.pipeline.task.run.result"] for one in requirements}
    assert results == {"success", "failure"}
    failed = [one for one in requirements if one.attributes.get("test.case.result.status") == "fail"]
    assert failed
    assert all(one.attributes["kspec.findings"] > 0 for one in failed)


def test_what_could_not_be_evaluated_is_an_error_without_credentials(
    collector: Collector, tmp_path: Path
) -> None:
    check = tmp_path / "test_mine.py"
    check.write_text(
        "from pytest_kspec import check\n\n\n"
        "@check(id='mine.thing', severity='high', title='Mine', remediation='x')\n"
        "def test_mine(workloads, findings):\n"
        "    '''Mine.'''\n"
        "    findings.error('https://user:s3cret@example.com did not answer')\n",
        encoding="utf-8",
    )
    done = scan(f"--checks={check}", **collector.environment)
    (mine,) = collector.named("requirement mine.thing")
    assert (mine.failed, mine.attributes["error.type"]) == (True, "NotEvaluated"), done.stdout
    assert "example.com did not answer" in mine.said
    assert "s3cret" not in str(collector.spans)


@pytest.mark.parametrize("words", [(), ("-n", "2")], ids=["one-process", "workers"])
def test_a_collector_that_is_not_there(words: tuple[str, ...]) -> None:
    done = scan(*words, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    assert done.returncode == 1
    assert "traces were not all sent" in done.stdout
    assert "score" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_collector_that_is_not_there_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """The library would try again after 1, 2 and 4 seconds, for 10 of them."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    traces = Traces("x", "")
    with traces.span("a", {}, server=False):
        pass
    said = traces.end(LIMIT_S)
    assert said == "traces were not all sent: 1 span was lost; the collector could not be reached."


def test_a_collector_that_closed_a_connection_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """It closes each as the second request comes."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version, timeout = "HTTP/1.1", LIMIT_S
        mine = 0

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.client_address)
            self.mine += 1
            if self.mine > 1:
                self.close_connection = True
                return
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.1,), daemon=True).start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
    try:
        traces = Traces("x", "")
        for name in ("a", "b"):
            with traces.span(name, {}, server=False):
                pass
        assert traces.end(LIMIT_S) == ""
    finally:
        server.shutdown()
        server.server_close()
    assert len(asked) == 3
    assert len(set(asked)) == 2


@pytest.mark.parametrize(("words", "ends"), [((), ["4"]), (("-n", "2"), ["0.5", "4"])])
def test_a_collector_that_does_not_answer(words: tuple[str, ...], ends: list[str]) -> None:
    """The run does not wait again for what its workers have waited for."""
    with collecting(hangs=True) as hanging:
        done = scan(*words, OTEL_EXPORTER_OTLP_TIMEOUT="600", **hanging.environment)
        assert not hanging.closing.is_set(), "the scan ended before the collector did"
    assert done.returncode == 1
    waited = re.findall(
        r"traces were not all sent: the collector did not answer within (\S+) s\.", done.stdout
    )
    assert waited == ends, done.stdout


def test_10_000_spans_arrive_or_are_counted(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a run of so many requirements, which are evaluated faster than a collector takes them."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.environment["OTEL_EXPORTER_OTLP_ENDPOINT"])
    traces = Traces("x", "")
    with traces.span("RUN", {}, server=True):
        for number in range(10_000):
            with traces.span("requirement", {"test.case.name": f"a.b[{number}]"}, server=False):
                pass
    said = traces.end(LIMIT_S)
    lost = int(said.split()[5]) if said else 0
    assert len(collector.spans) + lost == 10_001, said
    assert len({one.id for one in collector.spans}) == len(collector.spans)


FORKS = """
import multiprocessing

from pytest_kspec import check


def elsewhere():
    print('forked')


@check(id='mine.thing', severity='high', title='Mine', remediation='x')
def test_mine(workloads, findings):
    "Mine."
    list(workloads)
    child = multiprocessing.get_context('fork').Process(target=elsewhere)
    child.start()
    child.join(60)
    assert child.exitcode == 0
"""


def test_a_process_that_a_check_forks_sends_no_span_twice(collector: Collector, tmp_path: Path) -> None:
    check = tmp_path / "test_mine.py"
    check.write_text(FORKS, encoding="utf-8")
    done = scan(f"--checks={check}", **collector.environment)
    assert "traces were not" not in done.stdout, done.stdout
    (mine,) = collector.named("requirement mine.thing")
    assert mine.attributes["cicd.pipeline.task.run.result"] == "success", done.stdout
    ids = [one.id for one in collector.spans]
    assert len(set(ids)) == len(ids)
    assert len(collector.named("RUN")) == 1


def test_limits_of_spans_leave_run_and_result_as_they_are(collector: Collector) -> None:
    limits = {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT": "4"}
    done = scan(**limits, **collector.environment)
    assert done.returncode == 1
    assert "traces were not" not in done.stdout
    assert len(collector.named("requirement")) == 39
    assert {len(one.attributes) for one in collector.spans} == {1}
    texts = [value for one in collector.spans for value in one.attributes.values() if isinstance(value, str)]
    assert max(map(len, texts)) == 4


@pytest.mark.parametrize("words", [(), ("-n", "2")], ids=["one-process", "workers"])
def test_what_a_slow_collector_leaves_no_room_for_is_said(
    collector: Collector, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library drops it in silence."""
    take = collector.take

    def slowly(request: ExportTraceServiceRequest) -> None:
        time.sleep(0.3)
        take(request)

    monkeypatch.setattr(collector, "take", slowly)
    room = {"OTEL_BSP_MAX_QUEUE_SIZE": "4", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "2"}
    done = scan(*words, **room, **collector.environment)
    assert done.returncode == 1
    assert "traces were not all sent: " in done.stdout


def test_the_tracing_of_others_in_the_process_is_left_alone(collector: Collector, tmp_path: Path) -> None:
    """As pytest-opentelemetry does it: a provider for the whole process, and a span open around everything."""
    (tmp_path / "conftest.py").write_text(OTHERS, encoding="utf-8")
    (tmp_path / "test_theirs.py").write_text("def test_theirs(): pass\n", encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--kspec-spec={ROOT / SPEC}"]
    variables = environment(**collector.environment)
    variables.pop("PYTEST_DISABLE_PLUGIN_AUTOLOAD", None)
    done = subprocess.run(
        command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    assert "theirs: ['outer']" in done.stdout, done.stdout
    (run,) = collector.named("RUN")
    assert run.parent == ""
    assert len(collector.named("requirement")) > 30


def test_a_sampler_that_takes_nothing_is_no_loss(collector: Collector) -> None:
    done = scan(OTEL_TRACES_SAMPLER="always_off", **collector.environment)
    assert done.returncode == 1
    assert "traces were not" not in done.stdout
    assert collector.spans == []


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, "the protocol grpc is not supported"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, ""),
    ],
)
def test_what_cannot_be_done_is_said(variables: dict[str, str], expected: str) -> None:
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", **variables}
    assert expected in tracing.begin("x", given)
    assert not tracing.is_on()


def test_reviews(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in collector.environment.items():
        monkeypatch.setenv(name, value)
    assert tracing.begin("kspec-webhook") == ""
    try:
        asyncio.run(reviewer(policy(RULE)).review(body(pod())))
        assert tracing.carrier() == {}, "no span is open, and none was given"
    finally:
        assert tracing.end() == ""
    (span,) = collector.named("review")
    assert (span.service, span.kind) == ("kspec-webhook", 2)
    assert span.attributes["kspec.review.result"] == "success"


def test_a_scan_of_the_operator_continues_the_trace_of_its_reconciliation(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in collector.environment.items():
        monkeypatch.setenv(name, value)
    program, given = tmp_path / "program", tmp_path / "given"
    program.write_text(f'#!/bin/sh\nprintf %s "$TRACEPARENT" > {given}\n')
    program.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(program))
    assert tracing.begin("kspec-operator") == ""
    try:
        with tracing.span("reconcile clusterspec"), pytest.raises(ScanFailed):
            Scanner([], 60).scan("s", "")
    finally:
        assert tracing.end() == ""
    (span,) = collector.spans
    assert given.read_text() == f"00-{span.trace}-{span.id}-{given.read_text()[-2:]}"
    assert (span.failed, span.service) == (False, "kspec-operator")
