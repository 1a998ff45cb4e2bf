"""The plugin as users run it: pytest in pytest, with xdist and without."""
