"""Patches that remove a violation."""
