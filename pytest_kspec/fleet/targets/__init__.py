"""Which clusters there are, under which names and labels, and how each is opened."""
