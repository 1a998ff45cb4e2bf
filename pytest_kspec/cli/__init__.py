"""The `kspec` command: one file a command; what a command needs is imported when it is called."""
