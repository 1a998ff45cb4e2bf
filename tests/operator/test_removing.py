"""What was applied goes as far as it can, and what went is told, also where something else cannot go."""

from __future__ import annotations

import copy

import pytest

from pytest_kspec.errors import Refused, SourceError, SourceUnavailable
from pytest_kspec.operator import status
from pytest_kspec.operator.reconcile import SPECIFICATIONS
from tests.operator.test_reconcile import PASS, World

POLICY, BINDING = "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"
OFF = {"kubernetes": {"minVersion": "1.29"}, "enforcement": {"enabled": False}}


def policies(world: World, refused: SourceError, number: int) -> None:
    """A binding and two policies, of which the deletion of one (`number`) is refused once."""
    for kind, name in ((BINDING, "a"), (POLICY, "a"), (POLICY, "b")):
        world.cluster.put(kind, name, spec={})
    left = [number]

    def refuse(what: str) -> None:
        if what == f"delete {POLICY}":
            left[0] -= 1
            if left[0] == 0:
                raise refused

    world.cluster.refuse = refuse


def held(world: World) -> bool:
    return bool(world.cluster.objects["ClusterSpecification", "s"]["metadata"].get("finalizers"))


@pytest.mark.parametrize("number", [1, 2])
def test_what_was_removed_before_a_failure_is_told(number: int) -> None:
    world = World(PASS)
    world.put(OFF, finalizers=["kspec.io/finalizer"])
    policies(world, Refused("a policy says no."), number)
    with pytest.raises(Refused, match="says no"):
        world.reconcile()
    assert world.events().count("PolicyPruned") == 2
    said = status.condition(world.status, status.ENFORCED)
    assert (said["status"], said["reason"]) == ("False", "EnforcementFailed")
    assert "says no" in said["message"]
    assert status.condition(world.status, status.DRIFT)["status"] == "Unknown"
    assert "driftEvents" not in world.status["summary"]
    assert held(world), "something may still be there"
    world.reconcile()
    assert world.events().count("PolicyPruned") == 3, "each once"
    assert status.condition(world.status, status.ENFORCED)["reason"] == "EnforcementDisabled"
    assert not held(world)


def test_a_cluster_that_does_not_answer_any_more_is_not_asked_on() -> None:
    world = World(PASS)
    world.put(OFF, finalizers=["kspec.io/finalizer"])
    policies(world, SourceUnavailable("no answer."), 1)
    with pytest.raises(SourceUnavailable):
        world.reconcile()
    assert world.cluster.writes.count(f"delete {POLICY}") == 0
    assert world.events().count("PolicyPruned") == 1, "the binding went before"
    assert held(world)


def test_the_deletion_of_a_specification_tells_what_it_removes() -> None:
    world = World(PASS)
    world.put(OFF, finalizers=["kspec.io/finalizer"])
    world.put(OFF, deletionTimestamp="2026-11-29T12:00:00Z")
    policies(world, Refused("a policy says no."), 1)
    with pytest.raises(Refused):
        world.reconcile()
    assert (world.events(), held(world)) == (["PolicyPruned"] * 2, True)
    assert world.reconcile() is None
    assert world.events() == ["PolicyPruned"] * 3
    assert ("ClusterSpecification", "s") not in world.cluster.objects


def test_a_specification_that_others_keep_says_that_nothing_of_it_is_in_force() -> None:
    world = World(PASS)
    world.put(OFF, finalizers=["other.io/x", "kspec.io/finalizer"])
    world.reconcile()
    world.put(OFF, finalizers=["other.io/x", "kspec.io/finalizer"], deletionTimestamp="2026-11-29T12:00:00Z")
    policies(world, Refused("a policy says no."), 1)
    with pytest.raises(Refused):
        world.reconcile()
    said = status.condition(world.status, status.ENFORCED)
    assert (said["status"], said["reason"]) == ("False", "BeingDeleted")
    assert said["message"] == "it is being deleted; not removed yet: a policy says no."
    assert status.condition(world.status, status.DRIFT)["status"] == "Unknown"
    assert world.reconcile() is None
    said = status.condition(world.status, status.ENFORCED)
    text = "its policies are removed, and finalizers of others keep it: other.io/x."
    assert said["message"] == f"it is being deleted; {text}"
    assert world.ready() == ("Unknown", "BeingDeleted")
    assert world.status["enforcement"] == {"active": False, "policiesGenerated": 0}
    assert {"complianceScore", "summary", "nextScanTime"}.isdisjoint(world.status)
    written = len(world.cluster.writes)
    assert world.reconcile() is None
    assert len(world.cluster.writes) == written
    assert "ScanFailed" not in world.events()


def test_a_finalizer_that_somebody_took_away_comes_back() -> None:
    """Without it, what is applied would stay for ever where the specification is deleted."""
    world = World(PASS)
    world.put({**OFF, "enforcement": {"enabled": True, "mode": "enforce"}})
    world.reconcile()
    assert held(world)
    before = copy.deepcopy(world.cluster.objects["ClusterSpecification", "s"])
    world.put(before["spec"], finalizers=[])
    now = world.cluster.objects["ClusterSpecification", "s"]
    key = ("", "s")
    assert world.process.others[SPECIFICATIONS](before, now) == [key]
    assert world.process.others[SPECIFICATIONS](now, before) == [], "what it adds itself"
    world.go_on()
    assert (held(world), world.scans.count) == (True, 1)
    assert world.process.others[SPECIFICATIONS](before, {**before, "status": {}}) == [key]
    gone = {**now, "metadata": {**now["metadata"], "deletionTimestamp": "2026-11-29T12:00:00Z"}}
    assert world.process.others[SPECIFICATIONS](before, gone) == []
