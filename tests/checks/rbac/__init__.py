"""Cases of the checks rbac.*."""
