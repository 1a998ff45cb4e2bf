"""Cases of the checks admission.*."""
