"""Binaries of a folder with a `go.mod`: built once for each `go.mod`, `go.sum`, flags and machine, and kept."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

BUILD_TIMEOUT_S = 3600.0  # on one slow core; 5 min for the API server on two


class NotBuilt(RuntimeError):
    """There are no binaries and no way to build them, or the build failed."""


def say(line: str) -> None:
    """To stderr, at once."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


@dataclass(frozen=True, slots=True)
class GoModule:
    """A folder with a `go.mod`, and what is built from it.

    folder:     the folder, whose name is also that of the folder of binaries in the cache
    packages:   name of a binary → its package
    flags:      of `go build`
    what_to_do: one line for whoever has no Go
    """

    folder: Path
    name: str
    packages: Mapping[str, str]
    flags: tuple[str, ...]
    what_to_do: str

    def cache_folder(self) -> Path:
        """Where binaries are kept between runs; another `go.mod`, `go.sum`, flag or machine is another folder."""
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        digest = hashlib.sha256()
        for part in (
            (self.folder / "go.mod").read_bytes(),
            (self.folder / "go.sum").read_bytes(),
            repr(list(self.flags)).encode(),
            f"{platform.system()} {platform.machine()}".encode(),
        ):
            digest.update(hashlib.sha256(part).digest())
        return Path(root) / "pytest-kspec" / self.name / digest.hexdigest()[:16]

    def binary(self, name: str, say: Callable[[str], None] = say) -> Path:
        """The path of one of `packages`, built when it is not in the cache. Raises NotBuilt."""
        path = self.cache_folder() / name
        return path if path.is_file() else self._build(name, path, say)

    def _build(self, name: str, path: Path, say: Callable[[str], None]) -> Path:
        """Build into a temporary folder beside `path`, then rename: `path` is whole or absent."""
        go = self.go()
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.parent / "build.lock"):
            if path.is_file():  # another worker built it while this one waited
                return path
            with tempfile.TemporaryDirectory(dir=path.parent, prefix="build-") as folder:
                started = time.monotonic()
                target = Path(folder) / name
                self.run([go, "build", *self.flags, "-o", str(target), self.packages[name]], name)
                os.replace(target, path)
            size_mb = path.stat().st_size / 1e6
            say(f"{name}: built in {time.monotonic() - started:.0f} s, {size_mb:.0f} MB")
        return path

    def go(self) -> str:
        """The Go command. Raises NotBuilt."""
        go = shutil.which("go")
        if go is None:
            raise NotBuilt(self.what_to_do)
        return go

    def run(self, command: list[str], about: str) -> str:
        """Run Go in the folder; its output. Raises NotBuilt."""
        environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
        verb = f"`go {command[1]}`"
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                env=environment,
                capture_output=True,
                text=True,
                timeout=BUILD_TIMEOUT_S,
            )
        except subprocess.TimeoutExpired as e:
            raise NotBuilt(f"{about}: {verb} took more than {BUILD_TIMEOUT_S:.0f} s") from e
        if done.returncode:
            tail = "\n".join(done.stderr.splitlines()[-15:])
            raise NotBuilt(f"{about}: {verb} in tests/{self.name} failed:\n{tail}")
        return done.stdout


def required_version(go_mod: Path, module: str) -> str:
    """The version of a module that a `go.mod` requires, such as `v1.37.2`. Raises NotBuilt."""
    found = re.search(rf"^\s*{re.escape(module)} (v\S+)", go_mod.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise NotBuilt(f"tests/{go_mod.parent.name}/go.mod: does not require {module}")
    return found[1]
