"""How many cases the property and differential tests generate; `make fuzz` raises it and lets luck choose them."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

EFFORT = int(os.environ.get("KSPEC_TEST_EFFORT", "1"))
assert EFFORT >= 1, "KSPEC_TEST_EFFORT is how many times the usual number of cases: 1 or more"


def examples(count: int) -> int:
    """How many cases a test generates whose usual number is `count`."""
    return count * EFFORT


def with_fixtures(count: int, *, shrink: bool = True) -> settings:
    """Settings of a test that shares its fixtures between its cases, such as a server that judges them.

    There is no reuse, targeting and explaining: each would ask the server again, to say what an example of a few
    fields says by itself. `shrink=False` where even making it smaller would take minutes.
    """
    phases = (Phase.explicit, Phase.generate, Phase.shrink)
    return settings(
        max_examples=examples(count),
        phases=phases if shrink else phases[:-1],
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
