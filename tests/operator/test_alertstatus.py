"""Of which generation the status of an AlertConfig is, on a real API server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.cluster.writing.write import Writer
from pytest_kspec.crds.names import NAMESPACE
from pytest_kspec.operator.alerting import Alerting
from pytest_kspec.operator.board import Board
from tests.operator.conftest import Specs

T = TypeVar("T")
API = ("kspec.io/v1alpha1", "AlertConfig")
KEY = (NAMESPACE, "seen")
HOOK = {"webhooks": [{"name": "hook", "url": "https://alerts.example.com/hook"}]}
ODD = {**HOOK, "routes": [{"notifiers": ["pager"]}]}


class Meanwhile(Access):
    """Somebody changes the object just before its status is written, once."""

    then: Callable[[], object] | None = None

    def do(self, action: Callable[[Writer], T]) -> T:
        if self.then is not None and type(action).__name__ == "methodcaller":
            change, self.then = self.then, None
            change()
        return super().do(action)


@pytest.fixture
def access(specs: Specs) -> Iterator[Meanwhile]:
    yield Meanwhile(specs.plane.name, str(specs.plane.kubeconfig()))
    specs.writer.delete(*API, KEY[1], namespace=NAMESPACE)


def put(specs: Specs, spec: dict[str, Any]) -> int:
    """Its generation."""
    metadata = {"name": KEY[1], "namespace": NAMESPACE}
    head = {"apiVersion": API[0], "kind": API[1], "metadata": metadata}
    return int(specs.writer.apply({**head, "spec": spec}, field_manager="test")["metadata"]["generation"])


def seen(specs: Specs) -> tuple[int, str, int]:
    status = specs.writer.get(*API, KEY[1], namespace=NAMESPACE)["status"]
    (condition,) = status["conditions"]
    return status["observedGeneration"], condition["reason"], condition["observedGeneration"]


def test_the_status_says_of_which_generation_it_is(specs: Specs, access: Meanwhile) -> None:
    alerting = Alerting(access, Board(), lambda key: None, lambda: [KEY])
    first = put(specs, HOOK)
    alerting.reconcile(KEY)
    assert seen(specs) == (first, "Configured", first)
    second = put(specs, ODD)
    assert second == first + 1
    assert seen(specs) == (first, "Configured", first), "nobody looked at it yet"
    alerting.reconcile(KEY)
    assert seen(specs) == (second, "ConfigurationErrors", second)
    third = put(specs, {**HOOK, "enabled": False})
    alerting.reconcile(KEY)
    assert seen(specs) == (third, "Disabled", third)


def test_what_was_changed_meanwhile_was_not_looked_at(specs: Specs, access: Meanwhile) -> None:
    alerting = Alerting(access, Board(), lambda key: None, lambda: [KEY])
    first = put(specs, HOOK)
    access.then = lambda: put(specs, ODD)
    alerting.reconcile(KEY)
    assert access.then is None
    assert seen(specs) == (first, "Configured", first), "of what was read, whatever is there now"
    alerting.reconcile(KEY)
    assert seen(specs) == (first + 1, "ConfigurationErrors", first + 1)
