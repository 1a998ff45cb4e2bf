"""`kspec alert`: the list fits a terminal of 80 columns, and a trial names each notifier once."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest
import yaml

from pytest_kspec.alerts.alert import Fact
from pytest_kspec.reports.shared.text import width_of
from pytest_kspec.storage import alerts as stored
from pytest_kspec.storage.engine import open_store
from tests.alerts.conftest import EVIL, alert
from tests.alerts.receiving import HttpReceiver, Reply, http_receiver
from tests.cli.conftest import Kspec

BEGAN, ENDED = "2026-11-25T06:00:00Z", "2026-11-26T06:00:00Z"
FACTS = (
    Fact(alert("pods", level="critical"), BEGAN),
    Fact(alert("pods", cluster="eu-central-1-" * 6, title="Each container has limits " * 20), BEGAN),
    Fact(alert("網路政策", cluster="集群", title="命名空間沒有網路政策 " * 9), BEGAN, 1, ENDED, "gone"),
    Fact(alert(EVIL, cluster=EVIL, title=EVIL), BEGAN),
)


@pytest.fixture
def store(tmp_path: Path) -> str:
    path = str(tmp_path / "results.db")
    with closing(open_store(path, create=True)) as opened:
        stored.save(opened, {fact.alert.id: fact.to_wire() for fact in FACTS})
    return path


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_list_fits_the_terminal(
    run_kspec: Kspec, store: str, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    done = run_kspec("alert", "list", "--store", store, "--all")
    lines = done.out.splitlines()
    assert (done.code, len(lines)) == (0, 3 * len(FACTS))
    if columns >= 80:
        assert max(map(width_of, lines)) <= columns
        assert "critical ComplianceFailure: pods is not met on prod-eu" in lines
    assert {line.strip() for line in lines[2::3]} == {fact.alert.id for fact in FACTS}, "ids are never cut"
    assert sum(f", ended {ENDED}" in line for line in lines) == 1
    assert "\x1b" not in done.out


def test_json_has_all_of_it(run_kspec: Kspec, store: str) -> None:
    found = json.loads(run_kspec("alert", "list", "--store", store, "--all", "-o", "json").out)
    assert {one["title"] for one in found} >= {fact.alert.title for fact in FACTS[:3]}


@pytest.fixture
def receiver() -> HttpReceiver:
    with http_receiver() as made:
        yield made


def test_a_trial_names_each_notifier_once(run_kspec: Kspec, receiver: HttpReceiver, tmp_path: Path) -> None:
    receiver.answer = lambda one: Reply(400) if one.path == "/bad" else Reply()
    hooks = [{"name": name, "url": f"{receiver.url}/{name}", "retryAttempts": 0} for name in ("good", "bad")]
    head = {"apiVersion": "kspec.io/v1alpha1", "kind": "AlertConfig", "metadata": {"name": "ci"}}
    path = tmp_path / "alerts.yaml"
    path.write_text(yaml.safe_dump({**head, "spec": {"webhooks": hooks}}))
    done = run_kspec("alert", "test", path)
    good, bad = done.out.splitlines()
    assert done.code == 2
    assert good == "✓ good: accepted the alert and its end"
    assert bad.startswith("✗ bad: ")
    assert (bad + done.err).count("bad") == 1, bad + done.err
    assert receiver.url not in done.out + done.err
