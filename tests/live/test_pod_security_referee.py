"""Generated pods against Pod Security admission of a real API server, by server-side dry run.

A pod is admitted into a namespace that enforces a level and version where, and only where, we find no
violation at that level and version; and where it is refused, the API server names the same controls. Pods
that the API does not accept in any namespace say nothing about Pod Security and are left out, but they must
stay the smaller part.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.controlplane.server import STRATEGIC_PATCH, ControlPlane
from tests.effort import with_fixtures
from tests.live.standards import OPEN, compare, enforced, submit
from tests.rules.pods import GOOD_CONTAINER, GOOD_POD, containers, pods

PODS = 170
EPHEMERAL = 34
PASSING: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "passing"},
    "spec": {
        "securityContext": copy.deepcopy(GOOD_POD),
        "containers": [{"name": "app", "image": "example.com/app:1", "securityContext": GOOD_CONTAINER}],
    },
}
DEBUG = {"name": "debug", "image": "example.com/debug:1"}
COUNTED: Counter[str] = Counter()


@pytest.fixture(scope="module")
def standards(control_plane: ControlPlane) -> Iterator[Any]:
    with enforced(control_plane, "pss") as made:
        yield made


@pytest.fixture(scope="module")
def running(control_plane: ControlPlane, standards: Any) -> Any:
    """The same, with a passing pod in each namespace: ephemeral containers come to pods that are there."""
    for name in (f"pss-{OPEN}", *(name for name, _, _ in standards)):
        answer = control_plane.request("POST", f"/api/v1/namespaces/{name}/pods", PASSING)
        assert answer.status == 201, answer
    return standards


@pytest.mark.effort
@with_fixtures(PODS)
@given(pods(ephemeral=False))
def test_admitted_where_we_find_nothing(
    control_plane: ControlPlane, standards: Any, pod: dict[str, Any]
) -> None:
    compare(pod, standards, lambda namespace: submit(control_plane, namespace, pod), COUNTED)


@pytest.mark.effort
@with_fixtures(EPHEMERAL)
@given(containers("debug", True, 3), st.sampled_from([None, {"type": "Unconfined"}]))
def test_ephemeral_containers(control_plane: ControlPlane, running: Any, debug: Any, profile: Any) -> None:
    security = debug["securityContext"] | ({"seccompProfile": profile} if profile else {})
    body = {"spec": {"ephemeralContainers": [{**DEBUG, "securityContext": security}]}}
    pod = PASSING | {"spec": {**PASSING["spec"], **body["spec"]}}

    def send(namespace: str) -> Any:
        path = f"/api/v1/namespaces/{namespace}/pods/passing/ephemeralcontainers?dryRun=All"
        return control_plane.request("PATCH", path, body, content_type=STRATEGIC_PATCH)

    compare(pod, running, send, COUNTED)


def test_most_pods_said_something() -> None:
    """Runs after those above: without this their verdict could rest on a handful of pods."""
    if not COUNTED:
        pytest.skip("the generated pods were not selected")
    assert COUNTED["valid"] > COUNTED["invalid"], COUNTED.most_common()
    assert min(COUNTED["admitted"], COUNTED["refused"]) > PODS, COUNTED.most_common()
