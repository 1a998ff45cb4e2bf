"""The pictures of docs/alerts.md, metrics.md, tracing.md and audit.md, of real runs (`make picture-operations`).

python -m tools.operations_picture docs/images

The demonstration of examples/05-operations runs up to where all is broken: what its receiver was sent, what its
Prometheus scraped and its audit log are drawn, and the trace of a scan, as a collector took it.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from html import escape
from pathlib import Path
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from playwright.sync_api import sync_playwright

from tests.observe.collector import Collector
from tools.chromium import FLAGS, chromium

ROOT = Path(__file__).parents[1]
KSPEC = (sys.executable, "-m", "pytest_kspec.cli.main")
WIDTH = 960
STYLE = """
body { margin: 0; padding: 20px 24px; width: 912px; color: #1b1f24; background: #fff;
  font: 14px/1.45 system-ui, sans-serif; }
h1 { font-size: 16px; margin: 0 0 12px; } pre { margin: 0; font: 12px/1.5 monospace; white-space: pre-wrap; }
.terminal { background: #16191d; color: #e6e6e6; border-radius: 6px; padding: 14px 16px; }
.card { border: 1px solid #d4d8dd; border-left: 5px solid #888; border-radius: 4px;
  padding: 8px 12px; margin: 0 0 8px; }
.critical { border-left-color: #b3261e; } .warning { border-left-color: #b26a00; } .info { border-left-color: #2e6fbd; }
.card b { display: block; } small { color: #555; } svg text { font: 11px system-ui, sans-serif; fill: #333; }
"""
_COLOURS = ("#2e6fbd", "#b3261e", "#b26a00", "#3a7d34")
Point = tuple[float, float]


def demonstration() -> Any:
    """The module of the example, which is no package."""
    spec = importlib.util.spec_from_file_location("demo", ROOT / "examples" / "05-operations" / "demo.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def messages(sent: Sequence[dict[str, Any]]) -> str:
    """What a receiver of v0.3's JSON was sent, a card each."""
    cards = []
    for one in sent:
        labels = ", ".join(f"{name}={value}" for name, value in one["labels"].items())
        cards.append(
            f'<div class="card {one["level"]}"><b>{escape(one["title"])}</b>'
            f"<pre>{escape(one['description'])}</pre>"
            f"<small>{escape(one['event_type'])} · {escape(one['level'])} · {escape(one['metadata']['status'])} · "
            f"{escape(one['timestamp'])}<br>{escape(labels)}</small></div>"
        )
    return "".join(cards)


def graph(title: str, lines: dict[str, list[Point]], top: float) -> str:
    """Lines over time, each with its name; the scale goes from 0 to `top`."""
    times = [at for points in lines.values() for at, _ in points]
    first, span = min(times), max(max(times) - min(times), 1.0)
    drawn = [
        f'<text x="850" y="150">{span:.0f} s</text>',
        f'<text x="0" y="14">{escape(title)}</text><rect x="40" y="22" width="860" height="110" fill="#f6f7f9"/>',
    ]
    for share in (0.0, 0.5, 1.0):
        y = 132 - 110 * share
        drawn.append(f'<text x="0" y="{y + 4:.0f}">{top * share:g}</text>')
    for number, (name, points) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(
            f"{40 + 860 * (at - first) / span:.1f},{132 - 110 * min(value / top, 1.0):.1f}"
            for at, value in points
        )
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        x = 40 + 215 * number
        drawn.append(f'<rect x="{x}" y="141" width="10" height="10" fill="{colour}"/>')
        drawn.append(f'<text x="{x + 14}" y="150">{escape(name)}</text>')
    return f'<svg width="912" height="160">{"".join(drawn)}</svg>'


def ranged(prometheus: Any, query: str, label: str, since: float) -> dict[str, list[Point]]:
    """A range query: name by one label → points."""
    found = prometheus.ask("query_range", query=query, start=str(since), end=str(time.time()), step="1")
    return {
        one["metric"].get(label) or one["metric"].get("__name__", query): [
            (at, float(value)) for at, value in one["values"]
        ]
        for one in found["result"]
    }


class Timed(Collector):
    """Keeps when spans began and ended."""

    def __init__(self) -> None:
        self.times: list[tuple[str, str, str, int, int]] = []
        super().__init__()

    def take(self, request: ExportTraceServiceRequest) -> None:
        super().take(request)
        for group in request.resource_spans:
            for scope in group.scope_spans:
                self.times += [
                    (
                        one.span_id.hex(),
                        one.parent_span_id.hex(),
                        one.name,
                        one.start_time_unix_nano,
                        one.end_time_unix_nano,
                    )
                    for one in scope.spans
                ]


def waterfall(spans: Sequence[tuple[str, str, str, int, int]], most: int = 26) -> str:
    """Spans below each other, the first `most` of them."""
    first, last = min(one[3] for one in spans), max(one[4] for one in spans)
    children: dict[str, list[Any]] = {}
    known = {one[0] for one in spans}
    for one in sorted(spans, key=lambda one: one[3]):
        children.setdefault(one[1] if one[1] in known else "", []).append(one)
    rows: list[tuple[int, Any]] = []

    def walk(parent: str, depth: int) -> None:
        for one in children.get(parent, []):
            rows.append((depth, one))
            walk(one[0], depth + 1)

    walk("", 0)
    drawn = []
    for number, (depth, (_, _, name, begin, end)) in enumerate(rows[:most]):
        y = 20 * number
        x = 360 + 480 * (begin - first) / (last - first)
        width = max(2.0, 480 * (end - begin) / (last - first))
        shown = name if len(name) < 52 - 2 * depth else name[: 51 - 2 * depth] + "…"
        drawn.append(f'<text x="{14 * depth}" y="{y + 14}">{escape(shown)}</text>')
        drawn.append(
            f'<rect x="{x:.1f}" y="{y + 4}" width="{width:.1f}" height="12" fill="{_COLOURS[depth % 4]}"/>'
        )
        drawn.append(f'<text x="850" y="{y + 14}">{(end - begin) / 1e6:.1f} ms</text>')
    rest = f'<text x="0" y="{20 * most + 14}">and {len(rows) - most} more</text>' if len(rows) > most else ""
    return f'<svg width="912" height="{20 * min(len(rows), most) + 24}">{"".join(drawn)}{rest}</svg>'


def traced() -> str:
    """A scan of the recorded cluster of the examples."""
    collector = Timed()
    try:
        spec = ROOT / "examples" / "01-quickstart" / "strict.yaml"
        subprocess.run(
            [*KSPEC, "scan", str(spec), "-q"],
            env={**os.environ, **collector.environment},
            timeout=300,
            capture_output=True,
        )
        return waterfall(collector.times)
    finally:
        collector.close()


def terminal(commands: Sequence[str], folder: Path) -> str:
    """What these commands print, as a terminal shows it."""
    shown = []
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for command in commands:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            env={**os.environ, "PATH": path},
        )
        shown.append(f"$ {command}\n{done.stdout}{done.stderr}")
    return f'<pre class="terminal">{escape("".join(shown).rstrip())}</pre>'


def main(folder: str) -> None:
    """Writes alerts.png, metrics.png, tracing.png and audit.png."""
    demo = demonstration()
    pages = {"tracing": f"<h1>kspec scan strict.yaml: one trace</h1>{traced()}"}
    with ExitStack() as stack:
        since = time.time()
        made = demo.Demo(stack)
        demo.prepare(made)
        demo.breaks(made)
        sent = made.receiver.bodies("/alerts")
        pages["alerts"] = f"<h1>What the receiver of an AlertConfig was sent</h1>{messages(sent)}"
        asked = made.prometheus
        graphs = (
            graph(
                "kspec_compliance_score", ranged(asked, "kspec_compliance_score", "cluster_spec", since), 100
            ),
            graph("kspec_findings by severity", ranged(asked, "kspec_findings", "severity", since), 4),
            graph("kspec_drift_events", ranged(asked, "kspec_drift_events", "cluster_spec", since), 2),
        )
        pages["metrics"] = f"<h1>A cluster breaks: its series in Prometheus</h1>{''.join(graphs)}"
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kspec-picture-")))
        (place / "audit.log").write_bytes(made.audit.read_bytes())
        commands = (
            "jq -r '[.time, .type, .action, .result, .message] | @tsv' audit.log | cut -c1-128 | tail -8",
            "kspec audit verify audit.log",
            "sed -i '2s/operator/nobody/' audit.log",
            "kspec audit verify audit.log",
        )
        pages["audit"] = (
            f"<h1>The audit log of that run, and a line that was changed</h1>{terminal(commands, place)}"
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        for name, body in pages.items():
            page = browser.new_page(color_scheme="light", viewport={"width": WIDTH, "height": 200})
            page.set_content(f"<!doctype html><meta charset=utf-8><style>{STYLE}</style>{body}")
            page.screenshot(path=str(Path(folder, f"{name}.png")), full_page=True)
        browser.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
