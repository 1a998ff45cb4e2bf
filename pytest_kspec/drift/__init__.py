"""Drift: what of a cluster is not as it was applied, last passed or was recorded; who changed it; its correction."""
