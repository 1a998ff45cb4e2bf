"""Both registries, each started once a process; a test gets a repository of its own in one of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from .push import Pusher
from .servers import RegistryServer


@pytest.fixture(scope="session")
def plain_registry() -> Iterator[RegistryServer]:
    """Without the referrers API."""
    with RegistryServer(referrers=False) as server:
        yield server


@pytest.fixture(scope="session")
def referrers_registry() -> Iterator[RegistryServer]:
    """With it."""
    with RegistryServer(referrers=True) as server:
        yield server


@pytest.fixture(params=["plain", "referrers"])
def server(request: pytest.FixtureRequest) -> RegistryServer:
    found: RegistryServer = request.getfixturevalue(f"{request.param}_registry")
    return found


@pytest.fixture
def repo(server: RegistryServer) -> Pusher:
    return Pusher(server.host, f"team/{uuid.uuid4().hex[:12]}")
