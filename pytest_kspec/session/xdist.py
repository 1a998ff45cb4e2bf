"""Hooks of pytest-xdist; registered only where it is installed and active."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from pytest_kspec.session import run as runs
from pytest_kspec.session.start import RESOURCES

SHARED = "kspec_shared"
STARTED = "kspec_started"


class XdistHooks:
    """The controller names one folder where workers share what they list, and notes what they collected."""

    def __init__(self, config: pytest.Config, run: runs.Run) -> None:
        self._run = run
        workerinput = getattr(config, "workerinput", None)
        if workerinput is not None and workerinput.get(SHARED):
            run.shared = Path(workerinput[SHARED])
        if workerinput is not None and workerinput.get(STARTED):
            run.started = datetime.fromisoformat(workerinput[STARTED])  # so that all agree on what is active

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker where to share, and when the run started."""
        if self._run.shared is None:
            self._run.shared = runs.make_shared_folder()
        node.workerinput[SHARED] = str(self._run.shared)
        node.workerinput[STARTED] = self._run.started.isoformat()
        if self._run.resources is not None:
            node.workerinput[RESOURCES] = str(self._run.resources)

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any, ids: list[str]) -> None:
        """Remember what must have a result in the end."""
        for nodeid in ids:
            if self._run.resolve(nodeid) is not None:
                self._run.expected[nodeid] = None
