"""Images that the nodes run: pause, a stand-in for the public base image, and the product itself, by `make image`.

Base and wheels are kept in the tests' cache folder: what is fetched is fetched once. The images are files
(docker-archive) that containerd imports: there is no registry.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from tests.controlplane import build
from tests.docs.pages import ROOT

from . import parts
from .worker import PAUSE

KSPEC = "localhost/kspec:test"
CONTEXT = ROOT / "build" / "image"
STEP_S = 1200.0
"""Longest step: on a busy machine, the installation of the wheels."""

# What the Containerfile needs of its base, and no shell. Documentation is left out for size.
DEBIAN = "bookworm"
PACKAGES = ("python3", "python3-pip", "base-files", "netbase", "tzdata", "media-types", "ca-certificates")
WITHOUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*")
PYTHON = "3.11"
"""Of that base: wheels are for it."""


def pause() -> Path:
    """The image of the process that holds a pod's namespaces, from Kubernetes' own source."""
    path = _cache() / f"pause-{build.kubernetes_version()}.tar"
    with _made_once(path) as temporary:
        if temporary is not None:
            source = _run(
                ["go", "list", "-m", "-f", "{{.Dir}}", "k8s.io/kubernetes"],
                cwd=build.HERE,
                path=os.environ["PATH"],
            )
            code = Path(source.strip(), "build", "pause", "linux", "pause.c")
            program = temporary.parent / "pause"
            _run([parts.command("gcc"), "-Os", "-DVERSION=test", "-static", "-o", program, code])
            with _buildah(temporary.parent / "storage") as buildah:
                container = _run([*buildah, "from", "scratch"]).strip()
                _run([*buildah, "copy", container, program, "/pause"])
                words = ["--entrypoint", '["/pause"]', "--user", "65535:65535"]
                _run([*buildah, "config", *words, container])
                _run([*buildah, "commit", container, PAUSE])
                _run([*buildah, "push", PAUSE, f"docker-archive:{temporary}:{PAUSE}"])
    return path


def kspec() -> Path:
    """The image of the source as it is now, by `make image`."""
    storage = _cache() / f"storage-{_digest(*PACKAGES, DEBIAN)}"
    with FileLock(_cache() / "kspec.lock"), _buildah(storage, keep=True) as buildah:
        _run([*buildah, "rm", "--all"], check=False)  # of a build that was killed
        if not _run([*buildah, "images", "--quiet", _base_name()], check=False).strip():
            container = _run([*buildah, "from", "scratch"]).strip()
            _run([*buildah, "add", container, _base(), "/"])
            _run([*buildah, "commit", container, _base_name()])
            _run([*buildah, "rm", container])
        _fill_wheels()
        options = "--pull-never --isolation chroot --layers --timestamp 0 --build-arg PIP_NO_INDEX=1"
        make = ["make", "image", f"BUILDER={' '.join(buildah)}", f"IMAGE={KSPEC}", f"IMAGE_ARGS={options}"]
        _run(make, cwd=ROOT, environment=dict(os.environ))
        identity = _run([*buildah, "images", "--quiet", "--no-trunc", KSPEC]).strip().replace(":", "-")
        path = _cache() / f"kspec-{identity}.tar"
        if not path.exists():
            for older in _cache().glob("kspec-*.tar"):
                older.unlink()
            temporary = path.with_suffix(".part")
            temporary.unlink(missing_ok=True)
            _run([*buildah, "push", KSPEC, f"docker-archive:{temporary}:{KSPEC}"])
            temporary.rename(path)
        _run([*buildah, "rmi", "--prune"], check=False)
    return path


# -- inside ------------------------------------------------------------------------------------------------


def _cache() -> Path:
    path = build.cache_root() / "node"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _digest(*words: str) -> str:
    return hashlib.sha256("\0".join(words).encode()).hexdigest()[:16]


def _base_name() -> str:
    """The base of the Containerfile, as local storage knows a short name."""
    line = (ROOT / "Containerfile").read_text(encoding="utf-8").split("ARG BASE=", 1)[1].split("\n", 1)[0]
    return f"localhost/{line}"


def _base() -> Path:
    """A root file system with what the base image has that the product uses."""
    path = _cache() / f"base-{_digest(*PACKAGES, *WITHOUT, DEBIAN)}.tar"
    with _made_once(path) as temporary:
        if temporary is not None:
            options = [f"--dpkgopt=path-exclude={pattern}" for pattern in WITHOUT]
            words = ["--variant=extract", f"--include={','.join(PACKAGES)}", *options, DEBIAN]
            _run([parts.command("mmdebstrap"), *words, temporary])
    return path


def _fill_wheels() -> None:
    """What the image installs, into the build context: the build itself needs no network."""
    _run(["make", "setup"], cwd=ROOT, environment=dict(os.environ))  # the pins of now
    _run([sys.executable, "-m", "tools.image", CONTEXT], cwd=ROOT)
    requirements = CONTEXT / "requirements.txt"
    kept = _cache() / f"wheels-{_digest(requirements.read_text(encoding='utf-8'))}"
    if not kept.exists():
        with tempfile.TemporaryDirectory(dir=_cache()) as folder:
            words = ["--quiet", "--no-deps", "--require-hashes", "--only-binary=:all:"]
            words += [
                f"--python-version={PYTHON}",
                f"--requirement={requirements}",
                f"--dest={folder}/wheels",
            ]
            pip = [sys.executable, "-m", "pip", "download", *words]
            _run(pip, environment=dict(os.environ))
            os.rename(f"{folder}/wheels", kept)
    shutil.rmtree(CONTEXT / "wheels")
    shutil.copytree(kept, CONTEXT / "wheels", copy_function=shutil.copy2)


@contextmanager
def _made_once(path: Path) -> Iterator[Path | None]:
    """Where to make a file that is not there yet: it is renamed when it is whole. None: it is there."""
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            yield None
            return
        with tempfile.TemporaryDirectory(dir=path.parent) as folder:
            temporary = Path(folder, path.name)
            yield temporary
            os.replace(temporary, path)


@contextmanager
def _buildah(storage: Path, *, keep: bool = False) -> Iterator[Sequence[str]]:
    """The command with a storage of its own: nothing is seen in that of the machine."""
    with tempfile.TemporaryDirectory(prefix="kspec-buildah-") as run:
        # In mounts of its own: a build that is killed leaves none behind.
        alone = [parts.command("unshare"), "--mount"]
        words = [*alone, parts.command("buildah"), f"--root={storage}", f"--runroot={run}"]
        yield words
        if not keep:
            _run([*words, "rm", "--all"])
            _run([*words, "rmi", "--all", "--force"])


def _run(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    path: str = parts.SYSTEM_PATH,
    environment: Mapping[str, str] | None = None,
    check: bool = True,
) -> str:
    """What a command prints. Raises NoNode with the end of what it said."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=environment or {"PATH": path, "HOME": os.environ.get("HOME", "/root")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=STEP_S,
    )
    if check and done.returncode:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-20:])
        raise parts.NoNode(f"{' '.join(map(str, command))} failed:\n{tail}")
    return done.stdout
