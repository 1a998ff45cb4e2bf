"""Wheel and sdist: what is in them, and that the wheel works where nothing else of this repository is."""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
UV = Path(sys.executable).with_name("uv")
CHECKS = sorted(p.relative_to(ROOT) for p in ROOT.glob("builtin_checks/*/test_*.py"))
SOURCES = (
    "pytest_kspec",
    "builtin_checks",
    "docs",
    "examples",
    "pyproject.toml",
    "README.md",
    "CHANGELOG.md",
)


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    source.mkdir()
    for name in (*SOURCES, "LICENSE", "Makefile", "requirements.lock"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    subprocess.run(
        [
            UV,
            "build",
            "--quiet",
            "--offline",
            "--no-build-isolation",
            "--python",
            sys.executable,
            "-o",
            folder,
        ],
        cwd=source,
        check=True,
    )
    yield folder
    shutil.rmtree(folder)


def test_make_works_in_a_folder_with_a_space(tmp_path: Path) -> None:
    folder = tmp_path / "a clone"
    folder.mkdir()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    alone = {
        name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
    }
    shown = subprocess.run(
        ["make", "-n", "setup"], cwd=folder, env=alone, check=True, capture_output=True, text=True
    )  # as at a prompt, though `make test` runs this
    named = [shlex.split(line) for line in shown.stdout.splitlines() if str(tmp_path) in line]
    assert [words[0] for words in named] == [f"VIRTUAL_ENV={folder}/.venv"] * 2


def test_the_wheel_has_one_top_level_name_and_all_data(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {name.partition("/")[0] for name in names} == {"pytest_kspec", "pytest_kspec-0.1.0.dist-info"}
    assert names >= {f"pytest_kspec/{path}" for path in CHECKS}
    data = [p.relative_to(ROOT) for p in ROOT.glob("pytest_kspec/**/*") if p.is_file() and p.suffix != ".pyc"]
    assert names >= {str(path) for path in data}


def test_the_sdist_has_what_is_needed_to_build_and_to_read(dist: Path) -> None:
    (sdist,) = dist.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert names >= {"pyproject.toml", "README.md", "LICENSE", "requirements.lock", *map(str, CHECKS)}
    assert "examples/01-quickstart/prod-eu.tar.gz" in names


def test_the_wheel_works_alone(dist: Path, tmp_path: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    target = tmp_path / "site"
    subprocess.run(
        [UV, "pip", "install", "--quiet", "--offline", "--no-deps", "--target", target, wheel], check=True
    )
    env = os.environ | {"PYTHONPATH": str(target)}
    command = [sys.executable, "-m", "pytest_kspec.cli.main"]
    listed = subprocess.run(
        [*command, "checks", "--json"], cwd=tmp_path, env=env, capture_output=True, check=True
    )
    assert len(json.loads(listed.stdout)) >= len(CHECKS)
    explained = subprocess.run(
        [*command, "explain", "network.defaultDeny"], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert "Defined at site/pytest_kspec/builtin_checks/network/test_default_deny.py:" in explained.stdout
    scan: list[str | Path] = [
        *command,
        "scan",
        ROOT / "examples" / "01-quickstart" / "strict.yaml",
        "--report",
        "html:a.html",
    ]
    assert subprocess.run(scan, cwd=tmp_path, env=env, capture_output=True).returncode == 1
    assert (tmp_path / "a.html").stat().st_size > 10_000


def test_the_lock_names_no_registry_and_no_machine() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    assert "://" not in lock
    assert "/home/" not in lock
    pins = [line for line in lock.splitlines() if line[:1].isalpha()]
    assert pins
    assert all("==" in line for line in pins)
    assert lock.count("==") <= lock.count("--hash=sha256:")
