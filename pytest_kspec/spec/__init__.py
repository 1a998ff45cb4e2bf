"""The specification language: its sections, how files are loaded, merged and checked."""
