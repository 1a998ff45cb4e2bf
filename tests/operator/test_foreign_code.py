"""Code that nobody named, beside and above what an operator works in: neither it nor a scan that it starts runs it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.test_foreign_code import KSPEC, plant

from .conftest import OperatorProcess, Specs


def test_an_operator_and_its_scans_run_nothing_that_nobody_named(
    specs: Specs, start: Callable[..., OperatorProcess], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    marker = tmp_path / "marker"
    here = tmp_path / "repo" / "work"
    for folder in (tmp_path, here.parent, here):
        plant(folder, marker)
    monkeypatch.chdir(here)
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p evil -p conftest")
    monkeypatch.setenv("PYTEST_PLUGINS", "evil,conftest")
    operator = start("--scan-interval=3s", program=(str(KSPEC),))
    for folder in (tmp_path / "operator-0", tmp_path / "operator-0" / "tmp"):  # its home, and its $TMPDIR
        plant(folder, marker)
    specs.put("planted", {"podSecurity": {"enforce": "privileged"}})
    specs.wait("planted", "True", said=operator.said)
    assert not marker.exists(), marker.read_text()
