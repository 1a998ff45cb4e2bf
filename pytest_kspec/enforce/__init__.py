"""Keeping out what a scan finds: rules of a specification as admission policies, applied and read back."""
