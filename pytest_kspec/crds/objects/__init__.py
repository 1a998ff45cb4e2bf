"""Custom resources as objects that can be applied: reports."""
