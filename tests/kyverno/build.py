"""Kyverno's own parts, from its Go module: the command that evaluates policies, and the definitions of its kinds.

The command takes some ten minutes to build on two cores, once; only `make test-kyverno` needs it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import yaml

from tests.controlplane import build

HERE = Path(__file__).parent
MODULE = "github.com/kyverno/kyverno"
COMMAND = "kubectl-kyverno"
NO_GO = "Kyverno comes from its Go module: install Go 1.26+."
CRDS = (
    "policies.kyverno.io/policies.kyverno.io_validatingpolicies.yaml",
    "kyverno/kyverno.io_clusterpolicies.yaml",
)


def version() -> str:
    """The version in `go.mod`, such as `v1.19.1`: the only place where it is written."""
    found = re.search(rf"^\s*{re.escape(MODULE)} (v\S+)", (HERE / "go.mod").read_text(encoding="utf-8"), re.M)
    assert found is not None
    return found[1]


def command() -> Path:
    """Kyverno's command. Raises NoControlPlane."""
    linker = f"-s -w -X {MODULE}/pkg/version.BuildVersion={version()}"
    flags = ["-trimpath", "-mod=readonly", "-ldflags", linker]
    return build.built(HERE, COMMAND, f"{MODULE}/cmd/cli/{COMMAND}", flags, NO_GO)


def definitions() -> list[dict[str, Any]]:
    """The CustomResourceDefinitions of ValidatingPolicy and ClusterPolicy."""
    go = shutil.which("go")
    assert go is not None, NO_GO
    run = subprocess.run(
        [go, "mod", "download", "-json", MODULE], cwd=HERE, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr + run.stdout
    folder = Path(json.loads(run.stdout)["Dir"]) / "config/crds"
    return [yaml.safe_load((folder / name).read_text(encoding="utf-8")) for name in CRDS]
