"""Hand-written cases."""

from __future__ import annotations

from tests.parity.test_written_cases import groups, recorded, test_scan_and_policies_agree

__all__ = ["groups", "recorded", "test_scan_and_policies_agree"]
