"""Cases of the checks network.*."""
