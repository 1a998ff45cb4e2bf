"""Where objects come from: a live cluster, a snapshot, manifests, memory."""
