"""Rules about pods and their templates."""
