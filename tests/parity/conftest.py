"""Fixtures of parity tests: a server whose policies come and go with a module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.controlplane.server import ControlPlane
from tests.parity.admission import Server


@pytest.fixture(scope="module")
def server(control_plane: ControlPlane) -> Iterator[Server]:
    """The shared control plane; policies and namespaces of a module are gone after it."""
    made = Server(control_plane)
    yield made
    made.close()
