"""Fixtures beside the checks work as in any test folder."""

import pytest


@pytest.fixture
def smallest() -> dict[str, int]:
    """How many nodes of each role there must be."""
    return {"worker": 4, "control-plane": 1}
