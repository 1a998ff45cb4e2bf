"""Cases of the checks workloads.*."""
