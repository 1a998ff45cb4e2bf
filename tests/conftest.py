"""What all tests share: `pytester`, a real control plane and real registries (started when a test asks for them)."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers

from tests import order
from tests.controlplane import marked, swept
from tests.effort import examples

# Generated cases are the same in every run, so that a change is what turns main red, not luck.
# To look for new ones: make fuzz
settings.register_profile(
    "steady",
    max_examples=examples(100),
    derandomize=True,
    database=None,
    deadline=None,  # the machine may be busy
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", settings.get_profile("steady"), derandomize=False)
settings.load_profile("steady")

pytest_plugins = [
    "pytester",
    "tests.golden",
    "tests.controlplane.fixtures",
    "tests.registry.fixtures",
]


@pytest.hookimpl(trylast=True)
def pytest_configure() -> None:
    """What tests start ends with them.

    Hypothesis also tries constants of whatever is imported by then; steady cases depend on no other code.
    """
    marked.mark_all_that_is_started()
    if settings.get_current_profile_name() == "steady":
        assert hasattr(providers, "is_local_module_file"), "Hypothesis finds its constants in another way now"
        providers.is_local_module_file = lambda _path: False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    order.longest_first(items)


@pytest.hookimpl(trylast=True)  # after the fixtures
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is not None and nextitem.path != item.path:
        swept.sweep()


@pytest.fixture(autouse=True, scope="session")
def _runs_of_their_own() -> Iterator[None]:
    """Runs of pytest that tests start are no workers of this one."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("PYTEST_XDIST_WORKER", "PYTEST_XDIST_WORKER_COUNT", "PYTEST_XDIST_TESTRUNUID"):
            patch.delenv(name, raising=False)
        yield
