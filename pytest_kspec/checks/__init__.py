"""Checks: what one is, and how authors declare it."""
