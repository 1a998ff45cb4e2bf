"""Patches: merged, written, applied."""
