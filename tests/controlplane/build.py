"""The binaries of the control plane: from `KUBEBUILDER_ASSETS`, or built from Go modules once and kept.

`python -m tests.controlplane.build` builds all of them; a test that needs one builds what is missing. A
machine with neither Go nor assets gets an error that says so, never a skipped test: a run without the referee
is no run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from tests.controlplane.gomodule import GoModule, NotBuilt, required_version, say

HERE = Path(__file__).parent
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kube-apiserver": "k8s.io/kubernetes/cmd/kube-apiserver",
    "kube-controller-manager": "k8s.io/kubernetes/cmd/kube-controller-manager",
}
REQUIRED_ASSETS = ("etcd", "kube-apiserver")
ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
WHAT_TO_DO = (
    "No control plane: install Go 1.26+ (then `make controlplane`), "
    f"or set {ASSETS_VARIABLE} to a folder with kube-apiserver and etcd."
)

NoControlPlane = NotBuilt


def kubernetes_version() -> str:
    """The version in `go.mod`, such as `v1.37.2`: the only place where it is written."""
    return required_version(HERE / "go.mod", "k8s.io/kubernetes")


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


def _module() -> GoModule:
    return GoModule(HERE, "controlplane", PACKAGES, tuple(build_flags()), WHAT_TO_DO)


def cache_folder() -> Path:
    """Where binaries are kept between runs."""
    return _module().cache_folder()


def binary(name: str, say: Callable[[str], None] = say) -> Path:
    """The path of one of `PACKAGES`, built when it is in neither the assets nor the cache.

    Raises: NoControlPlane.
    """
    assets = os.environ.get(ASSETS_VARIABLE)
    if assets:
        path = Path(assets) / name
        if path.is_file() and os.access(path, os.X_OK):
            return path
        if name in REQUIRED_ASSETS:
            raise NoControlPlane(f"{ASSETS_VARIABLE}={assets}: no executable {name} in it. {WHAT_TO_DO}")
    return _module().binary(name, say)


def main() -> int:
    """Build what is missing; the exit status is 1 with one line when that cannot be."""
    try:
        for name in PACKAGES:
            say(f"{name}: {binary(name)}")
    except NoControlPlane as e:
        say(str(e))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
