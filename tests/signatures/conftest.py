"""A verifier that gives up soon; the registries are in tests/registry."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_kspec.signatures.credentials import DockerConfig
from pytest_kspec.signatures.http import Patience
from pytest_kspec.signatures.registry import Registry
from pytest_kspec.signatures.verify import SignatureVerifier

QUICK = Patience(connect_s=2, read_s=3, total_s=10, retries=2, backoff_s=0.01, retry_after_max_s=0.2)


@pytest.fixture
def verifier() -> Iterator[SignatureVerifier]:
    """With little patience, and logged in nowhere."""
    made = SignatureVerifier(registry=Registry(DockerConfig({"HOME": "/nonexistent"}), QUICK))
    yield made
    made.close()
