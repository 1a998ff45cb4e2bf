"""Turns on other clusters that fail: each waits, and none holds up the next one."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.errors import AccessDenied
from pytest_kspec.fleet.enforcing import Synced
from pytest_kspec.operator import remotestatus, remoteturn
from pytest_kspec.operator.remote import Remote, Settings
from pytest_kspec.operator.remotestatus import Left
from pytest_kspec.spec.loading import LoadedSpec, spec_from_part

SPEC = {
    "network": {"allowedServiceTypes": ["ClusterIP"]},
    "clusterSelector": {"matchLabels": {"env": "prod"}},
    "enforcement": {"enabled": True, "mode": "enforce"},
}
FOUND = {"metadata": {"name": "s", "uid": "su", "generation": 1}, "status": {}}
Key = tuple[str, str]


def target(name: str, labels: dict[str, str], **status: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kspec.io/v1alpha1",
        "kind": "ClusterTarget",
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "uid": f"uid-{name}",
            "generation": 1,
            "labels": labels,
        },
        "spec": {
            "apiServerURL": "https://127.0.0.1:1",
            "authMode": "token",
            "tokenSecretRef": {"name": "x"},
            "allowEnforcement": True,
        },
        "status": {"reachable": True, "uid": "cluster", **status},
    }


class Hub:
    """An API server that refuses every write of a status."""

    name = "hub"

    def __init__(self) -> None:
        self.asked = 0

    def do(self, _action: Callable[..., Any]) -> Any:
        self.asked += 1
        raise AccessDenied("forbidden.", where="hub")

    def check(self) -> None:
        return

    def passing(self) -> Any:
        return contextlib.nullcontext()


class World:
    """One specification for other clusters."""

    def __init__(self, *targets: dict[str, Any]) -> None:
        self.known: dict[Key, Any] = {(NAMESPACE, one["metadata"]["name"]): one for one in targets}
        self.hub, self.ended = Hub(), threading.Event()
        self.spec: LoadedSpec = spec_from_part(SPEC, name="s")
        self.remote = Remote(
            cast(Access, self.hub),
            lambda: self.known,
            cast(Any, lambda: None),
            lambda _name: self.ended.set(),
            Settings(),
        )

    def step(self) -> float:
        """A look, and the turn that it begins."""
        self.ended.clear()
        told = self.remote.step(FOUND, self.spec)
        if self.remote._busy:
            assert self.ended.wait(30)
        return told.again_s


def waits(world: World) -> None:
    """One turn, and then none for a while."""
    world.step()
    asked = world.hub.asked
    for _ in range(3):
        assert world.step() > 1
    assert world.hub.asked == asked
    assert world.remote._busy == set()


def test_a_record_that_is_refused_is_tried_again_later() -> None:
    world = World(target("one", {"env": "prod"}))
    waits(world)
    assert world.hub.asked == 1


def test_what_another_name_keeps_is_forgotten_later_and_holds_up_nothing() -> None:
    kept = [{"specification": "s", "state": "ok", "engines": ["vap"]}]
    world = World(target("one", {"env": "prod"}), target("two", {}, policies=kept))
    waits(world)
    assert world.hub.asked == 2, "the cluster that is meant had its turn"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ZeroDivisionError()])
def test_what_nobody_foresaw_is_tried_again_later(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_args: object) -> None:
        raise error

    monkeypatch.setattr(remoteturn.Turn, "do", broken)
    waits(World(target("one", {"env": "prod"})))


def test_a_thread_that_cannot_be_started_leaves_the_way_free(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(target("one", {"env": "prod"}))

    def refused(_self: object) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        with pytest.raises(Exception, match="no thread could be started"):
            world.remote.step(FOUND, world.spec)
    world.step()
    assert world.hub.asked == 1


def test_what_is_gone_is_forgotten() -> None:
    world = World(target("one", {"env": "prod"}))
    world.step()
    assert world.remote._targets
    world.known.clear()
    assert world.remote.clean("s") == Left()
    assert (world.remote._tried, world.remote._entries, world.remote._targets) == ({}, {}, {})


class Anew(Hub):
    """An API server on which each ClusterTarget was deleted and made again a moment ago."""

    def __init__(self, known: dict[tuple[str, str], Any]) -> None:
        super().__init__()
        self.known, self.written = known, 0

    def do(self, action: Callable[..., Any]) -> Any:
        self.asked += 1
        return action(self)

    def get(self, _api: str, _kind: str, name: str, *, namespace: str) -> Any:
        found = self.known[namespace, name]
        return {**found, "metadata": {**found["metadata"], "uid": "another"}}

    def replace(self, *_args: Any, **_options: Any) -> None:
        self.written += 1


def test_a_target_that_is_made_anew_during_a_turn_is_another_one() -> None:
    """What is known of the first one is not written to the second, and nothing is applied without a record of it."""
    world = World(target("one", {"env": "prod"}))
    (obj,) = world.known.values()
    anew = Anew(world.known)
    world.remote._access = cast(Access, anew)
    world.step()
    assert (anew.asked, anew.written) == (1, 0)
    key = (NAMESPACE, "one")
    entry = {"specification": "s", "state": "ok"}
    assert not world.remote.record("s", key, entry, obj)
    obj["metadata"]["uid"] = "another"
    assert world.remote.record("s", key, entry, obj)
    assert anew.written == 1


class Kept(Hub):
    """An API server that keeps what is written to the status of a ClusterTarget."""

    def __init__(self, known: dict[tuple[str, str], Any]) -> None:
        super().__init__()
        self.known = known

    def do(self, action: Callable[..., Any]) -> Any:
        return action(self)

    def get(self, _api: str, _kind: str, name: str, *, namespace: str) -> Any:
        return self.known[namespace, name]

    def replace(self, obj: Any, **_options: Any) -> None:
        self.known[NAMESPACE, obj["metadata"]["name"]] = obj


def test_policies_of_another_engine_go_when_those_that_are_asked_for_are_in_force(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever keeps them from that, also the removal itself: the record says what is there, and it is tried again."""
    kept = [{"specification": "s", "state": "ok", "engines": ["kyverno"], "clusterUID": "cluster"}]
    world = World(target("one", {"env": "prod"}, policies=kept))
    world.remote._access = cast(Access, Kept(world.known))
    done: list[tuple[str, bool]] = []
    answers: dict[tuple[str, bool], Synced] = {}

    def sync(targets: Any, order: Any, *, say: Any) -> Any:
        asked = order.engine.NAME, order.mode is not None
        done.append(asked)
        return [answers.get(asked, Synced("one", "s", {"create": 1}, in_force=1, mode="enforce"))], []

    monkeypatch.setattr(remoteturn, "sync", sync)
    monkeypatch.setattr(remoteturn, "look", lambda targets, order, say: [])

    def turn() -> tuple[list[tuple[str, bool]], str, list[str], str]:
        done.clear()
        with world.remote._lock:
            world.remote._tried.clear()
        world.step()
        (entry,) = world.known[NAMESPACE, "one"]["status"]["policies"]
        return list(done), entry["state"], entry["engines"], entry.get("message", "")

    wanted, removed = ("vap", True), ("kyverno", False)
    answers[wanted] = Synced("one", "s", {"create": 1}, problems=("not in force",))
    assert turn() == ([wanted], "failed", ["kyverno", "vap"], "not in force")
    answers[wanted] = Synced("one", "s", {}, error="it does not answer", away=True)
    assert turn()[:3] == ([wanted], "away", ["kyverno", "vap"])
    del answers[wanted]
    answers[removed] = Synced("one", "s", {}, error="a finalizer keeps it")
    text = "policies of kyverno are not removed: a finalizer keeps it"
    assert turn() == ([wanted, removed], "failed", ["kyverno", "vap"], text)
    del answers[removed]
    assert turn() == ([wanted, removed], "ok", ["vap"], "")
    assert turn()[0] == [], "it is only looked at"


def test_a_cluster_that_is_back_is_caught_up_once_the_process_shows_it() -> None:
    """Whoever says so before that comes in vain, and nothing is lost."""
    silent = {"reachable": False, "unreachableSince": "2026-11-29T12:00:00Z"}
    world = World(target("one", {"env": "prod"}, **silent))
    world.step()
    assert world.hub.asked == 0
    key = (NAMESPACE, "one")
    before = world.known[key]
    world.known[key] = now = target("one", {"env": "prod"})
    specs = {("", "s"): {"spec": SPEC}}
    assert remotestatus.concerned(before, now, specs) == {("", "s")}
    world.step()
    assert world.hub.asked == 1


def test_what_a_deleted_specification_left_is_tried_again() -> None:
    kept = [{"specification": "s", "state": "ok", "engines": ["vap"]}]
    world = World(target("one", {}, policies=kept))
    world.ended.clear()
    left = world.remote.clean("s")
    assert (left.waits, left.tried) == (("one",), True)
    assert world.ended.wait(30)
    assert world.remote.clean("s").tried, "its turn failed: it is due again"
    world.known[NAMESPACE, "one"]["status"]["reachable"] = False
    assert world.remote.clean("s") == Left(("one",), (), tried=False), "it is heard of when it is back"
