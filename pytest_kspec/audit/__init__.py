"""Audit: who did what, as lines that show where one of them is missing or was changed."""
