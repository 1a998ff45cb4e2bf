"""Fixtures of the control plane; `tests/conftest.py` loads them.

With xdist each worker has its own etcd and its own servers, each started when the first test asks for it:
workers then share nothing, and 280 MB a worker is cheaper than a server that all of them slow down.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Protocol

import pytest

from . import namespaces, swept
from .server import ControlPlane, Etcd


class ControlPlaneFactory(Protocol):
    """Starts a control plane with the arguments of `ControlPlane` after the first."""

    def __call__(self, **options: Any) -> ControlPlane: ...


@pytest.fixture(scope="session")
def etcd() -> Iterator[Etcd]:
    """One etcd for all control planes of this process."""
    with Etcd() as etcd:
        yield etcd


@pytest.fixture(scope="session")
def control_plane(etcd: Etcd) -> Iterator[ControlPlane]:
    """The control plane that tests share: no controllers, so only tests change it; audited.

    What a module leaves behind is gone when the next one begins (`swept`).
    """
    with ControlPlane(etcd) as plane:
        yield swept.share(plane)
        swept.forget(plane)


@pytest.fixture(scope="session")
def second_control_plane(etcd: Etcd) -> Iterator[ControlPlane]:
    """Another cluster, for what compares clusters; swept too."""
    with ControlPlane(etcd) as plane:
        yield swept.share(plane)
        swept.forget(plane)


@pytest.fixture
def control_plane_factory(etcd: Etcd) -> Iterator[ControlPlaneFactory]:
    """Starts control planes for this test only, with other users, flags, or controllers."""
    with ExitStack() as stack:

        def start(**options: Any) -> ControlPlane:
            return stack.enter_context(ControlPlane(etcd, **options))

        yield start


@pytest.fixture
def fresh_namespace(control_plane: ControlPlane) -> Iterator[str]:
    """The name of an empty namespace of `control_plane`, gone with all its objects after the test."""
    name = f"test-{uuid.uuid4().hex[:12]}"
    namespaces.create(control_plane, name)
    yield name
    namespaces.delete(control_plane, name)
