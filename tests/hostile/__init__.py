"""API servers and files that mean harm: what they send, and that it costs no more than is stated."""
