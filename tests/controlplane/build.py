"""The binaries of the control plane: from `KUBEBUILDER_ASSETS`, or built from Go modules once and kept.

`python -m tests.controlplane.build` builds all of them; a test that needs one builds what is missing. A
machine with neither Go nor assets gets an error that says so, never a skipped test: a run without the referee
is no run.
"""

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
from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock

HERE = Path(__file__).parent
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
}
NODE_PACKAGES = {
    name: f"k8s.io/kubernetes/cmd/{name}" for name in ("kubelet", "kube-scheduler", "kube-proxy")
}
REQUIRED_ASSETS = ("etcd", "kube-apiserver")
ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
BUILD_TIMEOUT_S = 3600.0  # on one slow core; 5 min for the API server on two
WHAT_TO_DO = (
    "No control plane: install Go 1.26+ (then `make controlplane`), "
    f"or set {ASSETS_VARIABLE} to a folder with kube-apiserver and etcd."
)


class NoControlPlane(RuntimeError):
    """There are no binaries and no way to build them, or the build failed."""


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def kubernetes_version() -> str:
    """The version in `go.mod`, such as `v1.37.2`: the only place where it is written."""
    found = re.search(r"^\s*k8s\.io/kubernetes (v\S+)", (HERE / "go.mod").read_text(encoding="utf-8"), re.M)
    if found is None:
        raise NoControlPlane("tests/controlplane/go.mod: does not require k8s.io/kubernetes")
    return found[1]


def build_flags() -> list[str]:
    """Flags of `go build`: small binaries, the same ones anywhere, that know their version.

    A binary built from a module says `v0.0.0-master`, and the server then refuses versions and feature gates
    that depend on it; release builds stamp it by the linker, and so do we.
    """
    version = kubernetes_version()
    major, minor = version.removeprefix("v").split(".")[:2]
    linker = ["-s", "-w"]
    for package in ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version"):
        linker += ["-X", f"{package}.gitVersion={version}"]
        linker += ["-X", f"{package}.gitMajor={major}", "-X", f"{package}.gitMinor={minor}"]
    return ["-trimpath", "-mod=readonly", "-ldflags", " ".join(linker)]


def cache_folder(module: Path | None = None, flags: Sequence[str] | None = None) -> Path:
    """Where binaries are kept between runs; another `go.mod`, `go.sum`, flag or machine is another folder.

    module: folder of the Go module, the control plane's if none is given
    """
    module = module or HERE
    digest = hashlib.sha256()
    for part in (
        (module / "go.mod").read_bytes(),
        (module / "go.sum").read_bytes(),
        repr(build_flags() if flags is None else flags).encode(),
        f"{platform.system()} {platform.machine()}".encode(),
    ):
        digest.update(hashlib.sha256(part).digest())
    return cache_root() / module.name / digest.hexdigest()[:16]


def cache_root() -> Path:
    """Where tests keep between runs what takes long to get."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pytest-kspec"


def binary(name: str, say: Callable[[str], None] = _say) -> Path:
    """The path of one of `PACKAGES` or `NODE_PACKAGES`, built when it is in neither the assets nor the cache.

    Raises: NoControlPlane.
    """
    assets = os.environ.get(ASSETS_VARIABLE)
    if assets:
        path = Path(assets) / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
        if name in REQUIRED_ASSETS:
            raise NoControlPlane(f"{ASSETS_VARIABLE}={assets}: no executable {name} in it. {WHAT_TO_DO}")
    package = (PACKAGES | NODE_PACKAGES)[name]
    return built(HERE, name, package, build_flags(), WHAT_TO_DO, say)


def built(
    module: Path,
    name: str,
    package: str,
    flags: Sequence[str],
    without: str,
    say: Callable[[str], None] = _say,
) -> Path:
    """A command of a Go module, built when it is not in the cache: into a temporary folder beside its path, then
    renamed, so that the path is whole or absent.

    without: what to do where there is no Go. Raises: NoControlPlane.
    """
    path = cache_folder(module, flags) / name
    if path.is_file():
        return path
    go = shutil.which("go")
    if go is None:
        raise NoControlPlane(without)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.parent / "build.lock"):
        if path.is_file():  # another worker built it while this one waited
            return path
        with tempfile.TemporaryDirectory(dir=path.parent, prefix="build-") as folder:
            started = time.monotonic()
            _compile(go, module, package, flags, Path(folder) / name)
            os.replace(Path(folder) / name, path)
        size_mb = path.stat().st_size / 1e6
        say(f"{name}: built in {time.monotonic() - started:.0f} s, {size_mb:.0f} MB")
    return path


def _compile(go: str, module: Path, package: str, flags: Sequence[str], target: Path) -> None:
    command = [go, "build", *flags, "-o", str(target), package]
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}
    try:
        done = subprocess.run(
            command, cwd=module, env=environment, capture_output=True, text=True, timeout=BUILD_TIMEOUT_S
        )
    except subprocess.TimeoutExpired as e:
        raise NoControlPlane(f"{target.name}: `go build` took more than {BUILD_TIMEOUT_S:.0f} s") from e
    if done.returncode:
        tail = "\n".join(done.stderr.splitlines()[-15:])
        raise NoControlPlane(f"{target.name}: `go build` in tests/{module.name} failed:\n{tail}")


def main() -> int:
    """Build what is missing; the exit status is 1 with one line when that cannot be."""
    try:
        for name in PACKAGES:
            _say(f"{name}: {binary(name)}")
    except NoControlPlane as e:
        _say(str(e))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
