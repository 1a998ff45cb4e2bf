"""What the operator makes of what replicas of the webhook say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_kspec import clock
from pytest_kspec.enforce.engines import webhook_state
from pytest_kspec.enforce.engines.webhook import service_of
from pytest_kspec.enforce.engines.webhook_state import State
from pytest_kspec.operator import webhooks
from pytest_kspec.operator.webhooks import Webhooks

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


class World:
    """A ConfigMap, and what was posted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, namespace: str = "kspec-system") -> None:
        self.data: dict[str, Any] = {}
        self.posted: list[Any] = []
        self.now = NOW
        monkeypatch.setattr(clock, "now", lambda: self.now)
        monkeypatch.setattr(webhooks, "EVERY_S", 0.0)
        source = SimpleNamespace(info=lambda: SimpleNamespace(uid="u"))

        def find(*_: object, namespace: str) -> dict[str, Any]:
            self.asked = namespace
            return {"data": self.data}

        writer = SimpleNamespace(source=source, find=find)
        access: Any = SimpleNamespace(name="prod", do=lambda action: action(writer))
        board: Any = SimpleNamespace(post=self.posted.append)
        self.webhooks = Webhooks(access, board, namespace)

    def says(self, replica: str, *, tripped: bool = True) -> None:
        self.data[replica] = webhook_state.write(State(self.now.isoformat(), tripped=tripped))

    def look(self) -> tuple[set[str], bool]:
        """Replicas whose breaker is open, and whether alerts of others end."""
        self.webhooks.look()
        one = self.posted[-1]
        return {name for alert in one.active for name in alert.members}, one.unknown is not None


def test_one_that_cannot_be_read_takes_no_other_with_it_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(monkeypatch)
    world.says("a")
    assert world.look() == ({"a"}, True)
    world.data["a"] = "{\x1b[2J"
    world.says("b")
    assert world.look() == ({"b"}, False)
    assert world.look() == ({"b"}, False)
    assert [one.getMessage() for one in caplog.records] == [
        "the state of the webhook's replicas is not known: these keys do not contain the state of a webhook: a"
    ], "said once"
    world.says("a", tripped=False)
    assert world.look() == ({"b"}, True)
    world.now += timedelta(minutes=11)
    world.says("a", tripped=False)
    assert world.look() == (set(), True), "that replica was silent for long"


def test_it_is_read_in_the_namespace_of_the_webhook(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, service_of(SimpleNamespace(webhook_service="guard/kspec-webhook"))[0])
    world.look()
    assert world.asked == "guard"
    world = World(monkeypatch, service_of(None)[0])
    world.look()
    assert world.asked == "kspec-system"
