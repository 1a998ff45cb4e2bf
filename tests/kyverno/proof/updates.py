"""Updates of what was there before."""

from __future__ import annotations

from tests.parity.test_updates import test_annotations_that_no_rule_reads_change_nothing, violating

__all__ = ["test_annotations_that_no_rule_reads_change_nothing", "violating"]
