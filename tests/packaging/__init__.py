"""What is shipped: wheel and sdist hold the package, its checks and templates, and no generic top-level name."""
