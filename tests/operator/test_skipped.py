"""Turns of a schedule that are left out are counted, whoever's schedule it is: none is made up for later."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, cast

import pytest

from pytest_kspec import clock
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.operator.board import Board
from pytest_kspec.operator.controller import Given
from pytest_kspec.operator.drifthistory import DriftHistory
from pytest_kspec.operator.drifting import DriftController
from pytest_kspec.operator.metrics import Metrics
from pytest_kspec.operator.reconcile import Settings
from pytest_kspec.plan.checkset import load_checks
from tests.operator import runworld, test_reconcile
from tests.operator.runworld import LIMIT_S, SCANNED, counting
from tests.operator.test_reconcile import NOW, PASS, Cluster


def skipped(metrics: Metrics | None, controller: str, name: str) -> float:
    """As Prometheus reads it."""
    assert metrics is not None
    labels = f'{{controller="{controller}",cluster_spec="{name}"}} '
    (line,) = [
        line
        for line in metrics.page().body.decode().splitlines()
        if line.startswith(f"kspec_schedule_skipped_total{labels}")
    ]
    return float(line.rpartition(" ")[2])


@pytest.mark.parametrize("late", [0, 200, 1000], ids=["in time", "a little late", "three turns late"])
@pytest.mark.parametrize("lasts", [0, 200, 700], ids=["short", "shorter than its interval", "longer"])
def test_of_a_specification(monkeypatch: pytest.MonkeyPatch, late: float, lasts: float) -> None:
    world = test_reconcile.World(PASS)
    world.metrics = counting()
    monkeypatch.setattr(clock, "now", lambda: world.now)  # it goes on while something is scanned
    interval = world.reconcile()
    assert interval is not None
    assert skipped(world.metrics, "clusterspec", "s") == 0, "it is there from the first scan on"
    world.now += timedelta(seconds=interval + late)

    def during() -> None:
        world.now += timedelta(seconds=lasts)

    world.scans.during = during
    world.reconcile()
    assert world.scans.count == 2
    assert skipped(world.metrics, "clusterspec", "s") == (late + lasts) // interval


def test_of_a_run_over_a_fleet(monkeypatch: pytest.MonkeyPatch) -> None:
    world = runworld.World(monkeypatch)
    world.target("c")
    world.spec(clusterRef={"name": "c"})
    world.runs.outcomes = {"c": SCANNED}
    world.runs.go.clear()
    world.step()
    for _ in range(2):
        world.step(seconds=400)
    world.runs.go.set()
    assert world.looked.wait(LIMIT_S)
    world.step()
    assert skipped(world.metrics, "clusterspec", "s") == 2, "800 seconds, of 300 each"
    world.now += timedelta(seconds=350)
    world.over()
    assert skipped(world.metrics, "clusterspec", "s") == 2


@pytest.mark.parametrize(
    "schedule", [{"interval": "5m"}, {"schedule": "*/5 * * * *"}], ids=["interval", "cron"]
)
def test_of_a_drift_config(schedule: dict[str, Any]) -> None:
    cluster, metrics = Cluster(), counting()
    given = Given(cast("Access", cluster), None, load_checks, lambda _: {}, lambda _, __: None, metrics)  # type: ignore[arg-type]
    controller = DriftController(given, Settings(), Board(), DriftHistory(""))
    cluster.put(
        "DriftConfig", "d", spec={"clusters": ["none"], **schedule}, metadata={"namespace": NAMESPACE}
    )
    counts = []
    for minutes in (0, 5, 14, 19, 60):  # due at 0, 5, 10, 19 or 15, 24 or 20
        with clock.at(NOW + timedelta(minutes=minutes)):
            controller.reconcile((NAMESPACE, "d"))
        counts.append(skipped(metrics, "driftconfig", "d"))
    assert counts == [0, 0, 0, 0, 7 if "interval" in schedule else 8]
