"""Required and forbidden fields, on generated pods and Deployments.

Some fields a specification, not one as in `tests/parity`: Kyverno takes seconds to compile a policy.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_kspec.enforce.cel import program
from tests.effort import with_fixtures
from tests.kyverno.server import KyvernoServer
from tests.parity import test_fields as parity
from tests.parity.objects import CANARIES

PODS = 60
FIELDS = list(parity.FIELDS.items())
LIMITS = {"validatingpolicy": (10, 1_000_000), "clusterpolicy": (2, 4_900)}
"""Fields of a specification, characters of a message: none is cut. Kyverno drops one of 5 KiB, of a ClusterPolicy."""


@pytest.fixture(scope="module")
def groups(server: KyvernoServer) -> parity.Groups:
    made = parity.Groups()
    namespace = server.namespace()
    size, longest = LIMITS[server.api]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "_LONGEST_MESSAGE", longest)
        for number in range(0, len(FIELDS), size):
            fields = FIELDS[number : number + size]
            for kind in ("required", "forbidden"):
                asked = [entry for key, value in fields for entry in parity.entries(key, value)]
                plan = server.plan({"workloads": {"containers": {kind: asked}}})
                label = {"kspec-parity-group": f"fields-{kind}-{number}"}
                assert server.apply_plan(plan, places=("pods", "workloads"), object_labels=label)
                made.append((plan, label, namespace))
    for _, label, _ in made:
        server.wait(namespace, CANARIES["pods"], labels=label)
        server.wait(namespace, CANARIES["workloads"], labels=label)
    return made


@with_fixtures(PODS)
@given(parity.varied(), st.sampled_from(["pods", "pods", "workloads"]))
def test_fields(server: KyvernoServer, groups: parity.Groups, pod: dict[str, Any], place: str) -> None:
    parity.test_fields.hypothesis.inner_test(server, groups, pod, place)
