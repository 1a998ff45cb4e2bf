"""Sources: in memory, snapshots, manifests, live over real HTTP; and the inventory over all of them."""
