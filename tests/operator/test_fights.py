"""Corrections that somebody works against, and those that cannot be remembered, on a real API server."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

import pytest

from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.drift.ledger import InCluster
from pytest_kspec.enforce import apply as applying
from pytest_kspec.enforce.apply import Change
from pytest_kspec.errors import SourceUnavailable

from .conftest import Specs
from .hubs import BINDING, POLICY, SPEC, V1, Hub, conditions

CORRECTED = {**SPEC, "enforcement": {"enabled": True, "mode": "enforce", "autoRemediate": True}}


@pytest.fixture
def hub(specs: Specs) -> Iterator[Hub]:
    made = Hub(specs)
    made.clear()
    specs.put("sturdy", CORRECTED)
    made.enforce("sturdy")
    yield made
    made.clear()


def told(hub: Hub) -> Counter[str]:
    """Objects that Events of fights name, and how often."""
    found = [
        one for one in hub.writer.list("v1", "Event", namespace="default") if one["reason"] == "DriftFight"
    ]
    return Counter(one["message"].split(" was changed")[0] for one in found)


def change_all(hub: Hub) -> list[str]:
    """Somebody changes everything that was applied; kind and name of each."""
    changed = []
    for kind, patch in (
        (POLICY, [{"op": "replace", "path": "/spec/failurePolicy", "value": "Ignore"}]),
        (BINDING, [{"op": "replace", "path": "/spec/validationActions", "value": ["Warn"]}]),
    ):
        for one in hub.writer.list(V1, kind):
            name = one["metadata"]["name"]
            if name.startswith("kspec-sturdy-"):
                hub.writer.patch(V1, kind, name, patch, patch_type="json", field_manager="rival")
                changed.append(f"{kind} {name}")
    return changed


def test_each_of_many_fights_is_told_once(hub: Hub) -> None:
    for turn in range(3):
        changed = change_all(hub)
        hub.now += timedelta(minutes=10)
        hub.enforce("sturdy")
        assert hub.policy() == "Fail", turn
    assert len(changed) > 5, "more than a condition names"
    assert told(hub) == {}
    change_all(hub)
    for _ in range(3):
        hub.now += timedelta(minutes=6)
        hub.enforce("sturdy")
        assert told(hub) == dict.fromkeys(changed, 1)
    drift = hub.specs.condition("sturdy", "DriftDetected")
    named = [one for one in changed if f"{one} was changed" in drift["message"]]
    assert named, "some are named, in full"
    assert drift["message"].endswith(f"); and {len(changed) - len(named)} more")

    # The message becomes another one, and those that it does not name are no news.
    hub.writer.delete(V1, BINDING, "kspec-sturdy-pods")
    hub.now += timedelta(minutes=6)
    hub.enforce("sturdy")
    (news,) = told(hub) - Counter(changed)
    assert news.startswith(f"{BINDING} kspec-sturdy-pods is missing")


def test_a_config_tells_of_a_fight_once(hub: Hub) -> None:
    hub.specs.put("sturdy", SPEC)
    hub.enforce("sturdy")
    hub.config("fix", {"interval": "5m", "remediation": {"strategy": "Apply"}})
    for turn in range(8):
        hub.soften(manager="rival")
        hub.run("fix", 310.0)
        assert hub.events("fix").count("DriftFight") == (turn > 2), turn
    hub.run("fix", 3600.0)
    assert hub.policy() == "Fail"
    for _ in range(2):
        hub.soften(manager="rival")
        hub.run("fix", 310.0)
    for _ in range(3):
        hub.soften(manager="rival")
        hub.run("fix", 310.0)
        assert hub.events("fix").count("DriftFight") == 2, "another one"


def test_what_was_corrected_is_told_where_it_cannot_be_remembered(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = InCluster.note
    left = [1]

    def forgets(self: InCluster, name: str, moment: datetime) -> None:
        if left[0]:
            left[0] -= 1
            raise SourceUnavailable("HTTP 429: storage is (re)initializing.")
        note(self, name, moment)

    monkeypatch.setattr(InCluster, "note", forgets)
    names = ("kspec-sturdy-pods", "kspec-sturdy-workloads")
    for name in names:
        hub.soften(name)
    hub.now += timedelta(minutes=10)
    with pytest.raises(SourceUnavailable):
        hub.reconciler.reconcile(("", "sturdy"))
    assert sorted(hub.policy(name) for name in names) == ["Fail", "Ignore"]
    assert hub.specs.events("sturdy").count("DriftRemediated") == 1
    found = conditions(hub.specs.get("sturdy")["status"])
    assert (found["PolicyEnforced"], found["DriftDetected"][0]) == (
        ("Unknown", "EnforcementFailed"),
        "Unknown",
    )
    hub.enforce("sturdy")
    assert [hub.policy(name) for name in names] == ["Fail", "Fail"]
    assert hub.specs.events("sturdy").count("DriftRemediated") == 2

    left[0] = 1
    hub.config("fix", {"interval": "5m", "remediation": {"strategy": "Apply"}})
    hub.specs.put("sturdy", SPEC)
    hub.enforce("sturdy")
    for name in names:
        hub.soften(name)
    status = hub.run("fix")
    assert (status["totalEvents"], status["remediatedEvents"]) == (2, 1)
    assert hub.events("fix").count("DriftRemediated") == 1
    (report,) = [
        one
        for one in hub.writer.list("kspec.io/v1alpha1", "DriftReport", namespace=NAMESPACE)
        if one["spec"]["driftDetected"]
    ]
    details = [one["remediation"]["details"] for one in report["spec"]["events"]]
    assert any("corrections cannot be recorded: HTTP 429" in text for text in details)


def test_one_change_is_corrected_once_whoever_corrects(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """`autoRemediate` and a DriftConfig at the same moment, as after a change of the leader."""
    hub.config("fix", {"interval": "5m", "remediation": {"strategy": "Apply"}})
    carry_out = applying.carry_out
    others: list[threading.Thread] = []

    def slow(changes: Sequence[Change], writer: Writer) -> Iterator[Change]:
        if not others:  # what is to be corrected is known, and nothing is yet
            others.append(threading.Thread(target=hub.run, args=("fix",)))
            others[0].start()
            others[0].join(3)
        yield from carry_out(changes, writer)

    monkeypatch.setattr(applying, "carry_out", slow)
    hub.soften()
    hub.now += timedelta(minutes=10)
    hub.enforce("sturdy")
    others[0].join()
    assert hub.policy() == "Fail"
    told = hub.specs.events("sturdy").count("DriftRemediated") + hub.events("fix").count("DriftRemediated")
    memory = InCluster(hub.writer, "sturdy", uid=hub.specs.get("sturdy")["metadata"]["uid"])
    assert (told, memory.since(hub.now - timedelta(hours=1))) == (1, {f"{POLICY} kspec-sturdy-pods": 1})
