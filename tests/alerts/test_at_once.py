"""10,000 alerts at once, as a run with `--kspec-alert` and an operator raise them: what is sent, and what it takes."""

from __future__ import annotations

import copy
import json
import queue
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pytest_kspec import clock
from pytest_kspec.alerts import kept
from pytest_kspec.alerts.configfile import KIND
from pytest_kspec.alerts.observe import observe
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.operator.alerting import Alerting
from pytest_kspec.operator.board import Board
from pytest_kspec.results.result import Summary
from tests.alerts.conftest import NOW, alert, config_file, seen
from tests.alerts.receiving import HttpReceiver
from tests.docs.pages import ROOT

CLUSTERS, EACH = 1000, 10
ALL = CLUSTERS * EACH
KEY = (NAMESPACE, "team")
LIMIT_S = 300.0
MOST_MB = 250
"""Of a process that has 10,000 failed requirements, their alerts and all messages; without alerts it has some 100."""

RUN = """
import json, resource, sys
from pytest_kspec.publish.alerts import Alerts
from pytest_kspec.storage.engine import open_store
from tests.alerts.test_at_once import result

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024

before = peak()
open_store(sys.argv[2], create=True).close()
made = Alerts(sys.argv[1], store=sys.argv[2]).publish(result(sys.argv[3], sys.argv[4]), ())
print(json.dumps({"done": made.done, "problems": made.problems, "before": before, "peak": peak()}))
"""


def result(verdict: str, moment: str) -> Any:
    """Of a scan of all clusters: each requirement of each has this verdict."""
    from pytest_kspec.results.result import ScanResult
    from tests.reports.results import check, cluster, finding, ref

    found = (finding(ref("Pod", "web"), "spec.hostNetwork", True, "x"),) if verdict == "fail" else ()
    clusters = tuple(
        cluster(
            f"c-{number:04}",
            checks=tuple(
                check(f"a.c{one}", "It is so", "high", verdict, findings=found) for one in range(EACH)
            ),
            exemptions=(),
            not_evaluated=(),
            frameworks=(),
        )
        for number in range(CLUSTERS)
    )
    return ScanResult("0.1.0", moment, moment, clusters)


