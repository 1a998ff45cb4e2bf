"""What replicas of the webhook tell the operator, on a real API server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pytest_kspec import clock
from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.enforce.engines import webhook_state
from pytest_kspec.enforce.engines.webhook_state import Malformed, State, key_of, read, write
from pytest_kspec.webhook.telling import Denials, Telling
from tests.controlplane import namespaces
from tests.controlplane.server import ControlPlane

PLACE = "webhook-telling"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


def record(*violations: tuple[str, str, str]) -> dict[str, Any]:
    return {
        "violations": [
            {"policy": policy, "check": check, "action": action} for policy, check, action in violations
        ]
    }


def test_requests_are_counted_by_check_for_an_hour() -> None:
    minute = [100]
    denials = Denials(lambda: minute[0])
    denials.note(record(("a", "x", "denied"), ("a", "x", "denied"), ("a", "y", "warned")))
    minute[0] += 30
    denials.note(record(("a", "x", "denied"), ("b", "z", "denied")))
    assert denials.by_policy() == {"a": {"x": 2}, "b": {"z": 1}}, "requests, not containers"
    minute[0] += 31
    assert denials.by_policy() == {"a": {"x": 1}, "b": {"z": 1}}
    minute[0] += 60
    assert denials.by_policy() == {}


def test_many_checks_take_bounded_memory() -> None:
    denials = Denials(lambda: 0)
    for number in range(3000):
        denials.note(record((f"p{number}", "x", "denied")))
    assert len(denials.by_policy()) == webhook_state.MOST_POLICIES


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"at":1}', '{"at":"yesterday"}', '{"at":"2026-11-29T12:00:00"}']
)
def test_what_is_no_state_is_unknown_and_takes_no_other_with_it(text: str) -> None:
    state = State(NOW.isoformat(), tripped=True)
    found = read({"one": text, "two": write(state)}, NOW)
    assert found == ({"two": state}, ("one",))


def test_too_many_replicas_are_not_read() -> None:
    with pytest.raises(Malformed, match="101 replicas"):
        read({str(number): "" for number in range(101)}, NOW)


def test_a_long_state_is_without_the_policies_that_denied_least() -> None:
    denied = {f"p{number}-{'x' * 240}": {"c" * 240: number} for number in range(200)}
    text = write(State(NOW.isoformat(), tripped=True, denied=denied))
    assert len(text) <= webhook_state.LONGEST_STATE
    (state,) = read({"one": text}, NOW).states.values()
    assert state.tripped
    assert {sum(checks.values()) for checks in state.denied.values()} == set(range(100, 200))


def test_who_is_silent_for_long_is_gone() -> None:
    states = {
        name: write(State((NOW - timedelta(minutes=minutes)).isoformat()))
        for name, minutes in (("new", 1), ("old", 11), ("fast", -3))
    }
    assert read(states, NOW).states.keys() == {"new", "fast"}
    assert webhook_state.stale({**states, "odd": "?"}, NOW) == ["old", "odd"]
    assert key_of("pod/ä b") == "pod---b"


@pytest.fixture
def access(control_plane: ControlPlane) -> Iterator[Access]:
    namespaces.create(control_plane, PLACE)
    yield Access(control_plane.name, str(control_plane.kubeconfig()))
    namespaces.delete(control_plane, PLACE)


def test_replicas_side_by_side(access: Access, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [NOW]
    monkeypatch.setattr(clock, "now", lambda: now[0])

    def keys() -> set[str] | None:
        found = access.do(lambda writer: writer.find("v1", "ConfigMap", webhook_state.NAME, namespace=PLACE))
        return None if found is None else set(found.get("data") or {})

    states = {name: State(NOW.isoformat()) for name in ("one", "two")}
    one, two = (Telling(access, PLACE, name, lambda name=name: states[name]) for name in states)
    one.tick()
    assert keys() is None, "nothing to say"
    states["one"] = State(NOW.isoformat(), tripped=True)
    one.tick()
    two.tick()
    assert keys() == {"one"}
    states["two"] = State(NOW.isoformat(), denied={"p": {"c": 1}})
    two.tick()
    assert keys() == {"one", "two"}
    states["one"] = State(NOW.isoformat())
    one.tick()
    assert keys() == {"two"}
    now[0] += timedelta(minutes=20)  # the second was killed
    states["one"] = State(now[0].isoformat(), tripped=True)
    one.tick()
    assert keys() == {"one"}


def test_where_it_may_not_be_written_that_is_said_once(
    access: Access, caplog: pytest.LogCaptureFixture
) -> None:
    telling = Telling(access, "nowhere", "one", lambda: State(NOW.isoformat(), tripped=True))
    telling.tick()
    telling.tick()
    assert [one.levelname for one in caplog.records if one.name == "kspec.webhook"] == ["WARNING"]
