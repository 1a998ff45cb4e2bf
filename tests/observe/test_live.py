"""A real operator and a real webhook, scraped by a real Prometheus: what rules and dashboards ask for is there."""

from __future__ import annotations

import contextlib
import re
import ssl
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.observe.table import BY_NAME, ROWS
from pytest_kspec.reference.alerts import ALERTS, RECORDINGS
from tests.alerts.receiving import HttpReceiver
from tests.controlplane.process import free_port
from tests.crds.conftest import CRD
from tests.docs.pages import ROOT
from tests.fleet.targets.conftest import ca
from tests.observe.prometheus import Prometheus
from tests.observe.test_dashboards import variables
from tests.operator.conftest import OperatorProcess, Specs, until
from tests.operator.test_alerting import put, receiver
from tests.operator.test_engines import KINDS
from tests.operator.test_engines import asked as asked_of
from tests.operator.test_live import BINDINGS, enforced
from tests.webhook.installed import install_rights, token
from tests.webhook.reviewing import body, pod
from tests.webhook.running import Running, running, write_spec
from tools import dashboards

__all__ = ["put", "receiver"]

LATER = {"kspec_metric_series_dropped_total"}
"""It takes 50,000 series: `observe/test_registry` sees it."""

PROMETHEUS = {"job", "instance", "le"}
EXEMPTION = {
    "name": "known",
    "reason": "r",
    "checks": ["kubernetes.version"],
    "resources": [{"kind": "Cluster"}],
    "expiresAt": "2099-01-01",
}


def review(server: Running, content: bytes) -> None:
    request = urllib.request.Request(
        f"{server.url}/validate", content, {"Content-Type": "application/json"}, method="POST"
    )
    context = ssl._create_unverified_context()
    with (
        contextlib.suppress(urllib.error.HTTPError),
        urllib.request.urlopen(request, timeout=20, context=context),
    ):
        pass


@pytest.fixture
def webhook(tmp_path: Path) -> Iterator[Running]:
    folder = tmp_path / "webhook"
    folder.mkdir()
    write_spec(folder / "strict.yaml", {"podSecurity": {"enforce": "baseline"}})
    words = ["--cluster", "none", "--self-signed", str(folder / "tls")]
    with running(folder, str(folder / "strict.yaml"), *words) as server:
        yield server


