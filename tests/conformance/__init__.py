"""Our checks against what other projects publish as right."""
