"""SARIF."""
