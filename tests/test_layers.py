"""The picture in docs/architecture.md is true: import-linter says so."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_imports_point_downward() -> None:
    command = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([command, "--no-cache"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_picture_shows_these_layers() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    layers = tools["importlinter"]["contracts"][0]["layers"]
    picture = (ROOT / "docs" / "architecture.md").read_text()
    assert "\n".join(f"    {layer}" for layer in layers) in picture
    rooms = {room for layer in layers for room in layer.split(" | ")}
    assert set(re.findall(r"^### (.+)$", picture, re.MULTILINE)) == rooms | {"builtin_checks"}


def test_modules_that_the_page_names_by_their_folder_exist() -> None:
    picture = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:[a-z_]+/)+[a-z_]+)`", picture))
    assert len(named) > 20
    bases = (
        ROOT,
        ROOT / "pytest_kspec",
        *(path for path in (ROOT / "pytest_kspec").iterdir() if path.is_dir()),
    )
    for name in named:
        assert any((base / name).exists() or (base / f"{name}.py").exists() for base in bases), name
