"""Against a real control plane: what we say and what Kubernetes says must be equal."""
