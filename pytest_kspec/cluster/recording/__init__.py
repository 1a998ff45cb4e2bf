"""Snapshots: recording a cluster, and comparing two."""
