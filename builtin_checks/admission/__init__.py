"""Admission control: webhooks, admission policies, Kyverno."""
