"""Revisions: never changed once released."""
