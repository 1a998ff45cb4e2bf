"""The schema that Jenkins' xUnit plugin has for JUnit files, which pytest's own tests carry in its source distribution.

It is fetched once, at the version and with the hash of `requirements.lock`, and kept in the cache.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from pathlib import Path

from filelock import FileLock

from tests.controlplane.build import cache_root

ROOT = Path(__file__).parents[2]
MEMBER = "testing/example_scripts/junit-10.xsd"


def junit_schema() -> Path:
    """The file. Raises CalledProcessError where the registry cannot be reached."""
    pinned = _pinned("pytest")
    folder = cache_root() / pinned.split()[0].replace("==", "-")
    path = folder / Path(MEMBER).name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if not path.exists():
                _fetch(pinned, folder, path)
    return path


def _fetch(pinned: str, folder: Path, path: Path) -> None:
    wanted = folder / "requirements.txt"
    wanted.write_text(pinned)
    words = ["download", "--quiet", "--disable-pip-version-check", "--no-deps", "--no-binary", "pytest"]
    words += ["--require-hashes", "--dest", str(folder), "-r", str(wanted)]
    subprocess.run([sys.executable, "-m", "pip", *words], check=True, timeout=300)
    (source,) = folder.glob("pytest-*.tar.gz")
    with tarfile.open(source) as archive:
        member = archive.extractfile(f"{source.name.removesuffix('.tar.gz')}/{MEMBER}")
        assert member is not None, f"{source.name} holds no {MEMBER} any more"
        aside = path.with_suffix(".part")
        aside.write_bytes(member.read())
        aside.rename(path)
    source.unlink()


def _pinned(name: str) -> str:
    """The requirement of `requirements.lock`, with its hashes."""
    lines = iter((ROOT / "requirements.lock").read_text().splitlines())
    kept: list[str] = []
    for line in lines:
        if kept and not line.startswith("    --hash"):
            break
        if kept or line.startswith(f"{name}=="):
            kept.append(line)
    return "\n".join(kept).rstrip(" \\") + "\n"
