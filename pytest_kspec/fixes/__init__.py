"""From the fixes of findings to patches that somebody, or the API server, can apply."""
