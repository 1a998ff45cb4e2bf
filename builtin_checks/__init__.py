"""The checks that ship with pytest-kspec. They use the public names of `pytest_kspec` only, like a user's own."""
