"""What changes in a cluster, as it changes."""
