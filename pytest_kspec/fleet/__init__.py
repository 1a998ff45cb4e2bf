"""Many clusters: which there are, and what is done with all of them."""