def jobs(port: int, server: Running) -> list[dict[str, Any]]:
    certificate, key = server.readers.issue("prometheus")
    return [
        {"job_name": "kspec-metrics", "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]},
        {
            "job_name": "kspec-webhook",
            "scheme": "https",
            "tls_config": {"insecure_skip_verify": True, "cert_file": str(certificate), "key_file": str(key)},
            "static_configs": [{"targets": [f"127.0.0.1:{server.read_port}"]}],
        },
    ]


def asked(query: str) -> Iterator[tuple[str, set[str]]]:
    """Our metrics in a query, and the labels that it needs of each: of selectors, and of the aggregations around it."""
    around = [
        (found.end(), _closed(query, found.end()), set(found[1].split(", ")))
        for found in re.finditer(r"\bby \(([^)]*)\) \(", query)
    ]
    for found in re.finditer(r"\b(kspec[_:][\w:]+)(\{[^}]*\})?", query):
        name = found[1] if found[1] in BY_NAME else re.sub(r"_(bucket|sum|count)$", "", found[1])
        grouped = {label for start, end, labels in around if start <= found.start() < end for label in labels}
        yield name, set(re.findall(r"(\w+)[=!]", found[2] or "")) | grouped


def _closed(query: str, start: int) -> int:
    """Where the parenthesis that is open at `start` ends."""
    depth = 1
    for place in range(start, len(query)):
        depth += {"(": 1, ")": -1}.get(query[place], 0)
        if not depth:
            return place
    raise AssertionError(query)


@pytest.fixture
def fleet(specs: Specs, put: Callable[..., None], receiver: HttpReceiver) -> None:
    """A receiver of alerts, and ClusterTargets: one that may list nodes, and one whose credentials end."""
    hook = {"name": "hook", "url": f"{receiver.url}/hook"}
    put("AlertConfig", "team", spec={"groupWait": "0s", "groupInterval": "1s", "webhooks": [hook]})
    install_rights(specs.plane)
    for name, secret in (
        ("all", specs.plane.token),
        ("ends", token(specs.plane, "kspec-webhook", audience="https://kubernetes.default.svc")),
    ):
        put("Secret", f"{name}-token", stringData={"token": secret})
        spec = {"apiServerURL": specs.plane.url, "caData": ca(specs.plane), "authMode": "token"}
        put("ClusterTarget", name, spec={**spec, "tokenSecretRef": {"name": f"{name}-token"}})


@pytest.fixture
def no_kyverno_yet(specs: Specs) -> Iterator[Callable[[], None]]:
    """Installs the kinds of Kyverno when it is called; they are gone after the test."""

    def install() -> None:
        for one in KINDS:
            specs.writer.apply(one, field_manager="test")

    yield install
    for one in KINDS:
        specs.writer.delete(*CRD, one["metadata"]["name"])


def test_what_is_asked_is_there(
    specs: Specs,
    start: Callable[..., OperatorProcess],
    webhook: Running,
    fleet: None,
    no_kyverno_yet: Callable[[], None],
    tmp_path: Path,
) -> None:
    port = free_port()
    store = f"--store={tmp_path / 'results.db'}"
    operator = start("--scan-interval=4s", f"--metrics-bind-address=127.0.0.1:{port}", store)
    rules = ROOT / "config" / "monitoring" / "kspec.rules.yaml"
    folder = tmp_path / "prometheus"
    folder.mkdir()
    server = Prometheus(folder, jobs(port, webhook), [rules])
    try:
        specs.put("met", {"kubernetes": {"minVersion": "1.29"}})
        specs.put("unmet", {"kubernetes": {"minVersion": "1.99"}, "policyExemptions": [EXEMPTION]})
        specs.put("odd", {"policyExemptions": [{**EXEMPTION, "timezone": "Mars/X"}]})
        specs.put("fleet", {"kubernetes": {"minVersion": "1.29"}, "clusterRef": {"name": "all"}})
        specs.put("kept", enforced("enforce", autoRemediate=True))
        by_kyverno = {"enabled": True, "mode": "enforce", "engine": "kyverno", "autoRemediate": True}
        specs.put("kyverno", asked_of("kyverno", enforcement=by_kyverno))
        specs.wait("kept", "True", "PolicyEnforced", operator.said)
        server.wait(lambda: server.query('kspec_last_scan_success{cluster_spec="kept"} == 1'))
        patch = {"spec": {"validationActions": ["Warn"]}}
        specs.writer.patch(*BINDINGS, "kspec-kept-services", patch, field_manager="kubectl-edit")
        for _ in range(3):
            review(webhook, body(pod()))
            review(webhook, body(pod(hostNetwork=True)))
            review(webhook, b"{}")
        until(lambda: "DriftRemediated" in specs.events("kept"), operator.said)
        server.wait(lambda: server.query("kspec_remediation_errors_total > 0"))
        no_kyverno_yet()
        server.wait(lambda: server.query("kspec_kyverno_policy_created_total > 0"))
        server.wait(lambda: server.query('kspec_notifications_total{result="sent"} > 0'))
        server.wait(lambda: server.query('kspec_remediation_actions_total{action="update"} > 0'))
        server.wait(lambda: server.query('kspec_policy_enforcement_actions_total{action="denied"} > 0'))
        server.wait(lambda: server.query('kspec_scan_errors_total{cluster_spec="odd"} > 0'))
        server.wait(lambda: server.query('kspec_run_shards{cluster_spec="fleet",state="done"} == 1'))
        server.wait(
            lambda: server.query('rate(kspec_run_duration_seconds_count{cluster_spec="fleet"}[5m]) > 0')
        )
        server.wait(lambda: server.query("kspec_exemption_expiry_timestamp_seconds"))
        queries = [(one.name, one.expr) for one in ALERTS]
        queries += [(one.name, one.expr) for one in RECORDINGS]
        queries += [(f"{uid}: {panel}", query) for uid, panel, query in dashboards.queries()]
        recorded = {name for _, query in queries for name, _ in asked(query) if ":" in name} - LATER
        server.wait(lambda: recorded <= server.series().keys())  # a rate needs two scrapes
        found = server.series()
        names = {row.name for row in ROWS} - LATER
        assert names - found.keys() == set()
        for name in names & found.keys():
            assert set(BY_NAME[name].labels) <= found[name], name

        for where, query in queries:
            for name, labels in asked(query):
                if name not in LATER:
                    assert name in found, f"{where}: {name}"
                    assert labels <= found[name] | PROMETHEUS, f"{where}: {name}: {labels - found[name]}"

        server.wait(lambda: not empty(server))
        for uid in dashboards.DASHBOARDS:
            for name, selector, label in variables(uid):
                match = re.sub(r"\$\w+", ".*", selector)
                assert server.ask(f"label/{label}/values", **{"match[]": match}), f"{uid}: {name}"
        server.wait(lambda: server.query('ALERTS{alertname="KSpecScanErrors",cluster_spec="odd"}'))
        assert not server.query('ALERTS{alertname=~"KSpecNoLeader|KSpecOperatorDown|KSpecMultipleLeaders"}')
        specs.writer.delete("kspec.io/v1alpha1", "ClusterSpecification", "met")
        server.wait(lambda: not server.query('{cluster_spec="met",__name__=~"kspec_.*"}'))
    finally:
        server.close()


def empty(server: Prometheus) -> list[str]:
    """Panels whose query gives nothing, but for those about what this run does not have."""
    found = []
    for uid, panel, query in dashboards.queries():
        filled = query
        for name, value in (("cluster_name", ".*"), ("cluster_spec", ".*"), ("__rate_interval", "1m")):
            filled = filled.replace(f"${name}", value)
        if not server.query(filled):
            found.append(f"{uid}: {panel}: {filled}")
    return found


def test_the_files_are_those_of_the_panels() -> None:
    for name, text in dashboards.files().items():
        path = ROOT / "config" / "monitoring" / "dashboards" / name
        assert path.read_text(encoding="utf-8") == text, "run: make docs"
