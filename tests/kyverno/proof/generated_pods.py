"""Generated pods, by each level and version of the Pod Security Standards; fewer than in `tests/parity`, for time."""

from __future__ import annotations

from typing import Any, cast

from hypothesis import given

from tests.effort import with_fixtures
from tests.kyverno.server import KyvernoServer
from tests.parity.test_generated_pods import Held, standards
from tests.parity.test_generated_pods import test_admitted_where_a_scan_finds_nothing as compared
from tests.rules.pods import pods

__all__ = ["standards", "test_generated_pods"]
PODS = 100


@with_fixtures(PODS)
@given(pods(ephemeral=False))
def test_generated_pods(server: KyvernoServer, standards: Held, pod: dict[str, Any]) -> None:
    cast(Any, compared).hypothesis.inner_test(server, standards, pod)
