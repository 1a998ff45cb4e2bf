"""Bundles: signed, read with suspicion, replayed."""
