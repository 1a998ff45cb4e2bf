"""Required and forbidden fields, on generated pods and Deployments.

Some fields a specification, not one as in `tests/parity`: Kyverno takes seconds to compile a policy.
"""

from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.effort import with_fixtures
from tests.kyverno.server import KyvernoServer
from tests.parity import test_field_conditions as conditions
from tests.parity import test_fields as parity
from tests.parity.fields import Groups, held_to, varied

PODS = 60
LIMITS = {"validatingpolicy": (10, 1_000_000), "clusterpolicy": (2, 4_900)}
"""Fields of a specification, characters of a message: none is cut. Kyverno drops one of 5 KiB, of a ClusterPolicy."""


@pytest.fixture(scope="module")
def groups(server: KyvernoServer) -> Groups:
    size, longest = LIMITS[server.api]
    return held_to(server, parity.parts(size), longest)


@pytest.fixture(scope="module")
def condition_groups(server: KyvernoServer) -> Groups:
    return held_to(server, conditions.parts(), LIMITS[server.api][1])


@with_fixtures(PODS)
@given(varied(), st.sampled_from(["pods", "pods", "workloads"]))
def test_fields(server: KyvernoServer, groups: Groups, pod: dict[str, Any], place: str) -> None:
    cast(Any, parity.test_fields).hypothesis.inner_test(server, groups, pod, place)


@with_fixtures(PODS)
@given(conditions.amounts(), st.sampled_from(["pods", "pods", "workloads"]))
def test_conditions(server: KyvernoServer, condition_groups: Groups, pod: dict[str, Any], place: str) -> None:
    cast(Any, conditions.test_conditions).hypothesis.inner_test(server, condition_groups, pod, place)
