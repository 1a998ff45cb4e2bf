"""Runs a check and makes its verdict, without pytest."""
