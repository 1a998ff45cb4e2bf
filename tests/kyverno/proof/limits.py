"""Pods of 200 containers, updates of these, and ephemeral containers."""

from __future__ import annotations

from tests.parity.test_limits import (
    strict,
    test_an_update_of_a_big_pod_that_changes_nothing,
    test_cost_of_a_big_pod_that_passes,
    test_cost_of_a_big_pod_that_violates_everything,
    test_ephemeral_containers,
)

__all__ = [
    "strict",
    "test_an_update_of_a_big_pod_that_changes_nothing",
    "test_cost_of_a_big_pod_that_passes",
    "test_cost_of_a_big_pod_that_violates_everything",
    "test_ephemeral_containers",
]
