"""Built-in checks: pass and fail cases of each, compared finding by finding."""
