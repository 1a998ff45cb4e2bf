"""Secrets by reference: who may read which, from Kubernetes, Vault, AWS Secrets Manager and files."""
