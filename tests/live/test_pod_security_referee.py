"""Generated pods against Pod Security admission of a real API server, by server-side dry run.

A pod is admitted into a namespace that enforces a level and version where, and only where, we find no
violation at that level and version; and where it is refused, the API server names the same controls. Pods
that the API does not accept in any namespace say nothing about Pod Security and are left out, but they must
stay the smaller part.
"""

from __future__ import annotations

import copy
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.controlplane import namespaces
from tests.controlplane.server import STRATEGIC_PATCH, ControlPlane
from tests.effort import with_fixtures
from tests.rules.pod_security import reported, shape, violations
from tests.rules.pods import GOOD_CONTAINER, GOOD_POD, containers, pods

VERSIONS = (0, 8, 19, 22, 24, 25, 29, 30, 31, 33, 34, 35, 36, 37, "latest")
LEVELS = ("baseline", "restricted")
PODS = 500
EPHEMERAL = 100
PASSING = {
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
_REFUSED = re.compile(r'violates PodSecurity "[a-z]+:[\w.]+": (.*)', re.DOTALL)
_DETAIL = re.compile(r" \((?:[^()]|\([^()]*\))*\)")


def version_label(version):
    return version if isinstance(version, str) else f"v1.{version}"


@pytest.fixture(scope="module")
def standards(control_plane: ControlPlane):
    """(namespace, level, minor) for each level and version, and a namespace that enforces nothing."""
    made = []
    namespaces.create(control_plane, "pss-open", {"pod-security.kubernetes.io/enforce": "privileged"})
    for level in LEVELS:
        for version in VERSIONS:
            name = f"pss-{level}-{version}"
            labels = {
                "pod-security.kubernetes.io/enforce": level,
                "pod-security.kubernetes.io/enforce-version": version_label(version),
            }
            namespaces.create(control_plane, name, labels)
            made.append((name, level, 37 if version == "latest" else version))
    yield made
    for name in ("pss-open", *(name for name, _, _ in made)):
        namespaces.delete(control_plane, name)


@pytest.fixture(scope="module")
def running(control_plane, standards):
    """The same, with a passing pod in each namespace: ephemeral containers come to pods that are there."""
    for name in ("pss-open", *(name for name, _, _ in standards)):
        answer = control_plane.request("POST", f"/api/v1/namespaces/{name}/pods", PASSING)
        assert answer.status == 201, answer
    return standards


def submit(plane, namespace, pod):
    return plane.request("POST", f"/api/v1/namespaces/{namespace}/pods?dryRun=All", pod)


def reasons(message):
    """What the API server names, without details and plurals: 'hostPort, privileged'."""
    found = _REFUSED.search(message)
    assert found, message
    named = _DETAIL.sub("", found[1]).split(", ")
    return {"forbidden AppArmor profile" if name.startswith("forbidden AppArmor") else name for name in named}


def compare(pod, standards, send):
    """`send`: namespace → the API server's answer to this pod."""
    answer = send("pss-open")
    if answer.status not in (200, 201):
        assert answer.status == 422, answer
        COUNTED["invalid"] += 1
        return
    COUNTED["valid"] += 1
    for namespace, level, minor in standards:
        found = violations(shape(pod), level, minor)
        answer = send(namespace)
        assert answer.status in (200, 201, 403), answer
        theirs = reasons(answer.body["message"]) if answer.status == 403 else set()
        COUNTED["refused" if theirs else "admitted"] += 1
        COUNTED.update(f"{name} {level}" for name in found)
        assert (namespace, reported(found, minor)) == (namespace, theirs), found


@with_fixtures(PODS)
@given(pods(ephemeral=False))
def test_admitted_where_we_find_nothing(control_plane, standards, pod):
    compare(pod, standards, lambda namespace: submit(control_plane, namespace, pod))


@with_fixtures(EPHEMERAL)
@given(containers("debug", True, 3), st.sampled_from([None, {"type": "Unconfined"}]))
def test_ephemeral_containers(control_plane, running, debug, profile):
    security = debug["securityContext"] | ({"seccompProfile": profile} if profile else {})
    body = {"spec": {"ephemeralContainers": [{**DEBUG, "securityContext": security}]}}
    pod = PASSING | {"spec": PASSING["spec"] | body["spec"]}

    def send(namespace):
        path = f"/api/v1/namespaces/{namespace}/pods/passing/ephemeralcontainers?dryRun=All"
        return control_plane.request("PATCH", path, body, content_type=STRATEGIC_PATCH)

    compare(pod, running, send)


def test_most_pods_said_something():
    """Runs after those above: without this their verdict could rest on a handful of pods."""
    if not COUNTED:
        pytest.skip("the generated pods were not selected")
    assert COUNTED["valid"] > COUNTED["invalid"], COUNTED.most_common()
    assert min(COUNTED["admitted"], COUNTED["refused"]) > PODS, COUNTED.most_common()
