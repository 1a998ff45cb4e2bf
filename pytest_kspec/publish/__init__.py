"""Where results go: files, custom resources, the store."""
