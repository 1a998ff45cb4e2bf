"""What runs inside somebody else's process leaves it as it was."""

from __future__ import annotations

import logging
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.cli.main import main
from pytest_kspec.cluster.sources.memory import MemorySource
from pytest_kspec.onboard.survey import Survey
from pytest_kspec.testing import evaluate
from tests.cli.conftest import RECORDING, SPEC
from tests.evaluate import cases
from tests.evaluate.test_shells import OBJECTS

CHECK = '''
from pytest_kspec import check

@check(id="acme.traces", title="Traces", severity="low", remediation="None.")
def test_traces(findings):
    """Why."""
    assert False, "found"
'''


def _state() -> dict[str, Any]:
    root = logging.getLogger()
    numbers = sorted(signal.valid_signals())
    return {
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "path": list(sys.path),
        "hooks": (sys.excepthook, sys.unraisablehook, sys.displayhook),
        "finders": [finder for finder in sys.meta_path if "kspec" not in str(finder)],
        "logging": (root.level, list(root.handlers), list(root.filters), logging.root.manager.disable),
        "warnings": list(warnings.filters),
        "signals": [signal.getsignal(number) for number in numbers],
        "limit": sys.getrecursionlimit(),
    }


def _unchanged(run: Callable[[], object]) -> None:
    run()  # what is imported at the first use stays imported, and may set itself up
    before = _state()
    run()
    after = _state()
    assert [name for name in before if before[name] != after[name]] == []


def test_evaluate_leaves_no_trace() -> None:
    _unchanged(lambda: [evaluate(func, objects=OBJECTS) for func in (cases.test_finds, cases.test_raises)])


def test_a_survey_leaves_no_trace() -> None:
    _unchanged(Survey(MemorySource(OBJECTS)).draft)


@pytest.mark.parametrize("command", ["validate", "explain", "checks", "init", "scan"])
def test_a_command_leaves_no_trace(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    spec, mine = tmp_path / "spec.yaml", tmp_path / "test_mine.py"
    spec.write_text(SPEC.format(spec="podSecurity: {enforce: baseline}"))
    mine.write_text(CHECK)
    words = {
        "validate": [str(spec)],
        "explain": ["network.defaultDeny"],
        "checks": [],
        "init": ["--cluster", str(RECORDING), "-o", "-"],
        "scan": [str(spec), "--cluster", str(RECORDING), "--checks", str(mine)],
    }[command]
    _unchanged(lambda: main([command, *words]))
