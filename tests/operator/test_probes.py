"""Probes and metrics over real HTTP, and clients that are slow or many."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import urllib3

from pytest_kspec.errors import UsageError
from pytest_kspec.operator import probes
from pytest_kspec.operator.metrics import Metrics
from pytest_kspec.operator.probes import Page, Probes, parse_address
from pytest_kspec.operator.scans import Scanned
from pytest_kspec.results.result import ScanResult
from pytest_kspec.results.verdict import Verdict
from tests.operator.test_status import cluster

LOCAL = "127.0.0.1:0"


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(probes, "MOST_CONNECTIONS", 4)
    monkeypatch.setattr(probes, "LIFE_S", 0.5)
    served = Probes(LOCAL, {"/healthz": lambda: Page(200, b"ok\n")}, "--health")
    yield served.port
    served.close()


def get(port: int, path: str) -> tuple[int, bytes]:
    url = f"http://127.0.0.1:{port}{path}"
    answer = urllib3.request("GET", url, timeout=10, retries=False, redirect=False)
    return answer.status, answer.data


def test_pages_and_nothing_else(port: int) -> None:
    assert get(port, "/healthz") == get(port, "/healthz?x=1") == (200, b"ok\n")
    assert get(port, "/../etc/passwd") == (404, b"not found\n")


def test_clients_that_say_nothing_occupy_it_for_a_while_only(port: int) -> None:
    silent = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(8)]
    for one in silent:
        assert one.recv(1) == b"", "refused at once, or ended after a while"
        one.close()
    assert get(port, "/healthz")[0] == 200


@pytest.mark.parametrize(
    ("text", "expected"),
    [(":8080", ("", 8080)), ("127.0.0.1:1", ("127.0.0.1", 1)), ("[::1]:80", ("::1", 80))],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text, "--x") == expected


@pytest.mark.parametrize("text", ["", "8080", ":", ":x", ":70000", "a:-1", ":٨"])
def test_addresses_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="is not an address"):
        parse_address(text, "--x")


def test_an_address_that_is_taken(port: int) -> None:
    with pytest.raises(UsageError, match=rf"--health 127\.0\.0\.1:{port}: cannot listen there"):
        Probes(f"127.0.0.1:{port}", {}, "--health")


def scanned(*verdicts: Verdict) -> Scanned:
    result = ScanResult("1", "", "", (cluster(*verdicts),))
    return Scanned(result, (), 2.0)


def test_series_are_of_specifications_that_are_there() -> None:
    metrics = Metrics(lambda: True, lambda: 3, lambda: 7)
    metrics.drifted("s", False)  # never scanned: no labels are known
    metrics.scanned("s", scanned(Verdict.PASS, Verdict.FAIL, Verdict.ERROR))
    metrics.drifted("s", True)
    metrics.reconciled("clusterspec", "s")
    metrics.reconciled("clusterspec", "s", "Conflict")
    text = metrics.page().body.decode()
    labels = '{cluster_name="prod",cluster_spec="s",cluster_uid="u"}'
    for line in (
        f"kspec_compliance_checks_total{labels} 3.0",
        f"kspec_compliance_checks_passed{labels} 1.0",
        f"kspec_compliance_checks_failed{labels} 1.0",
        f"kspec_compliance_checks_errors{labels} 1.0",
        f"kspec_drift_detected{labels} 1.0",
        'kspec_scan_duration_seconds_count{cluster_name="prod",cluster_spec="s"} 1.0',
        'kspec_reconcile_total{cluster_spec="s",controller="clusterspec"} 2.0',
        'kspec_reconcile_errors_total{cluster_spec="s",controller="clusterspec",error_type="Conflict"} 1.0',
        "kspec_leader_election_status 1.0",
        "kspec_leader_election_transitions_total 7.0",
        "kspec_workqueue_depth 3.0",
    ):
        assert line in text.splitlines(), text
    assert "_created" not in text
    metrics.gone("s")
    metrics.gone("s")
    assert labels not in metrics.page().body.decode()
