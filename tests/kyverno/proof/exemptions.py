"""Exemptions, levels of namespaces and owners."""

from __future__ import annotations

from tests.parity.test_exemptions import groups, test_exemptions

__all__ = ["groups", "test_exemptions"]
