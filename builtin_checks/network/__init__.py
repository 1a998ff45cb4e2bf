"""Network: default deny, required policies, Service types and ports."""
