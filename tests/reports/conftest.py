"""Golden files: `pytest tests/reports --update-golden` writes them, a file that no test asks for fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
Golden = Callable[[str, bytes], None]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files of tests/reports anew"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    """golden(name, content): the content equals the file; with --update-golden it becomes the file."""

    def compare(name: str, content: bytes) -> None:
        path = GOLDEN / name
        # The option is unknown when the whole suite runs: this folder's conftest is read too late then.
        if request.config.getoption("--update-golden", default=False):
            path.write_bytes(content)
        again = "run `pytest tests/reports --update-golden` and look at the diff"
        assert path.exists(), f"{path.name} is missing: {again}"
        assert content == path.read_bytes(), again  # line ends too

    return compare
