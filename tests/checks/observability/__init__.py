"""Cases of the checks observability.*."""
