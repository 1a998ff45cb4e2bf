"""RBAC: what is granted, to whom."""
