"""What was applied goes as far as it can, and what went is told, also where something else cannot go."""

from __future__ import annotations

import pytest

from pytest_kspec.errors import Refused, SourceError, SourceUnavailable
from pytest_kspec.operator import status
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
