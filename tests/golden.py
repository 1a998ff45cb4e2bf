"""Golden files, in the folder `golden` beside a test: `pytest tests/<room> --update-golden` writes them anew.

Each room that has some also has a test that its folder holds no others.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

Golden = Callable[[str, bytes], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write golden files anew")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """golden(name, content): the content equals the file; with --update-golden it becomes the file."""
    folder = request.path.parent / "golden"

    def compare(name: str, content: bytes) -> None:
        path = folder / name
        if request.config.getoption("--update-golden"):
            path.write_bytes(content)
        again = f"run `pytest tests/{folder.parent.name} --update-golden` and look at the diff"
        assert path.exists(), f"{path.name} is missing: {again}"
        assert content == path.read_bytes(), again  # line ends too

    return compare
