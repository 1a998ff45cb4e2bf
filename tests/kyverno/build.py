"""Kyverno's own parts, from its Go module: its admission controller, and the definitions of its kinds.

The controller takes some ten minutes to build on two cores, once: `make test-kyverno` and `make bench-kyverno` need it.

    python -m tests.kyverno.build       builds it
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from tests.controlplane import build

HERE = Path(__file__).parent
MODULE = "github.com/kyverno/kyverno"
CONTROLLER = "kyverno"
NO_GO = "Kyverno comes from its Go module: install Go 1.26+."


def version() -> str:
    """The version in `go.mod`, such as `v1.19.1`: the only place where it is written."""
    found = re.search(rf"^\s*{re.escape(MODULE)} (v\S+)", (HERE / "go.mod").read_text(encoding="utf-8"), re.M)
    assert found is not None
    return found[1]


def controller() -> Path:
    """Kyverno's admission controller. Raises NoControlPlane."""
    return build.built(HERE, CONTROLLER, f"{MODULE}/cmd/{CONTROLLER}", _flags(), NO_GO)


def is_built() -> bool:
    """Whether the controller is there already."""
    return (build.cache_folder(HERE, _flags()) / CONTROLLER).is_file()


def _flags() -> list[str]:
    linker = f"-s -w -X {MODULE}/pkg/version.BuildVersion={version()}"
    return ["-trimpath", "-mod=readonly", "-ldflags", linker]


def definitions() -> list[dict[str, Any]]:
    """The CustomResourceDefinitions of all of Kyverno's kinds, in a fixed order."""
    go = shutil.which("go")
    assert go is not None, NO_GO
    run = subprocess.run(
        [go, "mod", "download", "-json", MODULE], cwd=HERE, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr + run.stdout
    folder = Path(json.loads(run.stdout)["Dir"]) / "config/crds"
    return [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.yaml"))]


def main() -> int:
    """Build it where it is missing; the exit status is 1 with one line when that cannot be."""
    try:
        sys.stderr.write(f"{controller()}\n")
    except build.NoControlPlane as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
