"""Writes `pytest_kspec/__init__.pyi`, by which type checkers and editors know the public names (`make docs`)."""

from pathlib import Path

import pytest_kspec

STUB = Path(pytest_kspec.__file__).with_suffix(".pyi")
HEAD = "# Written by `make docs` from the names in __init__.py: change those.\n\n"


def render() -> str:
    """The stub: each name from its home, as the linter sorts them."""
    lines = [
        f"from .{home} import {name} as {name}\n"
        for home, names in sorted(pytest_kspec._NAMES.items())
        for name in names
    ]
    return f"{HEAD}{''.join(lines)}\n_NAMES: dict[str, tuple[str, ...]]\n__version__: str\n"


if __name__ == "__main__":
    STUB.write_text(render(), encoding="utf-8")
