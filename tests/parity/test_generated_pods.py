"""Generated pods: a scan finds in what the API server makes of a pod exactly what the policies refuse it for."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

import pytest
from hypothesis import given

from tests.effort import with_fixtures
from tests.parity.admission import agrees
from tests.parity.verdicts import agreed
from tests.rules.pods import pods

PODS = 300
LEVELS = [
    ("baseline", "v1.0"), ("baseline", "v1.30"), ("baseline", "latest"),
    ("restricted", "v1.0"), ("restricted", "v1.21"), ("restricted", "v1.24"),
    ("restricted", "v1.34"), ("restricted", "latest"),
]  # fmt: skip
COUNTED: Counter[str] = Counter()
PASSING = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "canary"},
    "spec": {"containers": [{"name": "app", "image": "example.com/app:1"}]},
}


class Held(list[Any]):
    """(plan, namespace) of each level; with a short repr, for Hypothesis."""

    def __repr__(self) -> str:
        return "held"


@pytest.fixture(scope="module")
def standards(server: Any) -> Held:
    """An open namespace, and for each level and version its plan and a namespace that is held to it."""
    made = Held()
    for level, version in LEVELS:
        plan, labels = server.enforce({"podSecurity": {"enforce": level, "version": version}})
        made.append((plan, server.namespace(labels=labels)))
    for _, namespace in made:
        server.wait(namespace, PASSING)
    return Held([server.namespace(), made])


@with_fixtures(PODS)
@given(pods(ephemeral=False))
def test_admitted_where_a_scan_finds_nothing(server: Any, standards: Held, pod: dict[str, Any]) -> None:
    free, held = standards
    answer = server.create(free, pod)
    if answer.status != 201:
        assert answer.status == 422, answer
        COUNTED["invalid"] += 1
        return
    COUNTED["valid"] += 1
    made = answer.body | {"apiVersion": "v1", "kind": "Pod"}
    for plan, namespace in held:
        ours = copy.deepcopy(made)
        ours["metadata"]["namespace"] = namespace
        found = agreed(plan, ours)
        theirs = server.create(namespace, pod)
        COUNTED["refused" if theirs.status == 403 else "admitted"] += 1
        assert agrees(theirs, found), (theirs, found)


def test_most_pods_said_something() -> None:
    """Runs after the one above: without this its verdict could rest on a handful of pods."""
    if not COUNTED:
        pytest.skip("the generated pods were not selected")
    assert COUNTED["valid"] > COUNTED["invalid"], COUNTED
    assert min(COUNTED["admitted"], COUNTED["refused"]) > PODS / 2, COUNTED