def test_a_cluster_is_summed_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not for each of its requirements: 10,000 took a minute."""
    made = result("fail", "2026-11-01T06:00:00Z").clusters[0]
    asked: list[object] = []
    really = Summary.of

    def of(checks: Any) -> Summary:
        asked.append(checks)
        return really(checks)

    monkeypatch.setattr(Summary, "of", of)
    found = observe(made, "2026-11-01T06:00:00Z")
    assert len(found.active) == EACH
    assert len(asked) == 1
    assert {one.metadata["failed"] for one in found.active} == {EACH}


def receivers(url: str) -> dict[str, Any]:
    """One of each kind that speaks HTTP to any address."""
    events = {"name": "events", "url": f"{url}/events", "format": "cloudevents"}
    return {
        "slack": {"webhookURL": f"{url}/slack"},
        "alertmanager": {"url": f"{url}/alertmanager"},
        "webhooks": [{"name": "hook", "url": f"{url}/hook"}, events],
    }


def messages(receiver: HttpReceiver) -> dict[str, int]:
    """By the first part of the path."""
    paths = [one.path.split("/")[1] for one in receiver.requests]
    return {path: paths.count(path) for path in paths}


@pytest.mark.long
@pytest.mark.timeout(900)
def test_a_run_sends_one_message_to_each_receiver(receiver: HttpReceiver, tmp_path: Path) -> None:
    config, store = config_file(tmp_path, **receivers(receiver.url)), tmp_path / "results.db"

    def run(verdict: str, day: int) -> tuple[dict[str, str], int]:
        receiver.requests.clear()
        words = [str(config), str(store), verdict, f"2026-11-{day:02}T06:00:00Z"]
        done = subprocess.run(
            [sys.executable, "-c", RUN, *words], cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S
        )
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout)
        assert said["problems"] == []
        assert said["peak"] < MOST_MB, said
        sent = dict(one.removeprefix("alerts: sent to ").split(": ", 1) for one in said["done"])
        return sent, said["peak"]

    whole = f"{ALL} active, 0 resolved"
    half = f"{ALL // 2} active, 0 resolved"
    first, _ = run("fail", 1)
    assert first == {
        **dict.fromkeys(("slack", "alertmanager", "hook"), whole),
        "events": f"{half}; {ALL // 2} are sent with the next run",
    }
    assert messages(receiver) == dict.fromkeys(first, 1)
    (slack,) = [one for one in receiver.requests if one.path == "/slack"]
    assert len(slack.body) < 40_000, "people are told of some, and how many there are"
    second, _ = run("fail", 2)
    assert second == {"events": half}
    third, _ = run("pass", 3)
    assert third == dict.fromkeys(first, f"0 active, {ALL} resolved")
    assert messages(receiver) == dict.fromkeys(first, 1)


class Hub:
    """An API server that has one AlertConfig."""

    name = "hub"

    def __init__(self, spec: dict[str, Any]) -> None:
        metadata = {"name": KEY[1], "namespace": KEY[0], "uid": "u", "generation": 1}
        self.obj: dict[str, Any] = {"metadata": metadata, "spec": spec}

    @property
    def source(self) -> Any:
        return SimpleNamespace(info=lambda: SimpleNamespace(uid="uid-of-hub"))

    def do(self, action: Any) -> Any:
        return action(self)

    def check(self) -> None:
        """It leads."""

    def find(self, _version: str, kind: str, _name: str, **_: str) -> dict[str, Any] | None:
        return copy.deepcopy(self.obj) if kind == KIND else None

    def replace(self, obj: dict[str, Any], **_: str) -> None:
        self.obj = obj


@pytest.mark.long
@pytest.mark.timeout(900)
def test_an_operator_sends_one_message_to_each_receiver_and_group_interval(
    receiver: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    now: list[datetime] = [NOW]
    monkeypatch.setattr(clock, "now", lambda: now[0])
    monkeypatch.setenv("KSPEC_ALERT_ALLOW", "127.0.0.0/8")
    hub, board = Hub(receivers(receiver.url)), Board()
    looks = queue.SimpleQueue[object]()
    alerting = Alerting(cast("Access", hub), board, looks.put, list)
    names = {"slack", "alertmanager", "hook", "events"}

    def raised(*about: str) -> None:
        for number in range(CLUSTERS):
            name = f"c-{number:04}"
            board.post(seen(*(alert(one, cluster=name) for one in about), at=now[0], cluster=name))

    def told(count: int) -> None:
        """Reconcile after each delivery until so many alerts were delivered."""
        while hub.obj["status"]["alertsSent"] < count:
            looks.get(timeout=LIMIT_S)
            alerting.reconcile(KEY)

    checks = [f"check-{one}" for one in range(EACH)]
    raised(*checks)
    alerting.reconcile(KEY)
    assert receiver.requests == [], "more may come: it waits for the group"
    now[0] += timedelta(seconds=30)
    alerting.reconcile(KEY)
    told(3 * ALL + ALL // 2)
    assert messages(receiver) == dict.fromkeys(names, 1)
    assert len(hub.obj["status"]["state"]) <= kept.LONGEST
    assert (hub.obj["status"]["active"], hub.obj["status"]["notKept"]) == (ALL, 0)

    raised(*checks[1:], "check-new")  # within the interval: 1,000 end and 1,000 begin
    now[0] += timedelta(minutes=4, seconds=59)
    alerting.reconcile(KEY)
    assert messages(receiver) == dict.fromkeys(names, 1)
    now[0] += timedelta(seconds=1)
    before = int(hub.obj["status"]["alertsSent"])
    alerting.reconcile(KEY)
    told(before + 3 * (ALL + CLUSTERS) + ALL // 2)
    assert messages(receiver) == dict.fromkeys(names, 2)
    alerting.reconcile(KEY)
    assert messages(receiver) == dict.fromkeys(names, 2)
