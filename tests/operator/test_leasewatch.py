"""The watch of the Lease against servers that do what watches may do wrong, and real ones."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from pytest_kspec.cluster.sources.live import LiveSource
from pytest_kspec.operator import leasewatch
from pytest_kspec.operator.lease import Elector
from pytest_kspec.operator.leasewatch import LeaseWatch
from tests.cluster.api import Api, Reply, Request, kubeconfig, status
from tests.cluster.test_reflector import ONCE, event, stream
from tests.operator.conftest import LEASE, OperatorProcess, Specs, until
from tests.operator.test_live import holder

LONG = (
    "--leader-election-lease-duration=20m",
    "--leader-election-renew-deadline=15m",
    "--leader-election-retry-period=10m",
)
"""A takeover that only polls would take longer than any test waits."""


def test_a_lease_that_is_given_up_or_deleted_is_taken_without_waiting_for_the_next_look(
    specs: Specs, start: Callable[..., OperatorProcess]
) -> None:
    specs.writer.delete(*LEASE, namespace="kspec-system")
    first = start(*LONG)
    led = until(lambda: holder(specs), first.said)
    second = start(*LONG)
    until(lambda: "waits: another replica leads" in second.said(), second.said)
    until(lambda: [one for one in _watches(specs) if one], second.said)
    first.send(signal.SIGTERM)
    assert first.ended() == 0, first.said()
    until(lambda: holder(specs) not in ("", led), second.said)

    third = start(*LONG)
    until(lambda: "waits: another replica leads" in third.said(), third.said)
    second.kill()
    specs.writer.delete(*LEASE, namespace="kspec-system")  # as a person would, who knows that it is dead
    until(lambda: "leads" in third.said().replace("another replica leads", ""), third.said)
    third.send(signal.SIGTERM)
    assert third.ended() == 0, third.said()
    assert "the Lease is released" in third.said()


def _watches(specs: Specs) -> list[str]:
    seen = specs.plane.requests_seen(since=0)
    return [one.name for one in seen if one.verb == "watch" and one.resource == "leases"]


class Told:
    """In the place of an elector: what it was told."""

    namespace = "kspec-system"

    def __init__(self) -> None:
        self.said: list[str | None] = []

    def saw(self, lease: dict[str, Any] | None) -> None:
        self.said.append(lease["spec"]["holderIdentity"] if lease is not None else None)


def lease(who: str) -> dict[str, Any]:
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "kspec-operator-lock", "namespace": "kspec-system", "resourceVersion": "1"},
        "spec": {"holderIdentity": who},
    }


BAD = {
    "ended with nothing": stream(),
    "expired at the start": status(410, "too old"),
    "refused": status(403, "may not watch"),
    "expired on the way": stream(event("ERROR", {"kind": "Status", "code": 410})),
    "an error on the way": stream(event("ERROR", {"kind": "Status", "code": 500})),
    "no JSON": stream(b"{\n"),
    "no object": stream(b'{"type": "MODIFIED", "object": []}\n', b"[1]\n"),
    "another kind": stream(event("MODIFIED", {**lease("x"), "kind": "Pod"})),
    "another name": stream(
        event("MODIFIED", {**lease("x"), "metadata": {"name": "other", "namespace": "a"}})
    ),
    "a status that is a list": stream(event("MODIFIED", {**lease("x"), "spec": []})),
    "cut within an event": stream(event("MODIFIED", lease("x"))[:40]),
    "silent": stream(hold_s=30.0),
    "without an end": stream(end=False),
}


@pytest.mark.parametrize("bad", list(BAD))
def test_a_watch_that_goes_wrong_is_begun_again_and_tells_nothing(
    bad: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leasewatch, "_FIRST_S", 0.02)
    monkeypatch.setattr(leasewatch, "GRACE_S", 1.0)
    monkeypatch.setattr(leasewatch, "WATCH_S", 1)
    good = [event("ADDED", lease("a")), event("MODIFIED", lease("")), event("DELETED", lease(""))]
    replies: list[Reply] = [BAD[bad], stream(*good, hold_s=30.0)]
    asked: list[Request] = []

    def answer(request: Request) -> Reply:
        asked.append(request)
        return replies.pop(0) if len(replies) > 1 else replies[0]

    pauses: list[None] = []

    def chance() -> float:
        pauses.append(None)
        return 0.0

    told, there = Told(), threading.Event()
    with Api({"/apis/coordination.k8s.io/v1/namespaces/kspec-system/leases": answer}) as api:
        config = str(kubeconfig(tmp_path, api.url))
        watch = LeaseWatch(
            lambda: LiveSource("prod", kubeconfig=config, limits=ONCE),
            cast("Elector", told),
            lambda: there.is_set(),
            chance=chance,
        )
        thread = threading.Thread(target=watch.run, daemon=True)
        thread.start()
        try:
            until(lambda: len(told.said) >= 3)
        finally:
            there.set()
            watch.stop()
            thread.join(60)
        assert not thread.is_alive()
    assert told.said[:3] == ["a", "", None]
    assert pauses, "none is begun again at once, also where it ended without an error"
    assert asked[0].query["fieldSelector"] == "metadata.name=kspec-operator-lock"
    assert "resourceVersion" not in asked[0].query, "so that it begins with what is there, and expires never"
