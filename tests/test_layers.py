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


def test_what_is_forbidden_is_forbidden_to_every_room_but_these() -> None:
    first, *contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
        "contracts"
    ]
    rooms = {f"pytest_kspec.{room}" for layer in first["layers"] for room in layer.split(" | ")}
    rooms |= {"builtin_checks"}
    by_name = {contract["name"]: contract for contract in contracts}

    def left(name: str, key: str) -> set[str]:
        return {room.removeprefix("pytest_kspec.") for room in rooms - set(by_name[name][key])}

    assert left("The official client is imported in cluster only", "source_modules") == {"cluster"}
    assert left("Built-in checks use public names only", "forbidden_modules") == {"builtin_checks"}
    shells = {"builtin_checks", "cli", "extend", "plugin", "session", "testing"}
    assert left("pytest is imported by its own shells only", "source_modules") == shells
