"""Bundles of evidence: a result with all that it rests on, signed, and replayed by whoever doubts it."""
