"""The hooks of pytest-kspec. Implement them in a conftest.py or a plugin.

All are called on the controller, in the order check, cluster, scan. What an implementation raises fails the run and is
shown; nothing that a built-in one writes is lost for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_kspec.results.result import CheckResult, ClusterResult, ScanResult


@pytest.hookspec
def pytest_kspec_check_finished(config: pytest.Config, cluster: str, result: CheckResult) -> None:
    """Called for each requirement on each cluster that ran, as soon as its result is known.

    The built-in implementation counts on the terminal of `kspec scan`.

    :param config: the pytest config.
    :param cluster: the name of the cluster, as in node ids.
    :param result: the result; read-only.
    """


@pytest.hookspec
def pytest_kspec_cluster_finished(config: pytest.Config, cluster: ClusterResult) -> None:
    """Called for each specification on each cluster when all requirements have a result.

    The built-in implementation notes clusters of which nothing was evaluated, which fail the run.

    :param config: the pytest config.
    :param cluster: all its results, with exemptions, frameworks and what was not evaluated; read-only.
    """


@pytest.hookspec
def pytest_kspec_scan_finished(config: pytest.Config, result: ScanResult) -> None:
    """Called once a run when all requirements have a result, before pytest's summary.

    The built-in implementation publishes: the files and sinks of `--kspec-report`, and the store.

    :param config: the pytest config.
    :param result: all results; read-only.
    """
