"""The hooks of pytest-kspec. Implement them in a conftest.py or a plugin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_kspec.results.result import ScanResult


@pytest.hookspec
def pytest_kspec_scan_finished(config: pytest.Config, result: ScanResult) -> None:
    """Called once a run, on the controller, when all requirements have a result and before pytest's summary.

    The built-in implementation writes the files of `--kspec-report`.

    :param config: the pytest config.
    :param result: all results; read-only.
    """
