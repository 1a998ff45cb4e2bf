"""Custom resources of the webhook: each by itself, as the cluster has them now, and as before where one is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cluster.writing.access import Access
from pytest_kspec.errors import SourceUnavailable
from pytest_kspec.webhook.specs import Specs
from tests.cluster.api import Api, Reply, Request, kubeconfig, listing
from tests.cluster.test_reflector import GONE, stream

Object = dict[str, Any]
ON = {"enabled": True, "mode": "enforce", "engine": "webhook"}
SERVICES = {"allowedServiceTypes": ["ClusterIP"]}
LIMIT_S = 60.0


def resource(name: str, spec: Any) -> Object:
    metadata = {"name": name, "uid": name, "resourceVersion": "1", "generation": 1}
    head = {"apiVersion": "kspec.io/v1alpha1", "kind": "ClusterSpecification"}
    return {**head, "metadata": metadata, "spec": spec}


class Served:
    """A cluster with these specifications; what changes is seen by a new list, since each watch expires."""

    def __init__(self, folder: Path) -> None:
        self.items: list[Object] = []
        self.api = Api({"/apis/kspec.io/v1alpha1/clusterspecifications": self._answer})
        self._folder = folder

    def _answer(self, request: Request) -> Reply:
        if "watch" in request.query:
            return stream(GONE)
        return listing("ClusterSpecification", *self.items, api_version="kspec.io/v1alpha1")

    def specs(self) -> Specs:
        access = Access("prod", kubeconfig(self._folder, self.api.url))
        return Specs([], "prod", "v1.37.0", access=access)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    made = Served(tmp_path)
    with made.api:
        yield made


def seen(specs: Specs, *expected: tuple[str, int]) -> tuple[tuple[str, str], ...]:
    """Wait until these have so many rules; what is wrong with others."""
    deadline = time.monotonic() + LIMIT_S
    while True:
        try:
            loaded = specs.load()
        except SourceUnavailable:  # not listed yet
            found = []
        else:
            found = [(policy.name, len(policy.rules)) for policy in loaded.policies.all]
            if found == list(expected):
                return loaded.wrong
        assert time.monotonic() < deadline, found
        time.sleep(0.05)


def test_each_custom_resource_by_itself(served: Served) -> None:
    specs = served.specs()
    alone = resource("alone", {"network": SERVICES, "enforcement": ON})
    base = resource("base", {"network": SERVICES})
    made = resource("made", {"policyInheritance": {"basePolicies": ["base"]}, "enforcement": ON})
    try:
        served.items = [alone, base, made]
        assert seen(specs, ("alone", 1), ("made", 1)) == ()
        served.items = [alone, resource("base", {}), made]  # another one, which it is made of
        assert seen(specs, ("alone", 1), ("made", 0)) == ()
        served.items = [resource("alone", {"nonsense": 1, "enforcement": ON}), base, made]
        ((name, why),) = seen(specs, ("alone", 1), ("made", 1))
        assert (name, "spec.nonsense: unknown key" in why) == ("alone", True), "and what it said stays"
        served.items = [resource("alone", {"network": SERVICES, "enforcement": {**ON, "enabled": False}})]
        assert seen(specs) == ()
    finally:
        specs.close()
