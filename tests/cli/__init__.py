"""The kspec command."""
