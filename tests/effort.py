"""How many cases the property and differential tests generate; `make fuzz` raises it and lets luck choose them."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

EFFORT = int(os.environ.get("KSPEC_TEST_EFFORT", "1"))
assert EFFORT >= 1, "KSPEC_TEST_EFFORT is how many times the usual number of cases: 1 or more"

_BY_DEFAULT = 100  # of Hypothesis


def register_profiles() -> None:
    """`steady`: the same cases in every run, so that a change turns main red, not luck. `search`: any.

    Tests are built with the profile that is loaded when their module is imported, so this comes before.
    """
    settings.register_profile(
        "steady",
        max_examples=examples(_BY_DEFAULT),
        derandomize=True,
        database=None,
        deadline=None,  # the machine may be busy
        print_blob=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.register_profile("search", settings.get_profile("steady"), derandomize=False)
    settings.load_profile("steady")


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
