"""Cases of the checks podSecurity.*."""
