"""Cases of the checks kubernetes.*."""
