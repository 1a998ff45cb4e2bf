"""Version of the API server and of its nodes."""
