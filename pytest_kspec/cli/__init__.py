"""The `kspec` command: argument tree, one file a command; imports happen when a command is called."""
