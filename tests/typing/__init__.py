"""What type checkers make of checks."""
