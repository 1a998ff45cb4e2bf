"""Scopes of namespaces, selectors included."""

from __future__ import annotations

from tests.parity.test_scope import held, test_a_scope_means_the_same_in_a_scan_and_at_admission

__all__ = ["held", "test_a_scope_means_the_same_in_a_scan_and_at_admission"]
