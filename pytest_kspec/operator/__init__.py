"""The operator: keeps a cluster, and what its specifications' statuses say of it, as it should be."""
