"""Each kind listed once, and held for all checks."""
