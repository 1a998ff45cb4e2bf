"""A specification that is based on another one follows a change of that: it is no drift, and no reason to wait."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pytest_kspec.operator import remoteturn, status
from pytest_kspec.operator.heirs import Heirs
from pytest_kspec.operator.reconcile import SPECIFICATIONS
from pytest_kspec.spec.effective import Library
from pytest_kspec.spec.loading import spec_from_part

from .hubs import POLICY, SPEC, V1, Hub, conditions
from .test_reconcile import PASS
from .test_reconcile import World as Scanned
from .test_remoteturn import FOUND, World, target
from .test_remoteturn import SPEC as ELSEWHERE

MORE = {"network": {"allowedServiceTypes": ["ClusterIP"]}}
LESS = {"kubernetes": {"minVersion": "1.20"}}


def based(name: str, *bases: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"policyInheritance": {"basePolicies": list(bases)}}}


def test_who_is_based_on_whom() -> None:
    known = Heirs()
    bare, odd = {"metadata": {"name": "g"}}, {"metadata": {"name": "e"}, "spec": "odd"}
    text = {"metadata": {"name": "f"}, "spec": {"policyInheritance": {"basePolicies": "a"}}}
    for one in (bare, odd, text, based("d", "d", "c"), based("c", "x", "b"), based("b", "a")):
        known.tell(None, one)
    assert known.of("a") == {"b", "c", "d"}
    assert known.of("c") == {"d"}
    assert known.of("d") == known.of("gone") == set()

    known.tell(based("c", "x", "b"), based("c", "x", "a"))
    assert (known.of("a"), known.of("b")) == ({"b", "c", "d"}, set())
    known.tell(based("b", "a"), None)
    known.tell(based("c", "x", "a"), {"metadata": {"name": "c"}, "spec": {}})
    assert known.of("a") == known.of("x") == set()
    known.tell(None, based("a", "b"))
    known.tell(None, based("b", "a"))
    assert (known.of("a"), known.of("b")) == ({"b"}, {"a"})


def test_the_digest_is_of_bases_too() -> None:
    def digest(base: dict[str, Any], **part: Any) -> str:
        whole = {**based("s", "base")["spec"], **part}
        return status.digest_of(spec_from_part(whole, name="s", library=Library(parts={"base": base})))

    assert digest(LESS) == digest(dict(LESS)) != digest(MORE)
    assert digest(LESS, **MORE) != digest(LESS)


def test_what_a_base_adds_is_applied_and_is_no_drift(hub: Hub) -> None:
    """Nobody says autoRemediate: drift would stay."""
    hub.specs.put("base", LESS)
    hub.specs.put("sturdy", {**SPEC, "policyInheritance": {"basePolicies": ["base"]}})
    hub.enforce("sturdy")
    before = {one["metadata"]["name"] for one in hub.writer.list(V1, POLICY)}
    assert "kspec-sturdy-services" not in before

    hub.specs.put("base", MORE)
    hub.now += timedelta(minutes=10)
    hub.enforce("sturdy")
    found = hub.specs.get("sturdy")["status"]
    assert hub.writer.find(V1, POLICY, "kspec-sturdy-services") is not None
    assert conditions(found)["DriftDetected"] == ("False", "NoDrift")
    assert conditions(found)["PolicyEnforced"][0] == "True"

    hub.soften()
    hub.now += timedelta(minutes=10)
    hub.enforce("sturdy")
    assert conditions(hub.specs.get("sturdy")["status"])["DriftDetected"][0] == "True"


def test_a_change_of_a_base_wakes_its_heirs(hub: Hub) -> None:
    hub.specs.put("base", LESS)
    hub.specs.put("sturdy", {**SPEC, "policyInheritance": {"basePolicies": ["base"]}})
    before = hub.specs.get("base")
    hub.specs.put("base", MORE)
    now = hub.specs.get("base")
    asked = hub.reconciler.others[SPECIFICATIONS]
    for one in hub.listed().values():
        list(asked(None, one))
    assert list(asked(before, now)) == [("", "sturdy")]
    assert list(asked(now, now)) == []
    assert list(asked(now, None)) == [("", "sturdy")]


def test_policies_on_other_clusters_are_made_anew() -> None:
    """The record is of another digest: it is applied, not compared, and at once."""
    of = {"specification": "s", "specificationUID": "su", "generation": 1, "clusterUID": "cluster"}
    spec = spec_from_part(ELSEWHERE, name="s")
    kept = {**of, "state": "ok", "engines": ["vap"], "specificationDigest": status.digest_of(spec)}
    world = World(target("one", {"env": "prod"}, policies=[kept]))
    asked: list[remoteturn.Work] = []
    world.remote._begin = lambda found, spec, work: asked.append(work)  # type: ignore[method-assign]
    world.remote.step(FOUND, spec)
    assert [(len(work.apply), len(work.look)) for work in asked] == [(0, 1)]
    changed = spec_from_part({**ELSEWHERE, **LESS}, name="s")
    world.remote.step(FOUND, changed)
    assert [(len(work.apply), len(work.look)) for work in asked] == [(0, 1), (1, 0)]


def test_it_is_scanned_anew_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Scanned(PASS)
    again = world.reconcile()
    assert again is not None
    monkeypatch.setattr(status, "digest_of", lambda spec: "of another base")
    world.now += timedelta(seconds=10)
    assert (world.go_on(), world.scans.count) == (pytest.approx(again, abs=1), 2)
    assert (world.go_on(), world.scans.count) == (pytest.approx(again, abs=1), 2)


def test_what_changed_while_nobody_led_is_followed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world = Scanned(PASS)
    again = world.reconcile()
    monkeypatch.setattr(status, "digest_of", lambda spec: "of another base")
    world.now += timedelta(seconds=10)
    assert (world.reconcile(), world.scans.count) == (pytest.approx(again, abs=1), 2)
    assert (world.reconcile(), world.scans.count) == (pytest.approx(again, abs=11), 2)


def test_a_status_without_a_digest_is_no_reason_to_scan() -> None:
    """As operators before had it."""
    world = Scanned(PASS)
    world.reconcile()
    world.status["enforcement"].pop(status.DIGEST)
    world.now += timedelta(seconds=10)
    world.reconcile()
    assert world.scans.count == 1
