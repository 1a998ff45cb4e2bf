"""What third parties add, and the hooks they use."""
